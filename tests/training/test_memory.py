"""The memory of a training, predicted and measured."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.small_runs import finish_training, make_run
from vgg_ablate.training.loop import train
from vgg_ablate.training.memory import (
    estimate_peak_bytes,
    measure_peak_memory,
    release_cached_memory,
    reset_peak_memory,
)
from vgg_ablate.training.settings import TrainingSettings
from vgg_ablate.training.step import TrainStep

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory.py"
LARGE = 300 << 20  # bytes


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is read from /proc")
def test_the_prediction_is_within_a_quarter_of_the_measured_peak() -> None:
    options = ["vgg13_bn", "--image-size", "96", "--batch", "40", "--width", "0.25", "--hidden", "64"]
    process = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=True)
    assert 0.75 < json.loads(process.stdout)["ratio"] < 1.25


def test_larger_batches_need_more_memory_and_micro_batches_less() -> None:
    whole = estimate_peak_bytes(make_run(batch_size=64), examples=400, precision="fp32")
    assert estimate_peak_bytes(make_run(batch_size=128), examples=400, precision="fp32") > whole
    assert estimate_peak_bytes(make_run(batch_size=64, micro_batch=8), examples=400, precision="fp32") < whole
    assert estimate_peak_bytes(make_run(batch_size=64, optimizer="adamw"), examples=400, precision="fp32") > whole
    assert estimate_peak_bytes(make_run(batch_size=64), examples=400, precision="bf16") < whole


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is read from /proc")
def test_a_peak_is_reported_after_the_memory_was_freed_and_reset_for_the_next_run() -> None:
    reset_peak_memory("cpu")
    before = measure_peak_memory("cpu") or 0
    torch.ones(LARGE, dtype=torch.uint8)
    peak = measure_peak_memory("cpu") or 0
    assert LARGE * 0.9 < peak - before < LARGE * 1.5
    reset_peak_memory("cpu")
    assert (measure_peak_memory("cpu") or 0) < peak - LARGE * 0.9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpus_peak_is_the_reserved_memory_and_cached_memory_can_be_released() -> None:
    reset_peak_memory("cuda")
    torch.ones(LARGE, dtype=torch.uint8, device="cuda")
    assert LARGE <= (measure_peak_memory("cuda") or 0) < LARGE * 1.5
    release_cached_memory("cuda")
    reset_peak_memory("cuda")
    assert (measure_peak_memory("cuda") or 0) < LARGE


def list_training_objects() -> list[Any]:
    """Return the steps and the arrays of pixels that are in memory, those in cycles that nothing refers to included."""
    found = [found for found in gc.get_objects() if type(found) in (TrainStep, torch.Tensor)]
    return [found for found in found if type(found) is TrainStep or found.dtype == torch.uint8]


def test_a_training_that_has_ended_keeps_neither_its_images_nor_its_net() -> None:
    finish_training(train(make_run(epochs=1), TrainingSettings(device="cpu")))
    gc.collect()  # the first training imports parts of torch that leave cycles of their own
    before = len(list_training_objects())
    gc.disable()  # a worker hardly ever searches for cycles: it has too many objects that are none
    try:
        finish_training(train(make_run(epochs=1), TrainingSettings(device="cpu")))
        assert len(list_training_objects()) == before
    finally:
        gc.enable()

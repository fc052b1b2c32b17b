"""The predicted peak of memory is near the measured one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.small_runs import asked
from vgg_ablate.training.memory import estimate_peak_bytes

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory.py"


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_the_prediction_is_within_a_quarter_of_what_was_measured() -> None:
    options = ["vgg13_bn", "--image-size", "96", "--batch", "40", "--width", "0.25", "--hidden", "64"]
    done = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=True)
    assert 0.75 < json.loads(done.stdout)["ratio"] < 1.25


def test_more_examples_at_once_need_more_and_micro_batches_less() -> None:
    whole = estimate_peak_bytes(asked(batch_size=64), examples=400, precision="fp32")
    assert estimate_peak_bytes(asked(batch_size=128), examples=400, precision="fp32") > whole
    assert estimate_peak_bytes(asked(batch_size=64, micro_batch=8), examples=400, precision="fp32") < whole
    assert estimate_peak_bytes(asked(batch_size=64, optimizer="adamw"), examples=400, precision="fp32") > whole
    assert estimate_peak_bytes(asked(batch_size=64), examples=400, precision="bf16") < whole

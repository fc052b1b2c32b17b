"""Batches in parts, also where memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.small_runs import finish_training, make_run
from vgg_ablate.training.errors import OutOfMemoryError
from vgg_ablate.training.loop import train
from vgg_ablate.training.micro_batch import MicroBatches
from vgg_ablate.training.settings import TrainingSettings
from vgg_ablate.training.step import TrainStep

PLAIN = {"norm": "none", "head": {"hidden": []}}


def test_micro_batches_add_up_to_the_batch() -> None:
    whole, _ = finish_training(train(make_run(arch=PLAIN, lr=0.01, clip_grad_norm=1.0), TrainingSettings()))
    parts, _ = finish_training(
        train(make_run(arch=PLAIN, lr=0.01, clip_grad_norm=1.0, micro_batch=8), TrainingSettings())
    )
    assert [epoch.train_loss for epoch in parts] == pytest.approx([epoch.train_loss for epoch in whole], rel=1e-4)
    assert [epoch.val_loss for epoch in parts] == pytest.approx([epoch.val_loss for epoch in whole], rel=1e-3)


class SmallDevice:
    """A device that holds `capacity` examples, and raises `error` for more."""

    def __init__(self, capacity: int, error: BaseException) -> None:
        self.capacity = capacity
        self.error = error
        self.examples: list[int] = []

    def backward(self, examples: Tensor, share: float) -> Tensor:
        if len(examples) > self.capacity:
            raise self.error
        self.examples += examples.tolist()
        return examples.double().mean()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(error: BaseException) -> None:
    device, micro = SmallDevice(5, error), MicroBatches(16, "cpu")
    loss = micro.compute_loss(torch.arange(16), device.backward, device.examples.clear, 1)
    assert (micro.size, micro.is_halved) == (4, True)
    assert device.examples == list(range(16))
    assert loss.item() == pytest.approx(7.5)


def make_limited_backward(capacity: int) -> Callable[[TrainStep, Tensor, float], Tensor]:
    """Return a backward pass that runs out of memory with more than `capacity` examples."""
    original = TrainStep._backward

    def backward(step: TrainStep, examples: Tensor, share: float) -> Tensor:
        if len(examples) > capacity:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(step, examples, share)

    return backward


def test_a_resumed_run_keeps_the_micro_batches_of_memory_that_ran_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, settings = make_run(epochs=4), TrainingSettings(checkpoint=tmp_path / "checkpoint", checkpoint_every=2)
    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "_backward", make_limited_backward(10))
        uninterrupted, metrics = finish_training(train(run, TrainingSettings()))
        killed = train(run, settings)
        for _ in range(3):
            next(killed)
        killed.close()
    resumed, resumed_metrics = finish_training(train(run, settings))  # now there is enough memory
    assert resumed == uninterrupted
    assert resumed_metrics == metrics
    assert resumed_metrics.details["micro_batch"] == 8
    assert resumed_metrics.details["flags"] == [
        "out of memory: batches of 32 went in parts; batch norm's statistics are of micro-batches"
    ]


def test_a_single_example_that_does_not_fit_is_an_error() -> None:
    device = SmallDevice(0, MemoryError())
    with pytest.raises(OutOfMemoryError, match="cpu: out of memory in epoch 3 with micro-batches of 1"):
        MicroBatches(16, "cpu").compute_loss(torch.arange(16), device.backward, device.examples.clear, 3)


def test_another_error_is_not_taken_for_running_out_of_memory() -> None:
    device = SmallDevice(0, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        MicroBatches(16, "cpu").compute_loss(torch.arange(16), device.backward, device.examples.clear, 1)

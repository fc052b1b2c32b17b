"""Batches in parts, and memory that runs out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.small_runs import asked, ended
from vgg_ablate.training.errors import OutOfMemoryError
from vgg_ablate.training.loop import train
from vgg_ablate.training.micro_batch import MicroBatches
from vgg_ablate.training.settings import TrainingSettings
from vgg_ablate.training.step import TrainStep

PLAIN = {"norm": "none", "head": {"hidden": []}}


def test_micro_batches_add_up_to_the_batch() -> None:
    whole, _ = ended(train(asked(arch=PLAIN, lr=0.01, clip_grad_norm=1.0), TrainingSettings()))
    parts, _ = ended(train(asked(arch=PLAIN, lr=0.01, clip_grad_norm=1.0, micro_batch=8), TrainingSettings()))
    assert [epoch.train_loss for epoch in parts] == pytest.approx([epoch.train_loss for epoch in whole], rel=1e-4)
    assert [epoch.val_loss for epoch in parts] == pytest.approx([epoch.val_loss for epoch in whole], rel=1e-3)


class Device:
    """Holds `room` examples."""

    def __init__(self, room: int, error: BaseException) -> None:
        self.room, self.error, self.seen = room, error, list[int]()

    def backward(self, examples: Tensor, share: float) -> Tensor:
        if len(examples) > self.room:
            raise self.error
        self.seen += examples.tolist()
        return examples.double().mean()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_what_does_not_fit_is_halved_until_it_does(error: BaseException) -> None:
    device, micro = Device(5, error), MicroBatches(16, "cpu")
    loss = micro.loss(torch.arange(16), device.backward, device.seen.clear, 1)
    assert (micro.size, micro.halved) == (4, True)
    assert device.seen == list(range(16))
    assert loss.item() == pytest.approx(7.5)


def cramped(room: int) -> Callable[[TrainStep, Tensor, float], Tensor]:
    """A backward pass for which the device has room for so many examples."""
    whole = TrainStep._backward

    def backward(updater: TrainStep, examples: Tensor, share: float) -> Tensor:
        if len(examples) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(updater, examples, share)

    return backward


def test_memory_that_ran_out_is_remembered_by_a_run_that_is_killed_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, settings = asked(epochs=4), TrainingSettings(checkpoint=tmp_path / "checkpoint", checkpoint_every=2)
    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "_backward", cramped(10))
        undisturbed, tested = ended(train(run, TrainingSettings()))
        killed = train(run, settings)
        for _ in range(3):
            next(killed)
        killed.close()
    again, after = ended(train(run, settings))  # whoever had taken the memory is gone
    assert again == undisturbed
    assert after == tested
    assert after.details["micro_batch"] == 8
    assert after.details["flags"] == [
        "out of memory: batches of 32 went in parts; batch norm's statistics are of micro-batches"
    ]


def test_it_gives_up_at_one() -> None:
    device = Device(0, MemoryError())
    with pytest.raises(OutOfMemoryError, match="cpu: out of memory in epoch 3 with micro-batches of 1"):
        MicroBatches(16, "cpu").loss(torch.arange(16), device.backward, device.seen.clear, 3)


def test_another_error_is_not_taken_for_memory() -> None:
    device = Device(0, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        MicroBatches(16, "cpu").loss(torch.arange(16), device.backward, device.seen.clear, 1)

"""A training of one epoch that takes no time: what a run costs besides. Like the real one it imports no driver."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from vgg_ablate.records import Epoch, FinalMetrics, Run
from vgg_ablate.runs.workers.protocol import WorkerContext

EPOCH = Epoch(epoch=1, train_loss=1, val_loss=1, val_accuracy=0.9, lr=0.1, seconds=0.001, images_per_second=1e4)


def prepare(run: Run, place: WorkerContext, tell: Callable[[int, int], None]) -> None:
    """Nothing to decode."""


def train(runs: tuple[Run, ...], place: WorkerContext) -> Generator[Epoch, None, Callable[[Run], FinalMetrics | None]]:
    """One epoch."""
    yield EPOCH
    return lambda run: FinalMetrics(val_accuracy=0.9, test_accuracy=0.9)


def facts(run: Run, place: WorkerContext) -> tuple[dict[str, int], dict[str, Any]]:
    """Nothing was audited."""
    return {}, {"device": "cpu"}


def peak(run: Run, place: WorkerContext) -> int | None:
    """Not measured."""
    return None

"""A training of one epoch that takes no time, to measure what a run costs besides. Imports no driver, as the real one.

The functions are those of `runs.workers.job.TrainingBackend`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from vgg_ablate.records import Epoch, FinalMetrics, Run
from vgg_ablate.runs.workers.protocol import WorkerContext

EPOCH = Epoch(epoch=1, train_loss=1, val_loss=1, val_accuracy=0.9, lr=0.1, seconds=0.001, images_per_second=1e4)


def prepare(run: Run, context: WorkerContext, progress: Callable[[int, int], None]) -> None:
    """Decode nothing."""


def train(
    runs: tuple[Run, ...], context: WorkerContext
) -> Generator[Epoch, None, Callable[[Run], FinalMetrics | None]]:
    """Yield one epoch and return a function that returns the same metrics for every run."""
    yield EPOCH
    return lambda run: FinalMetrics(val_accuracy=0.9, test_accuracy=0.9)


def collect_facts(run: Run, context: WorkerContext) -> tuple[dict[str, int], dict[str, Any]]:
    """Return no audited costs, and the least of an environment."""
    return {}, {"device": "cpu"}


def measure_peak(run: Run, context: WorkerContext) -> int | None:
    """Return no peak memory: none was measured."""
    return None


def release_memory(context: WorkerContext) -> None:
    """Do nothing: no memory is cached."""

"""A pretend training on images that have to be decoded first."""

from __future__ import annotations

from collections.abc import Callable

from tests.fake_training import facts, peak, train
from vgg_ablate.records import Run
from vgg_ablate.runs.workers.protocol import WorkerContext

__all__ = ["facts", "peak", "prepare", "train"]


def prepare(run: Run, place: WorkerContext, tell: Callable[[int, int], None]) -> None:
    """A hundred at a time, in no time."""
    for done in range(100, 60_100, 100):
        tell(done, 60_000)

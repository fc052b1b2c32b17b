"""A fake training whose images have to be decoded first."""

from __future__ import annotations

from collections.abc import Callable

from tests.fake_training import collect_facts, measure_peak, release_memory, train
from vgg_ablate.records import Run
from vgg_ablate.runs.workers.protocol import WorkerContext

__all__ = ["collect_facts", "measure_peak", "prepare", "release_memory", "train"]


def prepare(run: Run, context: WorkerContext, report: Callable[[int, int], None]) -> None:
    """Report a hundred images at a time, without any work."""
    for done in range(100, 60_100, 100):
        report(done, 60_000)

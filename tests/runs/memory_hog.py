"""A fake training that reports 9 GiB of memory, and takes nothing of it."""

from __future__ import annotations

from tests.fake_training import collect_facts, prepare, release_memory, train
from vgg_ablate.records import Run
from vgg_ablate.runs.workers.protocol import WorkerContext

__all__ = ["collect_facts", "measure_peak", "prepare", "release_memory", "train"]


def measure_peak(run: Run, context: WorkerContext) -> int | None:
    """Return 9 GiB."""
    return 9 << 30

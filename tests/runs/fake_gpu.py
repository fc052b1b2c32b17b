"""A fake training on a fake GPU with limited memory: a run that finds too little left runs out of memory.

The GPU is a folder named by CUDA_VISIBLE_DEVICES, in which every run keeps a file with the bytes that it holds. The
file `memory` beside it has the bytes of the GPU. A run takes a hundred times its predicted peak.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import fake_training
from vgg_ablate.records import Epoch, FinalMetrics, Run
from vgg_ablate.runs.resources.memory_fit import predict_peak_bytes
from vgg_ablate.runs.workers.protocol import WorkerContext
from vgg_ablate.training.errors import OutOfMemoryError


def compute_used_bytes(run: Run) -> int:
    """Return the bytes that a run takes."""
    return 100 * predict_peak_bytes(run)


def train(
    runs: tuple[Run, ...], context: WorkerContext
) -> Generator[Epoch, None, Callable[[Run], FinalMetrics | None]]:
    """Take memory, train, release it; write the largest number of runs on one GPU so far to the file `most`."""
    run, gpu = runs[0], context.folder / f"gpu-{os.environ['CUDA_VISIBLE_DEVICES']}"
    with _lock(context.folder):
        gpu.mkdir(exist_ok=True)
        others = [int(path.read_text()) for path in gpu.iterdir()]
        if sum(others) + compute_used_bytes(run) > int((context.folder / "memory").read_text()):
            raise OutOfMemoryError(1, gpu.name)
        (gpu / run.key).write_text(str(compute_used_bytes(run)))
        most = context.folder / "most"
        most.write_text(str(max(len(others) + 1, int(most.read_text() if most.exists() else 0))))
    evaluate = yield from fake_training.train(runs, context)
    with _lock(context.folder):
        (gpu / run.key).unlink()
    return evaluate


def prepare(run: Run, context: WorkerContext, report: Callable[[int, int], None]) -> None:
    """Do nothing: there are no images to decode."""


def collect_facts(run: Run, context: WorkerContext) -> tuple[dict[str, int], dict[str, Any]]:
    """Return nothing."""
    return {}, {}


def measure_peak(run: Run, context: WorkerContext) -> int | None:
    """Return what the run took."""
    return compute_used_bytes(run)


def release_memory(context: WorkerContext) -> None:
    """Do nothing: no memory is cached."""


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / "gpu.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

"""A pretend training on a pretend GPU, which has only so much memory: a run that finds too little left runs out of it.

The GPU is a folder, named by CUDA_VISIBLE_DEVICES, where each run keeps a file of the bytes it holds. `memory` beside
it says how many there are. A run takes a hundred times what is predicted for it.
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
    """What the run takes."""
    return 100 * predict_peak_bytes(run)


def train(runs: tuple[Run, ...], place: WorkerContext) -> Generator[Epoch, None, Callable[[Run], FinalMetrics | None]]:
    """Take the memory, train, give it back; `most`: the most runs that were ever on one GPU."""
    run, gpu = runs[0], place.folder / f"gpu-{os.environ['CUDA_VISIBLE_DEVICES']}"
    with _locked(place.folder):
        gpu.mkdir(exist_ok=True)
        others = [int(path.read_text()) for path in gpu.iterdir()]
        if sum(others) + compute_used_bytes(run) > int((place.folder / "memory").read_text()):
            raise OutOfMemoryError(1, gpu.name)
        (gpu / run.key).write_text(str(compute_used_bytes(run)))
        most = place.folder / "most"
        most.write_text(str(max(len(others) + 1, int(most.read_text() if most.exists() else 0))))
    evaluate = yield from fake_training.train(runs, place)
    with _locked(place.folder):
        (gpu / run.key).unlink()
    return evaluate


def prepare(run: Run, place: WorkerContext, tell: Callable[[int, int], None]) -> None:
    """There are no images."""


def facts(run: Run, place: WorkerContext) -> tuple[dict[str, int], dict[str, Any]]:
    """Nothing."""
    return {}, {}


def peak(run: Run, place: WorkerContext) -> int | None:
    """What it took."""
    return compute_used_bytes(run)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "gpu.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

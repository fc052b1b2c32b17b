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
from vgg_ablate.records import Epoch, Run, Tested
from vgg_ablate.runs.resources.memory_fit import predicted
from vgg_ablate.runs.workers.protocol import Place
from vgg_ablate.training.errors import OutOfMemory


def bytes_of(run: Run) -> int:
    """What the run takes."""
    return 100 * predicted(run)


def train(runs: tuple[Run, ...], place: Place) -> Generator[Epoch, None, Callable[[Run], Tested | None]]:
    """Take the memory, train, give it back; `most`: the most runs that were ever on one GPU."""
    run, gpu = runs[0], place.folder / f"gpu-{os.environ['CUDA_VISIBLE_DEVICES']}"
    with _locked(place.folder):
        gpu.mkdir(exist_ok=True)
        others = [int(path.read_text()) for path in gpu.iterdir()]
        if sum(others) + bytes_of(run) > int((place.folder / "memory").read_text()):
            raise OutOfMemory(1, gpu.name)
        (gpu / run.key).write_text(str(bytes_of(run)))
        most = place.folder / "most"
        most.write_text(str(max(len(others) + 1, int(most.read_text() if most.exists() else 0))))
    evaluate = yield from fake_training.train(runs, place)
    with _locked(place.folder):
        (gpu / run.key).unlink()
    return evaluate


def prepare(run: Run, place: Place, tell: Callable[[int, int], None]) -> None:
    """There are no images."""


def facts(run: Run, place: Place) -> tuple[dict[str, int], dict[str, Any]]:
    """Nothing."""
    return {}, {}


def peak(run: Run, place: Place) -> int | None:
    """What it took."""
    return bytes_of(run)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "gpu.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

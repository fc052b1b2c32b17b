"""A training that takes no time: the seam of `runs.worker`, importable by name in worker processes.

A run's arch and recipe say how it behaves: `limit` is milliseconds an epoch, `lr` over 100 diverges, over 200 is out of
memory, over 300 is a bug, over 400 kills its own process. It continues from checkpoints, like a real one. While there
is a file `held` in the results folder, a run waits before it begins, with a line in `waiting.log`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from vgg_ablate.config.training import Data
from vgg_ablate.records import Epoch, FinalMetrics, Run
from vgg_ablate.runs.workers.protocol import WorkerContext
from vgg_ablate.training.errors import DivergedError, OutOfMemoryError

TIME_SCALE = 1.0  # of an epoch's milliseconds


def train(runs: tuple[Run, ...], place: WorkerContext) -> Generator[Epoch, None, Callable[[Run], FinalMetrics | None]]:
    """Accuracies from the training's key, test accuracies from the run's; every epoch is a line in `trained.log`."""
    run = runs[0]
    _misbehave(run.train.lr)
    _wait(run, place.folder)
    checkpoint = place.checkpoint(run.training_key)
    done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
    for epoch in range(1, run.train.epochs + 1):
        if epoch > done:
            time.sleep(TIME_SCALE * (run.data.limit or 1) / 1000)
            _log(place.folder / "trained.log", run, epoch)
            _replace(checkpoint, epoch)
        yield _epoch(run, epoch)

    def evaluate(run: Run) -> FinalMetrics | None:
        if not run.test:
            return None
        time.sleep(TIME_SCALE * (run.data.limit or 1) / 1000)
        if run.train.keep == "predictions":
            _keep(run, place)
        at_the_end = _accuracy(run.training_key, 1.0)
        return FinalMetrics(val_accuracy=at_the_end, test_accuracy=_accuracy(run.key, 1.0))

    return evaluate


def _keep(run: Run, place: WorkerContext) -> None:
    """Class probabilities from the run's key, labels from its seed."""
    import numpy as np  # here: most workers keep nothing, and start sooner without it

    from vgg_ablate.training.predictions import StoredPredictions, write_predictions

    drawn, labels = np.random.default_rng(int(run.key, 16)), np.random.default_rng(run.seed).integers(0, 10, 90)
    probabilities = drawn.dirichlet([1.0] * 10, 90).astype(np.float16)
    write_predictions(
        place.predictions, run.key, StoredPredictions(probabilities[:40], labels[:40], probabilities[40:], labels[40:])
    )


def prepare(run: Run, place: WorkerContext, tell: Callable[[int, int], None]) -> None:
    """There are no images."""


def facts(run: Run, place: WorkerContext) -> tuple[dict[str, int], dict[str, Any]]:
    """Nothing was audited; the environment is the worker's."""
    return {}, {"device": place.device, "threads": place.threads, "omp": os.environ.get("OMP_NUM_THREADS")}


def peak(run: Run, place: WorkerContext) -> int | None:
    """Nothing is measured."""
    return None


def fingerprint(data: Data) -> str:
    """The data set's name."""
    return data.name


def _epoch(run: Run, epoch: int) -> Epoch:
    accuracy = _accuracy(run.training_key, epoch / run.train.epochs)
    loss = 2.3 * (1 - accuracy)
    return Epoch(
        epoch=epoch,
        train_loss=loss,
        val_loss=loss,
        val_accuracy=accuracy,
        lr=run.train.lr,
        seconds=0.01,
        images_per_second=1e4,
    )


def _accuracy(key: str, done: float) -> float:
    return random.Random(key).uniform(0.8, 0.9) * done


def _misbehave(lr: float) -> None:
    if lr > 400:
        os.kill(os.getpid(), signal.SIGKILL)
    if lr > 300:
        raise ValueError("a label that is no label")
    if lr > 200:
        raise OutOfMemoryError(1, "cpu")
    if lr > 100:
        raise DivergedError(1, float("nan"))


def _wait(run: Run, folder: Path) -> None:
    if (folder / "held").exists():
        _log(folder / "waiting.log", run, 0)
    while (folder / "held").exists():
        time.sleep(0.01)


def _log(path: Path, run: Run, epoch: int) -> None:
    line = f"{run.training_key} {epoch} {os.getpid()} {time.time()}\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line.encode())
    os.close(handle)


def _replace(path: Path, epoch: int) -> None:
    path.parent.mkdir(exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps(epoch))
    aside.replace(path)

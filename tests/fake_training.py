"""A fake training that takes almost no time: a `TrainingBackend` that workers import by name.

The study decides how a run behaves: `data.limit` is the milliseconds per epoch; a `train.lr` from 5 to 10 costs a third
of the test accuracy, and one from 10 to 20 a twelfth; one over 100 diverges, over 200 runs out of memory, over 300
raises like a bug, over 400 kills its own process. The training continues from checkpoints, as the real one does. While
the results folder has a file `held`, a run waits before its first epoch and adds a line to `waiting.log`.
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

TIME_SCALE = 1.0  # factor of the milliseconds per epoch; 0 trains in no time


def train(
    runs: tuple[Run, ...], context: WorkerContext
) -> Generator[Epoch, None, Callable[[Run], FinalMetrics | None]]:
    """Derive accuracies from the training key, test accuracies from the run key; append epochs to `trained.log`."""
    run = runs[0]
    _fail_as_asked(run.train.lr)
    _wait_while_held(run, context.folder)
    checkpoint = context.locate_checkpoint(run.training_key)
    reached = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
    for epoch in range(1, run.train.epochs + 1):
        if epoch > reached:
            time.sleep(TIME_SCALE * (run.data.limit or 1) / 1000)
            _append_line(context.folder / "trained.log", run, epoch)
            _write_checkpoint(checkpoint, epoch)
        yield _build_epoch(run, epoch)

    def evaluate(run: Run) -> FinalMetrics | None:
        if not run.test:
            return None
        time.sleep(TIME_SCALE * (run.data.limit or 1) / 1000)
        if run.train.keep == "predictions":
            _store_predictions(run, context)
        return FinalMetrics(
            val_accuracy=_derive_accuracy(run.training_key, 1.0),
            test_accuracy=_derive_accuracy(run.key, _weaken(run.train.lr)),
        )

    return evaluate


def _store_predictions(run: Run, context: WorkerContext) -> None:
    """Draw class probabilities from the run key and labels from the seed."""
    import numpy as np  # here: most fake runs store nothing, and their workers start sooner without it

    from vgg_ablate.training.predictions import StoredPredictions, write_predictions

    generator, labels = np.random.default_rng(int(run.key, 16)), np.random.default_rng(run.seed).integers(0, 10, 90)
    probabilities = generator.dirichlet([1.0] * 10, 90).astype(np.float16)
    write_predictions(
        context.predictions,
        run.key,
        StoredPredictions(probabilities[:40], labels[:40], probabilities[40:], labels[40:]),
    )


def prepare(run: Run, context: WorkerContext, report: Callable[[int, int], None]) -> None:
    """Do nothing: there are no images to decode."""


def collect_facts(run: Run, context: WorkerContext) -> tuple[dict[str, int], dict[str, Any]]:
    """Return no audited costs, and the device and threads of the worker as the environment."""
    return {}, {"device": context.device, "threads": context.threads, "omp": os.environ.get("OMP_NUM_THREADS")}


def measure_peak(run: Run, context: WorkerContext) -> int | None:
    """Return None: memory is not measured."""
    return None


def release_memory(context: WorkerContext) -> None:
    """Do nothing: no memory is cached."""


def fingerprint(data: Data) -> str:
    """Return the name of the data set."""
    return data.name


def _build_epoch(run: Run, epoch: int) -> Epoch:
    accuracy = _derive_accuracy(run.training_key, epoch / run.train.epochs)
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


def _derive_accuracy(key: str, progress: float) -> float:
    return random.Random(key).uniform(0.8, 0.9) * progress


def _weaken(lr: float) -> float:
    return 2 / 3 if 5 <= lr < 10 else 11 / 12 if 10 <= lr < 20 else 1.0


def _fail_as_asked(lr: float) -> None:
    if lr > 400:
        os.kill(os.getpid(), signal.SIGKILL)
    if lr > 300:
        raise ValueError("a label that is no label")
    if lr > 200:
        raise OutOfMemoryError(1, "cpu")
    if lr > 100:
        raise DivergedError(1, float("nan"))


def _wait_while_held(run: Run, folder: Path) -> None:
    if (folder / "held").exists():
        _append_line(folder / "waiting.log", run, 0)
    while (folder / "held").exists():
        time.sleep(0.01)


def _append_line(path: Path, run: Run, epoch: int) -> None:
    line = f"{run.training_key} {epoch} {os.getpid()} {time.time()}\n"
    # One write of a line in append mode: lines of several processes never mix.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line.encode())
    os.close(handle)


def _write_checkpoint(path: Path, epoch: int) -> None:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(epoch))
    temporary.replace(path)

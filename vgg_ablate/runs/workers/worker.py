"""One worker: claim the run, look again, train it, record it.

`python -m vgg_ablate.runs.workers.worker` is a process of them.

What trains is a module, by its importable name, with the functions of `Training`: the package's own, or one that
pretends. A bug in a training ends the process: its last words go to the driver, its traceback to the log.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from statistics import median
from types import TracebackType
from typing import Any, Protocol, cast

from vgg_ablate.errors import EnvironmentFailedError
from vgg_ablate.records import Epoch, FinalMetrics, Outcome, Record, RecordStore, Run
from vgg_ablate.runs.leases import LeaseLostError, hold_run_lease
from vgg_ablate.runs.workers.protocol import (
    DecodingProgress,
    EpochEnded,
    Heartbeat,
    Job,
    JobEnded,
    JobLost,
    JobRefused,
    StopRequest,
    WorkerContext,
)
from vgg_ablate.runs.workers.watchdog import compute_heartbeat_interval, send_heartbeats
from vgg_ablate.training.errors import DivergedError, OutOfMemoryError

_TELL = 1.0  # seconds between two words on how far the images are
_DECISIVE = ("device", "device_name", "threads", "precision", "memory_format", "torch", "system")  # decide the bits
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

EvaluateRun = Callable[[Run], FinalMetrics | None]  # what the test set says of a trained net, shown as the run asks for


class TrainingBackend(Protocol):
    """The seam: the module that trains."""

    def prepare(self, run: Run, place: WorkerContext, tell: Callable[[int, int], None]) -> None:
        """Make what all runs on these data share, before the run's time is taken; `tell` hears how many of how many."""

    def train(self, runs: tuple[Run, ...], place: WorkerContext) -> Generator[Epoch, None, EvaluateRun]:
        """Train once for runs with one training key; yield every epoch, those of a checkpoint too.

        Return what evaluates the trained net as one of the runs asks for. Raises Diverged, OutOfMemory.
        """

    def facts(self, run: Run, place: WorkerContext) -> tuple[dict[str, int], dict[str, Any]]:
        """Costs as audited, and the environment, for the record."""

    def peak(self, run: Run, place: WorkerContext) -> int | None:
        """Bytes of memory at the peak of the training that has just ended; what it left cached is given back."""


def perform_job(
    training: TrainingBackend,
    job: Job,
    place: WorkerContext,
    report: Callable[[Epoch], bool],
    decoding: Callable[[DecodingProgress], object] = lambda said: None,
) -> JobEnded:
    """Claim, look again, train, record; `report` says whether to stop. Every record is in place when this returns.

    Where some of the job's records were made before, as by a worker that was killed between two of them, the training
    goes on from its checkpoint for the others, or is repeated without one. `decoding` hears now and then how far the
    images are, where they have to be made.
    Raises Superseded, and writes nothing, where the run was given to another because this process was silent.
    """
    key, store, began = job.run.key, RecordStore(place.records), time.monotonic()
    with _leases(job, place) as check:

        def reported(epoch: Epoch) -> bool:
            check()
            return report(epoch)

        if runs := tuple(run for run in job.runs if run.key not in store):
            for run in runs:
                training.prepare(run, place, _now_and_then(key, decoding))
            for record in _records(training, job, runs, place, reported):
                check()
                store.put(record)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place.checkpoint(job.run.training_key))
    record = store.get(key)
    peak = record.environment.get("peak_bytes")
    return JobEnded(key, record.outcome, record.reason, time.monotonic() - began, peak)


@contextlib.contextmanager
def _leases(job: Job, place: WorkerContext) -> Iterator[Callable[[], None]]:
    """Hold every run of a job. What is yielded raises Superseded where one was given to another.

    They are taken in the order of their keys: two workers with runs in common never wait for each other.
    """
    with contextlib.ExitStack() as held:
        keys = sorted(run.key for run in job.runs)
        checks = [held.enter_context(hold_run_lease(place.lease(key), place.heartbeat_timeout_s)) for key in keys]

        def check() -> None:
            for each in checks:
                each()

        yield check


def _now_and_then(key: str, decoding: Callable[[DecodingProgress], object]) -> Callable[[int, int], None]:
    said = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal said
        if done == of or time.monotonic() - said >= _TELL:
            said = time.monotonic()
            decoding(DecodingProgress(key, done, of))

    return tell


def _records(
    training: TrainingBackend, job: Job, runs: tuple[Run, ...], place: WorkerContext, report: Callable[[Epoch], bool]
) -> Iterator[Record]:
    """Train once; the record of each of these runs, as soon as it is evaluated."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    epochs: list[Epoch] = []
    evaluate: EvaluateRun | None = None
    outcome, reason = Outcome.FINISHED, ""
    audited, environment = training.facts(runs[0], place)
    try:
        evaluate = _epochs(training.train(runs, place), epochs, report)
        if evaluate is None:
            outcome, reason = Outcome.PRUNED, f"stopped after epoch {len(epochs)} of {runs[0].train.epochs}"
    except DivergedError as error:
        outcome, reason = Outcome.DIVERGED, str(error)
    except OutOfMemoryError as error:
        outcome, reason = Outcome.OUT_OF_MEMORY, str(error)
    differs = _retrained_differs(job.repeats, epochs, environment)
    for run in runs:
        tested = None
        if evaluate is not None:
            try:
                tested = evaluate(run)
                outcome, reason = Outcome.FINISHED, ""
            except OutOfMemoryError as error:  # one evaluation may show larger images than another
                outcome, reason = Outcome.OUT_OF_MEMORY, str(error)
        if tested is not None and differs:
            tested = tested.model_copy(update={"details": tested.details | {"retrained_differs": differs}})
        peak = training.peak(run, place)
        yield Record(
            key=run.key,
            run=run,
            outcome=outcome,
            reason=reason,
            epochs=tuple(epochs),
            tested=tested,
            costs=job.costs,
            audited=audited,
            environment=environment | ({} if peak is None else {"peak_bytes": peak}),
            train_seconds=sum(epoch.seconds for epoch in epochs),
            images_per_second=median(epoch.images_per_second for epoch in epochs) if epochs else 0.0,
            started=started,
        )


def _retrained_differs(recorded: Record | None, epochs: Sequence[Epoch], environment: Mapping[str, Any]) -> str:
    """The first number in which a repeated training differs from its record; empty where none does.

    Elsewhere than where it was recorded (another device, precision, version of torch) the bits may differ: no answer.
    """
    if recorded is None or any(recorded.environment.get(fact) != environment.get(fact) for fact in _DECISIVE):
        return ""
    for before, now in zip(recorded.epochs, epochs, strict=False):
        for name in ("train_loss", "val_loss", "val_accuracy", "lr"):
            if getattr(before, name) != getattr(now, name):
                values = f"recorded {getattr(before, name)!r}, now {getattr(now, name)!r}"
                return f"{recorded.key}: epochs[{now.epoch - 1}].{name}: {values}"
    return ""


def _epochs(
    training: Generator[Epoch, None, EvaluateRun], epochs: list[Epoch], report: Callable[[Epoch], bool]
) -> EvaluateRun | None:
    """Every epoch goes to `epochs` and `report`; what evaluates the net, or None where `report` said stop."""
    while True:
        try:
            epoch = next(training)
        except StopIteration as end:
            return cast(EvaluateRun, end.value)
        epochs.append(epoch)
        if report(epoch):
            training.close()
            return None


class DriverConnection:
    """To the driver and back. Two threads speak: the one that trains, and the pulse."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._speaking = connection, threading.Lock()

    def send(self, message: object) -> None:
        """Raises OSError where the driver is gone."""
        with self._speaking:
            self._connection.send(message)

    def sign(self) -> None:
        """A sign of life; where the driver is gone the next report will say so."""
        with contextlib.suppress(OSError):
            self.send(Heartbeat())

    def stopped(self, key: str) -> bool:
        """Has the driver asked for the end of this run?"""
        return self._connection.poll() and self._connection.recv() == StopRequest(key)

    def job(self) -> Job | None:
        """The next job; None where the driver is gone."""
        try:
            while not isinstance(message := self._connection.recv(), Job):
                pass  # a Stop that came after its run had ended
            return message
        except (EOFError, ConnectionResetError):
            return None


def serve_jobs(line: DriverConnection, training: TrainingBackend, place: WorkerContext) -> None:
    """Perform one job after another until the driver is gone."""
    while (job := line.job()) is not None:
        key = job.run.key
        sys.excepthook = _last_words(line, key)
        try:
            line.send(perform_job(training, job, place, partial(_told, line, key), line.send))
        except EnvironmentFailedError as error:
            line.send(JobRefused(key, str(error)))
        except LeaseLostError as error:
            line.send(JobLost(key, str(error)))


def _told(line: DriverConnection, key: str, epoch: Epoch) -> bool:
    line.send(EpochEnded(key, epoch))
    return line.stopped(key)


def _last_words(line: DriverConnection, key: str) -> Callable[..., None]:
    def say(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        traceback.print_exception(kind, error, where)
        with contextlib.suppress(OSError):
            line.send(JobEnded(key, Outcome.FAILED, format_error(error, where)))

    return say


def format_error(error: BaseException, where: TracebackType | None) -> str:
    """`ValueError: bad label (reader.py:12)`."""
    last = traceback.extract_tb(where)[-1:]
    place = "".join(f" ({os.path.basename(frame.filename)}:{frame.lineno})" for frame in last)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300] + place


def exit_with_parent(parent: int) -> None:
    """This process is killed when the thread that started it ends. Linux only; elsewhere the next report ends it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before the line above
            os._exit(1)


def main() -> None:
    """`worker FILE-DESCRIPTOR PARENT`: the first message is (training module, Place); the rest are jobs."""
    exit_with_parent(int(sys.argv[2]))
    connection = Connection(int(sys.argv[1]))
    name, place = connection.recv()
    line = DriverConnection(connection)
    with send_heartbeats(line.sign, compute_heartbeat_interval(place.heartbeat_timeout_s)):
        serve_jobs(line, cast(TrainingBackend, importlib.import_module(name)), place)


if __name__ == "__main__":
    main()

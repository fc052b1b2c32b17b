"""A worker: lease the runs of a job, train, write their records.

`python -m vgg_ablate.runs.workers.worker` is a process that performs one job after another for its driver.

The module that trains is named by its importable name and has the functions of `TrainingBackend`: the package's own
(`workers.training`), or a fake in tests. A bug in a training ends the process: the exception hook sends the error to
the driver, which writes it to the record as its reason, and the traceback goes to the worker's log. Nothing catches
`Exception`.
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
from vgg_ablate.records import DECISIVE_FACTS, Epoch, FinalMetrics, Outcome, Record, RecordStore, Run
from vgg_ablate.runs.leases import LeaseLostError, hold_run_lease
from vgg_ablate.runs.workers.protocol import (
    ContinueRequest,
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

_DECODING_REPORT_INTERVAL_S = 1.0
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h
_MAX_REASON_LENGTH = 300  # characters of a message; a CUDA error may fill pages

EvaluateRun = Callable[[Run], FinalMetrics | None]  # evaluates the trained net on the test set as the run asks for


class TrainingBackend(Protocol):
    """The interface of the module that trains."""

    def prepare(self, run: Run, context: WorkerContext, report: Callable[[int, int], None]) -> None:
        """Prepare what all runs on these data share, before the time of the run starts.

        Call `report(images done, images in total)` meanwhile.
        """

    def train(self, runs: tuple[Run, ...], context: WorkerContext) -> Generator[Epoch, None, EvaluateRun]:
        """Train once for runs with one training key; yield every epoch, including those of a checkpoint.

        Return a function that evaluates the trained net with the views of one of the runs. Raises DivergedError,
        OutOfMemoryError.
        """

    def collect_facts(self, run: Run, context: WorkerContext) -> tuple[dict[str, int], dict[str, Any]]:
        """Return the audited costs and the environment, for the record."""

    def measure_peak(self, run: Run, context: WorkerContext) -> int | None:
        """Return the peak memory of the training so far in bytes, None where it is unknown."""

    def release_memory(self, context: WorkerContext) -> None:
        """Release memory that a worker without a job does not need."""


def perform_job(
    training: TrainingBackend,
    job: Job,
    context: WorkerContext,
    report: Callable[[Epoch], bool],
    report_decoding: Callable[[DecodingProgress], object] = lambda progress: None,
) -> JobEnded:
    """Lease, train and record the runs of a job; every record is written when this returns.

    `report` receives every epoch and returns whether to stop; `report_decoding` receives the progress of decoding now
    and then. Runs that have a record already, as after a worker was killed between two of them, are skipped: the
    training continues from its checkpoint for the others, or is repeated if there is none.
    Raises LeaseLostError, and writes nothing, if the job was given to another worker because this one was silent.
    """
    key, store, started = job.run.key, RecordStore(context.records), time.monotonic()
    with _hold_leases(job, context) as check_leases:

        def check_and_report(epoch: Epoch) -> bool:
            check_leases()
            return report(epoch)

        # Only now, with the leases: another worker may have written a record since this job was submitted.
        if runs := tuple(run for run in job.runs if run.key not in store):
            for run in runs:
                training.prepare(run, context, _limit_rate(key, report_decoding))
            for record in _train_and_record(training, job, runs, context, check_and_report):
                check_leases()
                store.put(record)
        # Only after the last record: until then a worker that takes over needs the checkpoint.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(context.locate_checkpoint(job.run.training_key))
    training.release_memory(context)
    record = store.get(key)
    peak_bytes = record.environment.get("peak_bytes")
    return JobEnded(key, record.outcome, record.reason, time.monotonic() - started, peak_bytes)


@contextlib.contextmanager
def _hold_leases(job: Job, context: WorkerContext) -> Iterator[Callable[[], None]]:
    """Hold the leases of all runs of a job; yield a function that raises LeaseLostError once one is broken.

    They are acquired in the order of their keys, so that two workers with runs in common never wait for each other.
    """
    with contextlib.ExitStack() as stack:
        keys = sorted(run.key for run in job.runs)
        checks = [
            stack.enter_context(hold_run_lease(context.locate_lease(key), context.heartbeat_timeout_s)) for key in keys
        ]

        def check_leases() -> None:
            for check in checks:
                check()

        yield check_leases


def _limit_rate(key: str, report_decoding: Callable[[DecodingProgress], object]) -> Callable[[int, int], None]:
    """Return a function that passes on one report per interval, and the last one."""
    last_report = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last_report
        if done == total or time.monotonic() - last_report >= _DECODING_REPORT_INTERVAL_S:
            last_report = time.monotonic()
            report_decoding(DecodingProgress(key, done, total))

    return report


def _train_and_record(
    training: TrainingBackend,
    job: Job,
    runs: tuple[Run, ...],
    context: WorkerContext,
    report: Callable[[Epoch], bool],
) -> Iterator[Record]:
    """Train once and yield the record of each of the runs as soon as it is evaluated."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    epochs: list[Epoch] = []
    evaluate: EvaluateRun | None = None
    outcome, reason = Outcome.FINISHED, ""
    audited, environment = training.collect_facts(runs[0], context)
    try:
        evaluate = _consume_epochs(training.train(runs, context), epochs, report)
        if evaluate is None:
            outcome, reason = Outcome.PRUNED, f"stopped after epoch {len(epochs)} of {runs[0].train.epochs}"
    except DivergedError as error:
        outcome, reason = Outcome.DIVERGED, str(error)
    except OutOfMemoryError as error:
        outcome, reason = Outcome.OUT_OF_MEMORY, str(error)
    difference = _find_difference(job.repeats, epochs, environment)
    for run in runs:
        metrics = None
        if evaluate is not None:
            try:
                metrics = evaluate(run)
                outcome, reason = Outcome.FINISHED, ""
            except OutOfMemoryError as error:  # one evaluation may show larger images than another
                outcome, reason = Outcome.OUT_OF_MEMORY, str(error)
        if metrics is not None and difference:
            metrics = metrics.model_copy(update={"details": metrics.details | {"retrained_differs": difference}})
        peak_bytes = training.measure_peak(run, context)
        yield Record(
            key=run.key,
            run=run,
            outcome=outcome,
            reason=reason,
            epochs=tuple(epochs),
            tested=metrics,
            costs=job.costs,
            audited=audited,
            environment=environment | ({} if peak_bytes is None else {"peak_bytes": peak_bytes}),
            train_seconds=sum(epoch.seconds for epoch in epochs),
            images_per_second=median(epoch.images_per_second for epoch in epochs) if epochs else 0.0,
            started=started,
        )


def _find_difference(recorded: Record | None, epochs: Sequence[Epoch], environment: Mapping[str, Any]) -> str:
    """Return the first number in which a repeated training differs from its record; empty if none does.

    Empty, too, in another environment than that of the record, where the bits may differ.
    """
    if recorded is None or any(recorded.environment.get(fact) != environment.get(fact) for fact in DECISIVE_FACTS):
        return ""
    for before, now in zip(recorded.epochs, epochs, strict=False):  # a repetition that was stopped has fewer
        for name in ("train_loss", "val_loss", "val_accuracy", "lr"):
            if getattr(before, name) != getattr(now, name):
                values = f"recorded {getattr(before, name)!r}, now {getattr(now, name)!r}"
                return f"{recorded.key}: epochs[{now.epoch - 1}].{name}: {values}"
    return ""


def _consume_epochs(
    training: Generator[Epoch, None, EvaluateRun], epochs: list[Epoch], report: Callable[[Epoch], bool]
) -> EvaluateRun | None:
    """Append every epoch to `epochs` and report it; return the evaluation, or None if `report` returned True."""
    while True:
        try:
            epoch = next(training)
        except StopIteration as end:
            return cast(EvaluateRun, end.value)
        epochs.append(epoch)
        if report(epoch):
            # Ends the training at its last yield now, and not when the generator is collected.
            training.close()
            return None


class DriverConnection:
    """The connection of a worker to its driver, for two threads: the one that trains and the one of heartbeats."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._send_lock = threading.Lock()  # a message is several writes, which must not interleave

    def send(self, message: object) -> None:
        """Send a message. Raises OSError if the driver is gone."""
        with self._send_lock:
            self._connection.send(message)

    def send_heartbeat(self) -> None:
        """Send a heartbeat; if the driver is gone, the next report of the training thread raises."""
        with contextlib.suppress(OSError):
            self.send(Heartbeat())

    def is_stop_requested(self, key: str) -> bool:
        """Return whether the driver has sent a StopRequest for this job."""
        return self._connection.poll() and self._connection.recv() == StopRequest(key)

    def wait_for_decision(self, key: str) -> bool:
        """Wait until the driver has decided on this job, and return whether it is to end. Raises EOFError."""
        while (message := self._connection.recv()) not in (StopRequest(key), ContinueRequest(key)):
            pass  # a request that arrived after its job had ended
        return isinstance(message, StopRequest)

    def receive_job(self) -> Job | None:
        """Wait for the next job; return None if the driver is gone."""
        try:
            while not isinstance(message := self._connection.recv(), Job):
                pass  # a StopRequest that arrived after its job had ended
            return message
        except (EOFError, ConnectionResetError):
            return None


def serve_jobs(connection: DriverConnection, training: TrainingBackend, context: WorkerContext) -> None:
    """Perform one job after another until the driver is gone."""
    while (job := connection.receive_job()) is not None:
        key = job.run.key
        # A hook and not `except Exception`: the process then ends by the bug, with the traceback in its log, and cannot
        # train another run in an unknown state.
        sys.excepthook = _build_exception_hook(connection, key)
        try:
            report = partial(_report, connection, job, partial(training.measure_peak, job.run, context))
            connection.send(perform_job(training, job, context, report, connection.send))
        except EnvironmentFailedError as error:
            connection.send(JobRefused(key, str(error)))
        except LeaseLostError as error:
            connection.send(JobLost(key, str(error)))


def _report(connection: DriverConnection, job: Job, measure_peak: Callable[[], int | None], epoch: Epoch) -> bool:
    """Report an epoch, with the peak memory so far, and return whether to stop."""
    key = job.run.key
    connection.send(EpochEnded(key, epoch, measure_peak()))
    return connection.wait_for_decision(key) if job.waits else connection.is_stop_requested(key)


def _build_exception_hook(connection: DriverConnection, key: str) -> Callable[..., None]:
    """Return an exception hook that reports the job as failed, with the traceback in the worker's log."""

    def report_failure(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace)
        with contextlib.suppress(OSError):
            connection.send(JobEnded(key, Outcome.FAILED, format_error(error, trace)))

    return report_failure


def format_error(error: BaseException, trace: TracebackType | None) -> str:
    """Format an error as one line with its place: `ValueError: bad label (reader.py:12)`."""
    frames = traceback.extract_tb(trace)[-1:]
    source = "".join(f" ({os.path.basename(frame.filename)}:{frame.lineno})" for frame in frames)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MAX_REASON_LENGTH] + source


def exit_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends.

    Linux only. On other systems a worker of a dead driver ends at its next report, at the latest after one epoch.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the driver died before the line above
            os._exit(1)


def main() -> None:
    """Run a worker process: `worker FILE-DESCRIPTOR PARENT-PID`.

    The first message is (name of the training module, WorkerContext); every further one is a Job or a StopRequest.
    """
    exit_with_parent(int(sys.argv[2]))
    pipe = Connection(int(sys.argv[1]))
    name, context = pipe.recv()
    connection = DriverConnection(pipe)
    with send_heartbeats(connection.send_heartbeat, compute_heartbeat_interval(context.heartbeat_timeout_s)):
        serve_jobs(connection, cast(TrainingBackend, importlib.import_module(name)), context)


if __name__ == "__main__":
    main()

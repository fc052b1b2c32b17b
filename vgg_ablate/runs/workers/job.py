"""The performance of a job: lease its runs, train once, and write the record of each run.

The module that trains is named by its importable name and has the functions of `TrainingBackend`: the package's own
(`workers.training`), or a fake in tests.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from types import TracebackType
from typing import Any, NamedTuple, Protocol, cast

from vgg_ablate.records import DECISIVE_FACTS, Epoch, FinalMetrics, Outcome, Record, RecordStore, Run
from vgg_ablate.runs.leases import hold_run_lease
from vgg_ablate.runs.workers.protocol import DecodingProgress, Job, JobEnded, WorkerContext
from vgg_ablate.training.errors import DivergedError, OutOfMemoryError

_DECODING_REPORT_INTERVAL_S = 1.0
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
    audited, environment = training.collect_facts(runs[0], context)
    trained = _train(training, runs, context, report)
    difference = _find_difference(job.repeats, trained.epochs, environment)
    for run in runs:
        outcome, reason, metrics = _evaluate(trained, run)
        if metrics is not None and difference:
            metrics = metrics.model_copy(update={"details": metrics.details | {"retrained_differs": difference}})
        peak_bytes = training.measure_peak(run, context)
        yield Record(
            key=run.key,
            run=run,
            outcome=outcome,
            reason=reason,
            epochs=trained.epochs,
            tested=metrics,
            costs=job.costs,
            audited=audited,
            environment=environment | ({} if peak_bytes is None else {"peak_bytes": peak_bytes}),
            train_seconds=sum(epoch.seconds for epoch in trained.epochs),
            images_per_second=median(epoch.images_per_second for epoch in trained.epochs) if trained.epochs else 0.0,
            started=started,
        )


class _TrainingResult(NamedTuple):
    """The end of a training that several runs may share."""

    epochs: tuple[Epoch, ...]
    outcome: Outcome
    reason: str = ""
    evaluate: EvaluateRun | None = None  # None: the training did not finish


def _train(
    training: TrainingBackend, runs: tuple[Run, ...], context: WorkerContext, report: Callable[[Epoch], bool]
) -> _TrainingResult:
    epochs: list[Epoch] = []
    try:
        evaluate = _consume_epochs(training.train(runs, context), epochs, report)
    except DivergedError as error:
        return _TrainingResult(tuple(epochs), Outcome.DIVERGED, str(error))
    except OutOfMemoryError as error:
        return _TrainingResult(tuple(epochs), Outcome.OUT_OF_MEMORY, str(error))
    if evaluate is None:
        reason = f"stopped after epoch {len(epochs)} of {runs[0].train.epochs}"
        return _TrainingResult(tuple(epochs), Outcome.PRUNED, reason)
    return _TrainingResult(tuple(epochs), Outcome.FINISHED, evaluate=evaluate)


def _evaluate(trained: _TrainingResult, run: Run) -> tuple[Outcome, str, FinalMetrics | None]:
    """Return the outcome of a run, its reason, and the test metrics of a net that finished its training."""
    if trained.evaluate is None:
        return trained.outcome, trained.reason, None
    try:
        return Outcome.FINISHED, "", trained.evaluate(run)
    except OutOfMemoryError as error:  # one evaluation may use larger images than another
        return Outcome.OUT_OF_MEMORY, str(error), None


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


def format_error(error: BaseException, trace: TracebackType | None) -> str:
    """Format an error as one line with its place: `ValueError: bad label (reader.py:12)`."""
    frames = traceback.extract_tb(trace)[-1:]
    source = "".join(f" ({os.path.basename(frame.filename)}:{frame.lineno})" for frame in frames)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MAX_REASON_LENGTH] + source

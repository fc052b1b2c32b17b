"""Workers as tasks of a Ray cluster: the same contract as local processes, on other machines.

Ray assigns a task to a machine and reports when the machine is gone; retries are left to the driver (`max_retries=0`),
which has the checkpoints. The runs of a process or machine that hangs are found by the watchdog and submitted again.

No shared folder is needed. A machine without the results folder works in its cache folder and returns its records as
the result of the task. With a shared folder, a lost run continues from its checkpoint on another machine.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import time
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vgg_ablate.data.cache import get_cache_dir
from vgg_ablate.errors import EnvironmentFailedError
from vgg_ablate.files import replace_file
from vgg_ablate.records import Epoch, Outcome, Record, RecordStore, build_predictions_path
from vgg_ablate.runs.leases import LeaseLostError, break_lease, read_driver_signature
from vgg_ablate.runs.workers.job import TrainingBackend, format_error, perform_job
from vgg_ablate.runs.workers.protocol import (
    DecodingProgress,
    EpochEnded,
    Job,
    JobEnded,
    JobLost,
    JobRefused,
    WorkerContext,
    WorkerEvent,
)
from vgg_ablate.runs.workers.watchdog import Watchdog, compute_heartbeat_interval, send_heartbeats

_CLUSTER_SIZE_INTERVAL_S = 5.0  # between two queries of the cluster's size, each of which takes milliseconds
_DECISION_INTERVAL_S = 0.05  # between two questions of a task that waits for a decision, and two looks of the driver

# A report of a task: an epoch, its progress of decoding, or None as a heartbeat.
_Report = EpochEnded | DecodingProgress | None


@dataclass
class _Task:
    """A submitted job."""

    reference: Any
    job: Job
    ticket: int  # of this submission; a lost job gets another one, which late reports do not have
    reached: int = 0  # number of the last epoch
    waits: bool = False  # for the decision on the epoch that it has reported last
    is_stopped: bool = False  # the driver has asked for its end


class RayPool:
    """One Ray task per job."""

    def __init__(
        self,
        training: str,
        context: WorkerContext,
        board: Any,
        task: Any,
        *,
        slot_count: int | None,
        runs_per_unit: int,
        signature: str,
    ) -> None:
        """Take Ray's handles of the message board and of the function that performs a job."""
        self._training = training
        self._context = context
        self._board = board
        self._task = task
        self._store = RecordStore(context.records)
        self._requested_slot_count = slot_count
        self._resource = "GPU" if context.device == "cuda" else "CPU"
        self._runs_per_resource = runs_per_unit
        self._slot_count = 1
        self._last_query = float("-inf")
        self._running: dict[str, _Task] = {}
        self._tickets = count()
        self._watchdog = Watchdog(context.heartbeat_timeout_s)
        self._signature = signature  # of the driver, by which a task recognises the results folder

    @classmethod
    def connect(
        cls,
        training: str,
        context: WorkerContext,
        *,
        address: str | None,
        slot_count: int | None,
        gpus: bool | None,
        runs_per_gpu: int = 1,
    ) -> RayPool:
        """Connect to the cluster at `address`, or start one on this machine.

        `slot_count`: jobs at the same time; None: one per CPU of the cluster, or `runs_per_gpu` per GPU, as machines
        come and go. `gpus`: whether to train on GPUs; None: if the cluster has any. Raises EnvironmentFailedError if no
        cluster answers.
        """
        _connect(address, slot_count)
        gpus = _get_cluster_resources().get("GPU", 0) > 0 if gpus is None else gpus
        # The board runs on the driver's machine: if that is lost, so is the driver, and nobody needs it.
        this_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        board_options = {"num_cpus": 0, "scheduling_strategy": this_node, "max_restarts": -1, "max_task_retries": -1}
        board: Any = ray.remote(_MessageBoard).options(**board_options).remote()
        task = ray.remote(_perform_task).options(
            num_cpus=0 if gpus else 1, num_gpus=1 / runs_per_gpu if gpus else 0, max_retries=0
        )
        context = replace(context, device="cuda" if gpus else "cpu")
        return cls(
            training,
            context,
            board,
            task,
            slot_count=slot_count,
            runs_per_unit=runs_per_gpu if gpus else 1,
            signature=read_driver_signature(context.folder),
        )

    @property
    def slot_count(self) -> int:
        """The number of jobs that can train at the same time; machines may come and go."""
        if self._requested_slot_count is not None:
            return self._requested_slot_count
        if time.monotonic() - self._last_query > _CLUSTER_SIZE_INTERVAL_S:
            units = _get_cluster_resources().get(self._resource, 0)
            self._slot_count, self._last_query = max(1, int(units * self._runs_per_resource)), time.monotonic()
        return self._slot_count

    def count_free_slots(self) -> int:
        """Return the number of jobs that can be submitted now."""
        return max(0, self.slot_count - len(self._running))

    def submit(self, job: Job) -> None:
        """Submit a job; Ray chooses the machine."""
        ticket = next(self._tickets)
        reference = self._task.remote(self._training, job, self._context, self._signature, self._board, ticket)
        self._running[job.run.key] = _Task(reference, job, ticket)
        self._watchdog.begin(job.run, waiting=True)  # Ray queues it until a machine has room, or starts one

    def poll(self, timeout: float) -> list[WorkerEvent]:
        """Return the events since the last call; wait for an end of a task for at most `timeout` seconds."""
        keys = {task.reference: key for key, task in self._running.items()}
        for task in self._running.values():
            if task.job.waits:
                timeout = min(timeout, _DECISION_INTERVAL_S)
            if task.waits:  # the driver has seen its last epoch, and decided whether to stop it
                task.waits = False
                answer = _Answer.STOP if task.is_stopped else _Answer.CONTINUE
                self._board.set_answer.remote(task.ticket, answer, task.reached)
        if keys:
            ray.wait(list(keys), timeout=timeout, num_returns=1)
        done, _ = ray.wait(list(keys), timeout=0, num_returns=len(keys)) if keys else ([], [])
        # The board is read after the ends are known: the last epoch of a task must not follow its end.
        reports = ray.get(self._board.take_reports.remote())
        events: list[WorkerEvent] = [event for report in reports for event in self._convert_report(*report)]
        events += [self._finish_task(keys[reference]) for reference in done]
        return events + [self._cancel_silent(lost) for lost in self._watchdog.find_silent_runs()]

    def stop(self, key: str) -> None:
        """Ask for the end of a job after its current epoch."""
        if (task := self._running.get(key)) is not None:
            task.is_stopped = True
            self._board.set_answer.remote(task.ticket, _Answer.STOP, task.reached)

    def close(self) -> None:
        """Disconnect from the cluster; Ray kills the tasks of this driver."""
        ray.shutdown()

    def _convert_report(self, key: str, ticket: int, report: _Report) -> list[WorkerEvent]:
        """Return the event of a report by a task that still has its job, if it is news for the driver."""
        task = self._running.get(key)
        if task is None or task.ticket != ticket:
            return []
        task.waits |= task.job.waits and isinstance(report, EpochEnded)
        # The board may deliver a report twice: it is restarted when it is killed, and a task that waits asks again.
        if not isinstance(report, EpochEnded) or report.epoch.epoch <= task.reached:
            self._watchdog.record_heartbeat(key)
            return [report] if isinstance(report, DecodingProgress) else []
        task.reached = report.epoch.epoch
        self._watchdog.record_epoch(key, report.epoch)
        return [report]

    def _finish_task(self, key: str) -> WorkerEvent:
        task = self._running.pop(key)
        self._watchdog.end(key)
        try:
            result = cast(_TaskResult, ray.get(task.reference))
        except RayTaskError as error:
            return _convert_error(key, error.cause or error)
        except RayError as error:
            return self._drop_task(key, task, f"its machine or process is gone: {type(error).__name__}")
        # Predictions first: a record never waits for its predictions.
        for name, content in result.predictions.items():
            replace_file(self._context.predictions / name, content)
        for record in result.records:
            self._store.put(Record.model_validate_json(record))
        return result.ended

    def _cancel_silent(self, lost: JobLost) -> JobLost:
        """Ask Ray to kill a task that hangs; where Ray cannot, the task finds its lease broken when it wakes up."""
        task = self._running.pop(lost.key)
        self._watchdog.end(lost.key)
        ray.cancel(task.reference, force=True)
        return self._drop_task(lost.key, task, lost.reason)

    def _drop_task(self, key: str, task: _Task, reason: str) -> JobLost:
        """Take its job from a task, which may train on behind a broken network, and break its leases."""
        self._board.set_answer.remote(task.ticket, _Answer.GONE, task.reached)
        for run in task.job.runs:
            break_lease(self._context.locate_lease(run.key))
        return JobLost(key, reason)


@dataclass
class _TaskResult:
    """The return value of a task."""

    ended: JobEnded
    records: list[str]  # one per run of the job, as JSON
    predictions: dict[str, bytes]  # stored ones by file name; empty if the machine has the results folder


class _Answer(Enum):
    """The answer to a report of a task."""

    CONTINUE = "continue"
    STOP = "stop"
    GONE = "the job was given to another task"
    UNDECIDED = "the driver has not seen this epoch yet"


class _MessageBoard:
    """An actor on the driver's machine: collects the reports of tasks and holds the answers to them.

    Ray restarts it when it is killed, empty: reports are then repeated or missing, which does no harm, since records
    and ends do not go through it.
    """

    def __init__(self) -> None:
        self._reports: list[tuple[str, int, _Report]] = []
        self._answers: dict[int, tuple[_Answer, int]] = {}  # by ticket, with the last epoch that the driver had seen

    def report(self, key: str, ticket: int, report: _Report) -> _Answer:
        """Add a report and return the answer for this task."""
        self._reports.append((key, ticket, report))
        answer, decided = self._answers.get(ticket, (_Answer.CONTINUE, 0))
        if answer is _Answer.CONTINUE and isinstance(report, EpochEnded) and report.epoch.epoch > decided:
            return _Answer.UNDECIDED
        return answer

    def set_answer(self, ticket: int, answer: _Answer, epoch: int) -> None:
        """Set the answer for a task, by a driver that has seen its reports up to this epoch."""
        self._answers[ticket] = (answer, epoch)

    def take_reports(self) -> list[tuple[str, int, _Report]]:
        """Return the reports since the last call."""
        reports, self._reports = self._reports, []
        return reports


def _connect(address: str | None, slot_count: int | None) -> None:
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    options: dict[str, Any] = {} if address else {"num_cpus": slot_count or os.cpu_count(), "include_dashboard": False}
    try:
        ray.init(
            address=address or "local",  # without an address Ray would join a cluster that happens to run here
            runtime_env={"env_vars": environment},
            log_to_driver=False,
            logging_level=logging.WARNING,
            **options,
        )
    except (ConnectionError, RayError, OSError) as error:
        raise EnvironmentFailedError(f"--address {address}: no Ray cluster: {str(error).splitlines()[0]}") from error


def _get_cluster_resources() -> dict[str, float]:
    return cast(dict[str, float], ray.cluster_resources())  # type: ignore[no-untyped-call]  # Ray has no types here


def _convert_error(key: str, cause: BaseException) -> WorkerEvent:
    """Return the event of a task that has raised."""
    if isinstance(cause, EnvironmentFailedError):
        return JobRefused(key, str(cause))
    if isinstance(cause, LeaseLostError):
        return JobLost(key, str(cause))
    return JobEnded(key, Outcome.FAILED, format_error(cause, None))


def _perform_task(
    training: str, job: Job, context: WorkerContext, driver_signature: str, board: Any, ticket: int
) -> _TaskResult:
    """Perform a job on this machine."""
    key = job.run.key
    # Before anything can hang: until its first report, a task counts as waiting for a machine.
    _report_and_wait(board, key, ticket, None, waits=False)

    def send_heartbeat() -> None:
        with contextlib.suppress(RayError):  # the driver is gone
            board.report.remote(key, ticket, None)

    with send_heartbeats(send_heartbeat, compute_heartbeat_interval(context.heartbeat_timeout_s)):
        backend = cast(TrainingBackend, importlib.import_module(training))
        # The lock file identifies the folder: another signature there, or none, means another one.
        is_shared = driver_signature != "" and read_driver_signature(context.folder) == driver_signature
        if not is_shared:
            context = replace(context, folder=Path(get_cache_dir(), "unfinished", *context.folder.parts[1:]))

        def report_epoch(epoch: Epoch) -> bool:
            report = EpochEnded(key, epoch, backend.measure_peak(job.run, context))
            return _report_and_wait(board, key, ticket, report, waits=job.waits)

        ended = perform_job(backend, job, context, report_epoch, partial(board.report.remote, key, ticket))
        records = [RecordStore(context.records).get_path(run.key) for run in job.runs]
        texts = [record.read_text(encoding="utf-8") for record in records]
        if is_shared:
            return _TaskResult(ended, texts, {})
        # The driver writes records and predictions into the results folder.
        paths = [build_predictions_path(context.predictions, run.key) for run in job.runs]
        paths = [path for path in paths if path.exists()]
        predictions = {path.name: path.read_bytes() for path in paths}
        for path in (*paths, *records):
            path.unlink()
        return _TaskResult(ended, texts, predictions)


def _report_and_wait(board: Any, key: str, ticket: int, report: _Report, *, waits: bool) -> bool:
    """Report, wait for the answer, and return whether to stop. Raises LeaseLostError if the job is gone.

    With `waits`, report again until the driver has decided on this epoch: the board may have lost either.
    """
    answer = ray.get(board.report.remote(key, ticket, report))
    while waits and answer is _Answer.UNDECIDED:
        time.sleep(_DECISION_INTERVAL_S)
        answer = ray.get(board.report.remote(key, ticket, report))
    if answer is _Answer.GONE:
        raise LeaseLostError(f"{key} was given to another machine: this one sent no heartbeat for too long")
    return answer is _Answer.STOP

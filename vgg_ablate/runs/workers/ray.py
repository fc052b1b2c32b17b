"""Workers of a Ray cluster: the same promise as local processes, on other machines.

Ray hands a task to a machine and says when it is gone; retries are the driver's. A process or a machine that hangs says
nothing: the watchdog gives its run to another. Records come back with the answer, and machines that do not see the
results folder work in their cache folder: a shared folder is not needed, but with one a run goes on from its checkpoint
on another machine.
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
from vgg_ablate.records import Epoch, Outcome, Record, RecordStore, build_predictions_path, replace_file
from vgg_ablate.runs.leases import LeaseLostError, break_lease, read_driver_signature
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
from vgg_ablate.runs.workers.worker import TrainingBackend, format_error, perform_job

_COUNTED = 5.0  # seconds between two looks at how large the cluster is


@dataclass
class _Task:
    reference: Any
    job: Job
    ticket: int  # of this handing out; a run that was lost has another the next time
    reached: int = 0  # epochs


class RayPool:
    """One task a run. `slots` None: as many as the cluster has CPUs, or GPUs times `packing`, from moment to moment."""

    def __init__(
        self,
        training: str,
        place: WorkerContext,
        *,
        address: str | None,
        slots: int | None,
        gpus: bool | None,
        packing: int = 1,
    ) -> None:
        """`gpus` None: where the cluster has any. Raises EnvironmentFailed where no cluster answers."""
        _join(address, slots)
        gpus = _resources().get("GPU", 0) > 0 if gpus is None else gpus
        place = replace(place, device="cuda" if gpus else "cpu")
        self._training, self._place, self._store = training, place, RecordStore(place.records)
        self._asked, self._kind, self._packing = slots, "GPU" if gpus else "CPU", packing if gpus else 1
        self._slots, self._counted = 1, float("-inf")
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board: Any = (
            ray.remote(_Board)
            .options(num_cpus=0, scheduling_strategy=here, max_restarts=-1, max_task_retries=-1)
            .remote()
        )
        self._task = ray.remote(_performed).options(
            num_cpus=0 if gpus else 1, num_gpus=1 / packing if gpus else 0, max_retries=0
        )
        self._running: dict[str, _Task] = {}
        self._tickets, self._watch, self._signature = (
            count(),
            Watchdog(place.heartbeat_timeout_s),
            read_driver_signature(place.folder),
        )

    @property
    def slots(self) -> int:
        """How many runs it can train at once; machines may come and go."""
        if self._asked is not None:
            return self._asked
        if time.monotonic() - self._counted > _COUNTED:
            found = _resources().get(self._kind, 0)
            self._slots, self._counted = max(1, int(found * self._packing)), time.monotonic()
        return self._slots

    def free(self) -> int:
        """How many runs can be submitted now."""
        return max(0, self.slots - len(self._running))

    def submit(self, job: Job) -> None:
        """Hand out a run to whichever machine has room."""
        ticket = next(self._tickets)
        reference = self._task.remote(self._training, job, self._place, self._signature, self._board, ticket)
        self._running[job.run.key] = _Task(reference, job, ticket)
        self._watch.begin(job.run, waiting=True)  # for room, or for a machine

    def poll(self, timeout: float) -> list[WorkerEvent]:
        """What has happened, after at most `timeout` seconds."""
        references = {task.reference: key for key, task in self._running.items()}
        if references:
            ray.wait(list(references), timeout=timeout, num_returns=1)
        done, _ = ray.wait(list(references), timeout=0, num_returns=len(references)) if references else ([], [])
        events: list[WorkerEvent] = [
            event for said in ray.get(self._board.taken.remote()) for event in self._heard(*said)
        ]
        events += [self._ended(references[reference]) for reference in done]
        return events + [self._given_up(lost) for lost in self._watch.find_silent_runs()]

    def stop(self, key: str) -> None:
        """Ask for the end of a run after its current epoch."""
        if (task := self._running.get(key)) is not None:
            self._board.change.remote(task.ticket, _Answer.STOP)

    def close(self) -> None:
        """Leave the cluster; Ray ends this driver's tasks."""
        ray.shutdown()

    def _heard(self, key: str, ticket: int, said: Epoch | DecodingProgress | None) -> list[WorkerEvent]:
        """Of a task that still has its run: a sign of life, or an epoch that was not reported before."""
        task = self._running.get(key)
        if task is None or task.ticket != ticket:
            return []
        if not isinstance(said, Epoch) or said.epoch <= task.reached:
            self._watch.alive(key)
            return [said] if isinstance(said, DecodingProgress) else []
        task.reached = said.epoch
        self._watch.epoch(key, said)
        return [EpochEnded(key, said)]

    def _ended(self, key: str) -> WorkerEvent:
        task = self._running.pop(key)
        self._watch.end(key)
        try:
            answer = cast(_Performed, ray.get(task.reference))
        except RayTaskError as error:
            return _failed(key, error.cause or error)
        except RayError as error:
            return self._dropped(key, task, f"its machine or process is gone: {type(error).__name__}")
        for name, content in answer.predictions.items():
            replace_file(self._place.predictions / name, content)
        for record in answer.records:
            self._store.put(Record.model_validate_json(record))
        return answer.ended

    def _given_up(self, lost: JobLost) -> JobLost:
        """Ray kills what hangs where it still can; what wakes up later finds that the run is not its own any more."""
        task = self._running.pop(lost.key)
        self._watch.end(lost.key)
        ray.cancel(task.reference, force=True)
        return self._dropped(lost.key, task, lost.reason)

    def _dropped(self, key: str, task: _Task, reason: str) -> JobLost:
        """Gone as far as anyone can see from here; on the far side of a broken network it may train on."""
        self._board.change.remote(task.ticket, _Answer.GONE)
        for run in task.job.runs:
            break_lease(self._place.lease(run.key))
        return JobLost(key, reason)


@dataclass
class _Performed:
    """What a task answers."""

    ended: JobEnded
    records: list[str]  # of every run of the job, as JSON
    predictions: dict[str, bytes]  # kept ones by file name; empty where the machine sees the results folder


class _Answer(Enum):
    """What a task hears when it has reported an epoch."""

    ON = "go on"
    STOP = "stop"
    GONE = "the run was given to another"


class _Board:
    """On the driver's machine: what tasks report, and what they are told. Killed, it is started again, empty."""

    def __init__(self) -> None:
        self._said: list[tuple[str, int, Epoch | DecodingProgress | None]] = []
        self._answers: dict[int, _Answer] = {}

    def report(self, key: str, ticket: int, said: Epoch | DecodingProgress | None) -> _Answer:
        """An epoch, how far the images are, or with None a sign of life."""
        self._said.append((key, ticket, said))
        return self._answers.get(ticket, _Answer.ON)

    def change(self, ticket: int, answer: _Answer) -> None:
        self._answers[ticket] = answer

    def taken(self) -> list[tuple[str, int, Epoch | DecodingProgress | None]]:
        said, self._said = self._said, []
        return said


def _join(address: str | None, slots: int | None) -> None:
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    local: dict[str, Any] = {} if address else {"num_cpus": slots or os.cpu_count(), "include_dashboard": False}
    try:
        ray.init(
            address=address or "local",  # a cluster that happens to run here is not meant
            runtime_env={"env_vars": environment},
            log_to_driver=False,
            logging_level=logging.WARNING,
            **local,
        )
    except (ConnectionError, RayError, OSError) as error:
        raise EnvironmentFailedError(f"--address {address}: no Ray cluster: {str(error).splitlines()[0]}") from error


def _resources() -> dict[str, float]:
    """What the cluster has, of each kind."""
    return cast(dict[str, float], ray.cluster_resources())  # type: ignore[no-untyped-call]  # Ray does not say


def _failed(key: str, cause: BaseException) -> WorkerEvent:
    if isinstance(cause, EnvironmentFailedError):
        return JobRefused(key, str(cause))
    if isinstance(cause, LeaseLostError):
        return JobLost(key, str(cause))
    return JobEnded(key, Outcome.FAILED, format_error(cause, None))


def _performed(training: str, job: Job, place: WorkerContext, signed: str, board: Any, ticket: int) -> _Performed:
    """A task: perform a job on this machine; what became of it, and its records."""
    key = job.run.key
    _told(board, key, ticket, None)  # heard before anything can hang: until its first sign it waits for a machine

    def sign() -> None:
        with contextlib.suppress(RayError):  # the driver is gone
            board.report.remote(key, ticket, None)

    with send_heartbeats(sign, compute_heartbeat_interval(place.heartbeat_timeout_s)):
        seam = cast(TrainingBackend, importlib.import_module(training))
        shared = signed != "" and read_driver_signature(place.folder) == signed
        here = place if shared else replace(place, folder=Path(get_cache_dir(), "unfinished", *place.folder.parts[1:]))
        ended = perform_job(
            seam, job, here, partial(_told, board, key, ticket), partial(board.report.remote, key, ticket)
        )
        records = [RecordStore(here.records).path(run.key) for run in job.runs]
        texts = [record.read_text(encoding="utf-8") for record in records]
        kept: dict[str, bytes] = {}
        if not shared:  # the driver keeps them
            paths = [path for run in job.runs if (path := build_predictions_path(here.predictions, run.key)).exists()]
            kept = {path.name: path.read_bytes() for path in paths}
            for path in (*paths, *records):
                path.unlink()
    return _Performed(ended, texts, kept)


def _told(board: Any, key: str, ticket: int, said: Epoch | None) -> bool:
    """Report, and wait for the answer: should the run stop?"""
    answer = ray.get(board.report.remote(key, ticket, said))
    if answer is _Answer.GONE:
        raise LeaseLostError(f"{key} was given to another machine: this one was silent for too long")
    return answer is _Answer.STOP

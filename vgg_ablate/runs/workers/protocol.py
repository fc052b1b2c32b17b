"""The interface of worker pools, and the messages between driver and workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vgg_ablate.records import Epoch, Outcome, Record, Run

HEARTBEAT_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """Where a worker trains and what it may use there; nothing in it changes the result of a run."""

    folder: Path  # the results folder of the study
    device: str = "cpu"  # torch's name for it inside the worker
    threads: int = 1
    heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S  # without a heartbeat after which a worker loses its run

    @property
    def records(self) -> Path:
        """The folder of records."""
        return self.folder / "records"

    def locate_lease(self, key: str) -> Path:
        """Return the path of the file that is locked while the run is trained."""
        return self.folder / "locks" / key

    def locate_checkpoint(self, training_key: str) -> Path:
        """Return the path of the checkpoint from which an unfinished training continues."""
        return self.folder / "checkpoints" / training_key

    @property
    def predictions(self) -> Path:
        """The folder of stored class probabilities (`train.keep: predictions`)."""
        return self.folder / "predictions"


@dataclass(frozen=True, slots=True)
class Job:
    """One training that is submitted to a worker, and the runs that get their records from it.

    Messages name a job by the key of its first run.
    """

    run: Run
    costs: dict[str, int]  # per example, in closed form; stored in every record
    others: tuple[Run, ...] = ()  # further runs with the same training key: the same net, evaluated in another way
    repeats: Record | None = None  # record of a run with the same training key, which this training must reproduce
    waits: bool = False  # after every epoch, until the driver has decided whether the run goes on

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run that gets its record from this training."""
        return (self.run, *self.others)


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A message to a worker: stop this run after its current epoch, and record it as pruned."""

    key: str


@dataclass(frozen=True, slots=True)
class ContinueRequest:
    """A message to a worker that waits after an epoch: go on with this run."""

    key: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A message from a worker to its pool: the process is alive."""


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A message from the scheduler to the views: a run was handed to a worker."""

    key: str


@dataclass(frozen=True, slots=True)
class DecodingProgress:
    """A message from a worker: the progress of decoding the images of a data set, before the first epoch."""

    key: str
    done: int  # images
    total: int  # images


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """A message from a worker: an epoch of this job has ended."""

    key: str
    epoch: Epoch
    peak_bytes: int | None = None  # measured peak memory so far


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A message from a worker: all records of a job are written, or with outcome `failed`, a bug prevented some."""

    key: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0  # wall time in the worker, without its start
    peak_bytes: int | None = None  # measured peak memory


@dataclass(frozen=True, slots=True)
class JobRefused:
    """A message from a worker: the disk, the data or the device is not usable, and no run of the study can continue."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobLost:
    """A message from a pool: the worker of this job has ended without a message, or sent no heartbeat for too long."""

    key: str
    reason: str
    is_given_up: bool = False  # set by the scheduler: the run is not handed out again in this start


WorkerEvent = DecodingProgress | EpochEnded | JobEnded | JobRefused | JobLost
RunEvent = JobStarted | DecodingProgress | EpochEnded | JobEnded | JobLost  # of one run, for the views


class WorkerPool(Protocol):
    """Workers as local processes or as tasks of a cluster. A pool is used by one thread."""

    @property
    def slot_count(self) -> int:
        """The number of jobs that can train at the same time."""

    def count_free_slots(self) -> int:
        """Return the number of jobs that can be submitted now."""

    def submit(self, job: Job) -> None:
        """Submit a job; `count_free_slots()` must not be 0."""

    def poll(self, timeout: float) -> list[WorkerEvent]:
        """Return the events since the last call; wait for the first one for at most `timeout` seconds."""

    def stop(self, key: str) -> None:
        """Ask for the end of a job after its current epoch."""

    def close(self) -> None:
        """Kill every worker; unfinished trainings continue from their checkpoints at the next start."""

"""What a pool of workers promises, and the words that driver and workers exchange."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vgg_ablate.records import Epoch, Outcome, Record, Run

HEARTBEAT_TIMEOUT_S = 120.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """Where a run is trained and what it may use there; none of it changes the result."""

    folder: Path  # the study's results
    device: str = "cpu"  # as torch names it, from inside the worker
    threads: int = 1
    heartbeat_timeout_s: float = (
        HEARTBEAT_TIMEOUT_S  # seconds without a sign of life after which whoever has a run has lost it
    )

    @property
    def records(self) -> Path:
        """The folder of records."""
        return self.folder / "records"

    def lease(self, key: str) -> Path:
        """The file that is locked while the run is trained."""
        return self.folder / "locks" / key

    def checkpoint(self, training_key: str) -> Path:
        """Where an unfinished training goes on from."""
        return self.folder / "checkpoints" / training_key

    @property
    def predictions(self) -> Path:
        """The folder of kept class probabilities (`train.keep`)."""
        return self.folder / "predictions"


@dataclass(frozen=True, slots=True)
class Job:
    """One training that is handed to a worker, and the runs that it serves. It is named by the key of the first."""

    run: Run
    costs: dict[str, int]  # per example, closed form; kept in every record
    others: tuple[Run, ...] = ()  # further runs with the same training key: the same net, evaluated in another way
    repeats: Record | None = None  # of a run with the same training key: what this training is to come to again

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run that gets its record from this training."""
        return (self.run, *self.others)


@dataclass(frozen=True, slots=True)
class StopRequest:
    """To a worker: end this run after its epoch; it is pruned."""

    key: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """From a worker to its pool: it can speak."""


@dataclass(frozen=True, slots=True)
class JobStarted:
    """From the scheduler to the views: a run was handed to a worker."""

    key: str


@dataclass(frozen=True, slots=True)
class DecodingProgress:
    """From a worker: before its first epoch it makes arrays of the images, and has come so far."""

    key: str
    done: int  # images
    of: int


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """From a worker: an epoch of this run is over."""

    key: str
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class JobEnded:
    """From a worker: every record of this job is in place; or, with `failed`, a bug ended it and some are missing."""

    key: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0  # of the worker's wall time, without its start
    peak_bytes: int | None = None  # of memory, as measured


@dataclass(frozen=True, slots=True)
class JobRefused:
    """From a worker: what is around the run (disk, data, device) is not as it must be; nothing can go on."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobLost:
    """From a pool: the worker of this run is gone and left no word, or has fallen silent and lost its lease."""

    key: str
    reason: str
    is_given_up: bool = False  # set by the scheduler: the run is not handed out again in this start


WorkerEvent = DecodingProgress | EpochEnded | JobEnded | JobRefused | JobLost
RunEvent = JobStarted | DecodingProgress | EpochEnded | JobEnded | JobLost  # of one run, for the views


class WorkerPool(Protocol):
    """Workers: local processes, or those of a cluster. One thread uses it."""

    @property
    def slots(self) -> int:
        """How many runs it can train at once."""

    def free(self) -> int:
        """How many runs can be submitted now."""

    def submit(self, job: Job) -> None:
        """Hand out a run; `free()` must not be 0."""

    def poll(self, timeout: float) -> list[WorkerEvent]:
        """What has happened, after at most `timeout` seconds."""

    def stop(self, key: str) -> None:
        """Ask for the end of a run after its current epoch."""

    def close(self) -> None:
        """End every worker now; unfinished runs go on from their checkpoints another time."""

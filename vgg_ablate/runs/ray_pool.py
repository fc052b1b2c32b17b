"""Workers of a Ray cluster: the same promise as local processes, on other machines.

Ray hands a task to a machine and says when it is gone; retries are the driver's. A machine that hangs says nothing, so
silence far beyond the longest epoch counts as a loss. Records come back with the answer: a shared folder is not needed,
but with one a run goes on from its checkpoint on another machine.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any, cast

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vgg_ablate.errors import EnvironmentFailed
from vgg_ablate.records import Epoch, Outcome, Record, Store
from vgg_ablate.runs.pools import Ended, Event, Job, Lost, Place, Refused, Reported
from vgg_ablate.runs.worker import Training, one_line, perform

_SILENCE = 10.0  # times the longest epoch seen
_PATIENCE = 120.0  # seconds of silence that are never too long: a start, a first epoch


@dataclass
class _Task:
    reference: Any
    heard: float = field(default_factory=time.monotonic)
    longest: float = 0.0  # seconds between two reports


class RayPool:
    """One task a run. `slots` None: as many as the cluster has CPUs, or GPUs times `packing`."""

    def __init__(
        self, training: str, place: Place, *, address: str | None, slots: int | None, gpus: bool, packing: int = 1
    ) -> None:
        """Raises EnvironmentFailed where no cluster answers."""
        self._training, self._place, self._store = training, place, Store(place.records)
        environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        local: dict[str, Any] = {} if address else {"num_cpus": slots or os.cpu_count(), "include_dashboard": False}
        try:
            ray.init(address=address, runtime_env={"env_vars": environment}, log_to_driver=False, **local)
        except (ConnectionError, RayError, OSError) as error:
            raise EnvironmentFailed(f"--address {address}: no Ray cluster: {str(error).splitlines()[0]}") from error
        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray does not say
        self._slots = slots or max(1, int(found.get("GPU", 0) * packing if gpus else found.get("CPU", 1)))
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board: Any = ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()
        self._task = ray.remote(_performed).options(
            num_cpus=0 if gpus else 1, num_gpus=1 / packing if gpus else 0, max_retries=0
        )
        self._running: dict[str, _Task] = {}

    @property
    def slots(self) -> int:
        """How many runs it can train at once."""
        return self._slots

    def free(self) -> int:
        """How many runs can be submitted now."""
        return self._slots - len(self._running)

    def submit(self, job: Job) -> None:
        """Hand out a run to whichever machine has room."""
        key = job.run.key
        self._running[key] = _Task(self._task.remote(self._training, job, self._place, self._board))

    def poll(self, timeout: float) -> list[Event]:
        """What has happened, after at most `timeout` seconds."""
        references = {task.reference: key for key, task in self._running.items()}
        done, _ = ray.wait(list(references), timeout=timeout, num_returns=len(references)) if references else ([], [])
        events: list[Event] = [self._heard(key, epoch) for key, epoch in ray.get(self._board.taken.remote())]
        events += [self._ended(references[reference]) for reference in done]
        return events + self._silent()

    def stop(self, key: str) -> None:
        """Ask for the end of a run after its current epoch."""
        self._board.stop.remote(key)

    def close(self) -> None:
        """Leave the cluster; Ray ends this driver's tasks."""
        ray.shutdown()

    def _heard(self, key: str, epoch: Epoch) -> Reported:
        if (task := self._running.get(key)) is not None:
            now = time.monotonic()
            task.longest, task.heard = max(task.longest, now - task.heard), now
        return Reported(key, epoch)

    def _ended(self, key: str) -> Event:
        task = self._running.pop(key)
        try:
            ended, record = ray.get(task.reference)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, EnvironmentFailed):
                return Refused(key, str(cause))
            return Ended(key, Outcome.FAILED, one_line(cause or error, None))
        except RayError as error:
            return Lost(key, f"its machine or process is gone: {type(error).__name__}")
        self._store.put(Record.model_validate_json(record))
        return cast(Ended, ended)

    def _silent(self) -> list[Event]:
        """Runs of which nothing was heard for too long are given to others; the lease keeps them from meeting."""
        events: list[Event] = []
        for key, task in list(self._running.items()):
            silence = time.monotonic() - task.heard
            if silence > max(_PATIENCE, _SILENCE * task.longest):
                ray.cancel(task.reference, force=True)
                del self._running[key]
                events.append(Lost(key, f"nothing was heard of it for {silence:.0f} s"))
        return events


class _Board:
    """On the driver's machine: what tasks report, and which of them are to stop."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Epoch]] = []
        self._stopped: set[str] = set()

    def report(self, key: str, epoch: Epoch) -> bool:
        self._events.append((key, epoch))
        return key in self._stopped

    def stop(self, key: str) -> None:
        self._stopped.add(key)

    def taken(self) -> list[tuple[str, Epoch]]:
        events, self._events = self._events, []
        return events


def _performed(training: str, job: Job, place: Place, board: Any) -> tuple[Ended, str]:
    """A task: perform a run on this machine; what became of it, and its record."""
    key = job.run.key
    seam = cast(Training, importlib.import_module(training))

    def report(epoch: Epoch) -> bool:
        return bool(ray.get(board.report.remote(key, epoch)))

    ended = perform(seam, job, place, report)
    return ended, Store(place.records).path(key).read_text(encoding="utf-8")

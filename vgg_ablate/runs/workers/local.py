"""Worker processes on this machine: one per slot, started when first needed, used for many runs, replaced when lost.

Workers are started with subprocess and not with multiprocessing's spawn: their environment (GPU, threads) is set before
Python starts there, and a user's script needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

from vgg_ablate.errors import EnvironmentFailedError, StorageError
from vgg_ablate.records import Outcome
from vgg_ablate.runs.leases import break_lease
from vgg_ablate.runs.resources.packing import GpuPacking, get_slot_device
from vgg_ablate.runs.resources.slots import Slot
from vgg_ablate.runs.workers.protocol import (
    ContinueRequest,
    DecodingProgress,
    EpochEnded,
    Heartbeat,
    Job,
    JobEnded,
    JobLost,
    StopRequest,
    WorkerContext,
    WorkerEvent,
)
from vgg_ablate.runs.workers.watchdog import Watchdog

_KILL_TIMEOUT_S = 5.0  # a killed process that waits for a disk stays longer, and is not waited for
_MAX_FAILED_STARTS = 3  # workers in a row that exit before their first message: the cause is common to all


@dataclass
class _Worker:
    """A worker process, the connection to it, and its job (None: it is idle)."""

    process: subprocess.Popen[bytes]
    connection: Connection
    job: Job | None = None
    waits: bool = False  # for the decision on the epoch that it has reported last

    @property
    def key(self) -> str | None:
        return None if self.job is None else self.job.run.key


class LocalPool:
    """One worker process per slot.

    Use a pool only from the thread that created it, and keep that thread running: on Linux the workers end with it.
    """

    def __init__(
        self, slots: tuple[Slot, ...], training: str, context: WorkerContext, packing: GpuPacking | None = None
    ) -> None:
        """Use these slots; `training` is the importable name of a training backend.

        With `packing`, a slot is used only while its device has the memory for another run.
        """
        self._slots = slots
        self._training = training
        self._context = context
        self._packing = packing
        self._watchdog = Watchdog(context.heartbeat_timeout_s)
        self._workers: dict[Slot, _Worker] = {}
        self._held: Job | None = None  # submitted, but no device has the memory yet
        self._failed_starts = 0

    @property
    def slot_count(self) -> int:
        """The number of jobs that can train at the same time, as far as is known."""
        return self._packing.estimate_capacity() if self._packing else len(self._slots)

    def count_free_slots(self) -> int:
        """Return the number of jobs that can be submitted now."""
        idle = len(self._list_idle_slots())
        # With packing, one job at a time: whether a second fits depends on where the first goes. A held job blocks the
        # queue, so that no smaller run overtakes a large one forever.
        return idle if self._packing is None else min(1, idle) * (self._held is None)

    def submit(self, job: Job) -> None:
        """Send a job to an idle worker or to a new one in an empty slot; hold it if no device has the memory."""
        slot = self._choose_slot(job)
        if slot is None:
            self._held = job
            return
        worker = self._workers.get(slot) or self._start_worker(slot)
        worker.job = job
        self._watchdog.begin(job.run)
        _send(worker, job)

    def poll(self, timeout: float) -> list[WorkerEvent]:
        """Return the events since the last call; wait for the first one for at most `timeout` seconds."""
        if self._held is not None:
            job, self._held = self._held, None
            self.submit(job)
        for worker in self._workers.values():
            if worker.waits and worker.key is not None:  # the driver has seen its epoch and has not stopped it
                worker.waits = False
                _send(worker, ContinueRequest(worker.key))
        slots = {worker.connection: slot for slot, worker in self._workers.items()}
        ready = wait(list(slots), timeout)
        events = [event for connection in ready for event in self._read_events(slots[connection])]  # type: ignore[index]
        return events + [self._kill_silent(lost) for lost in self._watchdog.find_silent_runs()]

    def stop(self, key: str) -> None:
        """Ask for the end of a job after its current epoch."""
        for worker in self._workers.values():
            if worker.key == key:
                worker.waits = False
                _send(worker, StopRequest(key))

    def close(self) -> None:
        """Kill every worker."""
        # All are killed before the first is waited for, so that closing takes as long as the slowest and not as all.
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(_KILL_TIMEOUT_S)
            worker.connection.close()
        self._workers.clear()

    def _list_idle_slots(self) -> list[Slot]:
        """Return the slots without a job, those with a running worker first: it has imported torch already."""
        waiting = [slot for slot, worker in self._workers.items() if worker.key is None]
        return waiting + [slot for slot in self._slots if slot not in self._workers]

    def _choose_slot(self, job: Job) -> Slot | None:
        """Return the slot for a job; None if it must wait for memory."""
        idle = self._list_idle_slots()
        if self._packing is None:
            return idle[0]
        devices = self._packing.find_devices(job.run, idle, Counter(map(get_slot_device, self._workers)))
        if not devices:
            return None
        self._packing.begin(job.run, devices[0])
        return next(slot for slot in idle if get_slot_device(slot) == devices[0])

    def _start_worker(self, slot: Slot) -> _Worker:
        parent_end, child_end = Pipe()
        # The parent's sys.path: a training backend may lie where only this program looks, as in a notebook or a test.
        environment = os.environ | slot.environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        descriptor = str(child_end.fileno())
        try:
            log = self._locate_log(slot)
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "vgg_ablate.runs.workers.worker", descriptor, str(os.getpid())],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[child_end.fileno()],
                    process_group=0,  # a terminal's Ctrl-C goes to the driver alone, which then kills its workers
                )
        except OSError as error:
            raise StorageError(f"{error.filename or self._context.folder}: {error.strerror}") from error
        child_end.close()  # else the connection would stay open when the worker dies
        context = replace(self._context, device=slot.device, threads=slot.threads)
        worker = self._workers[slot] = _Worker(process, parent_end)
        _send(worker, (self._training, context))
        return worker

    def _read_events(self, slot: Slot) -> list[WorkerEvent]:
        """Return every message that a worker has sent, and its end if it has exited."""
        worker, events = self._workers[slot], list[WorkerEvent]()
        try:
            # Everything that has arrived, and the end only after it: the last record must not be taken for a loss.
            while worker.connection.poll():
                event = worker.connection.recv()
                if isinstance(event, Heartbeat):
                    self._watchdog.record_heartbeat(worker.key or "")
                    continue
                events.append(event)
                self._failed_starts = 0
                if isinstance(event, DecodingProgress):
                    self._watchdog.record_heartbeat(event.key)
                    continue
                if isinstance(event, EpochEnded):
                    self._watchdog.record_epoch(event.key, event.epoch)
                    worker.waits = worker.job is not None and worker.job.waits
                    continue
                self._release_job(worker, event.peak_bytes if isinstance(event, JobEnded) else None)
                if isinstance(event, JobEnded) and event.outcome is Outcome.FAILED:
                    # A bug: the process sends its last message from the exception hook, and must not get another job.
                    worker.process.kill()
                    return events + self._remove_dead_worker(slot)
        except (EOFError, ConnectionResetError):
            events += self._remove_dead_worker(slot)
        return events

    def _kill_silent(self, lost: JobLost) -> JobLost:
        """Kill a worker that hangs, so that it never wakes up, and break its leases in case it cannot die yet."""
        slot, worker = next((slot, worker) for slot, worker in self._workers.items() if worker.key == lost.key)
        worker.process.kill()
        for run in () if worker.job is None else worker.job.runs:
            break_lease(self._context.locate_lease(run.key))
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(_KILL_TIMEOUT_S)
        worker.connection.close()
        del self._workers[slot]
        self._release_job(worker)
        return lost

    def _release_job(self, worker: _Worker, peak_bytes: int | None = None) -> str | None:
        """Take the job from a worker and return its key, None if it was idle."""
        key, worker.job, worker.waits = worker.key, None, False
        self._watchdog.end(key or "")
        if self._packing and key is not None:
            self._packing.end(key, peak_bytes)
        return key

    def _remove_dead_worker(self, slot: Slot) -> list[WorkerEvent]:
        """Remove a worker that has exited; return its job as lost. Raises EnvironmentFailedError if none starts."""
        worker = self._workers.pop(slot)
        worker.connection.close()
        status = worker.process.wait()
        key = self._release_job(worker)
        if key is None:
            return []
        cause = f"signal {-status}" if status < 0 else f"exit status {status}"
        # Only workers that exit by themselves count: the next one may outlive one that was killed.
        self._failed_starts += status > 0
        if self._failed_starts >= _MAX_FAILED_STARTS:
            raise EnvironmentFailedError(
                f"workers exit as soon as they start, with {cause}; see {self._locate_log(slot)} for the reason"
            )
        return [JobLost(key, f"its worker ended with {cause}")]

    def _locate_log(self, slot: Slot) -> Path:
        return self._context.folder / "logs" / f"{slot.name}.log"


def _send(worker: _Worker, message: object) -> None:
    """Send a message. If the worker has died, `poll` reads the end of its connection and returns its job as lost."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        worker.connection.send(message)

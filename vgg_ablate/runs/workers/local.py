"""Worker processes on this machine: one a slot, started when first needed, kept for many runs, replaced when lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe, wait

from vgg_ablate.errors import EnvironmentFailedError, StorageError
from vgg_ablate.records import Outcome
from vgg_ablate.runs.leases import break_lease
from vgg_ablate.runs.resources.packing import GpuPacking, get_slot_device
from vgg_ablate.runs.resources.slots import Slot
from vgg_ablate.runs.workers.protocol import (
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

_GRACE = 5.0  # seconds for a killed process to be gone; one that waits for a dead disk takes longer
_STILLBORN = 3  # workers in a row that end before they have answered: something is wrong with all of them


@dataclass
class _Worker:
    """A process, its line, and the job it has (None: it waits)."""

    process: subprocess.Popen[bytes]
    line: Connection
    job: Job | None = None

    @property
    def key(self) -> str | None:
        return None if self.job is None else self.job.run.key


class LocalPool:
    """One process a slot. It must be used from the thread that made it, and that thread must live as long as it."""

    def __init__(
        self, slots: tuple[Slot, ...], training: str, place: WorkerContext, packing: GpuPacking | None = None
    ) -> None:
        """With `packing`, a slot is used only while its device has the memory for another run."""
        self._slots, self._training, self._place, self._packing = slots, training, place, packing
        self._watch = Watchdog(place.heartbeat_timeout_s)
        self._workers: dict[Slot, _Worker] = {}
        self._held: Job | None = None  # submitted, and waiting for memory
        self._stillborn = 0

    @property
    def slots(self) -> int:
        """How many runs it can train at once, as far as is known."""
        return self._packing.estimate_capacity() if self._packing else len(self._slots)

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of the living workers."""
        return tuple(worker.process.pid for worker in self._workers.values())

    def free(self) -> int:
        """How many runs can be submitted now."""
        idle = len(self._idle())
        return idle if self._packing is None else min(1, idle) * (self._held is None)

    def submit(self, job: Job) -> None:
        """Hand out a run, to a waiting worker or to a new one in an empty slot; or hold it until there is memory."""
        slot = self._slot(job)
        if slot is None:
            self._held = job
            return
        worker = self._workers.get(slot) or self._start(slot)
        worker.job = job
        self._watch.begin(job.run)
        _send(worker, job)

    def poll(self, timeout: float) -> list[WorkerEvent]:
        """What has happened, after at most `timeout` seconds."""
        if self._held is not None:
            job, self._held = self._held, None
            self.submit(job)
        lines = {worker.line: slot for slot, worker in self._workers.items()}
        events = [event for line in wait(list(lines), timeout) for event in self._heard(lines[line])]  # type: ignore[index]
        return events + [self._given_up(lost) for lost in self._watch.find_silent_runs()]

    def stop(self, key: str) -> None:
        """Ask for the end of a run after its current epoch."""
        for worker in self._workers.values():
            if worker.key == key:
                _send(worker, StopRequest(key))

    def close(self) -> None:
        """End every worker now."""
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.wait()
            worker.line.close()
        self._workers.clear()

    def _idle(self) -> list[Slot]:
        """Slots without a run; those whose worker waits come first."""
        waiting = [slot for slot, worker in self._workers.items() if worker.key is None]
        return waiting + [slot for slot in self._slots if slot not in self._workers]

    def _slot(self, job: Job) -> Slot | None:
        """Where the run is to train; None where it must wait."""
        idle = self._idle()
        if self._packing is None:
            return idle[0]
        devices = self._packing.devices(job.run, idle, Counter(map(get_slot_device, self._workers)))
        if not devices:
            return None
        self._packing.begin(job.run, devices[0])
        return next(slot for slot in idle if get_slot_device(slot) == devices[0])

    def _start(self, slot: Slot) -> _Worker:
        ours, theirs = Pipe()
        environment = os.environ | slot.environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            log = self._place.folder / "logs" / f"{slot.name}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "vgg_ablate.runs.workers.worker", str(theirs.fileno()), str(os.getpid())],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[theirs.fileno()],
                    process_group=0,  # a terminal's Ctrl-C goes to the driver, which ends its workers
                )
        except OSError as error:
            raise StorageError(f"{error.filename or self._place.folder}: {error.strerror}") from error
        theirs.close()
        place = replace(self._place, device=slot.device, threads=slot.threads)
        worker = self._workers[slot] = _Worker(process, ours)
        _send(worker, (self._training, place))
        return worker

    def _heard(self, slot: Slot) -> list[WorkerEvent]:
        """Everything on one worker's line; its end where the worker is gone."""
        worker, events = self._workers[slot], list[WorkerEvent]()
        try:
            while worker.line.poll():
                event = worker.line.recv()
                if isinstance(event, Heartbeat):
                    self._watch.alive(worker.key or "")
                    continue
                events.append(event)
                self._stillborn = 0
                if isinstance(event, DecodingProgress):
                    self._watch.alive(event.key)
                    continue
                if isinstance(event, EpochEnded):
                    self._watch.epoch(event.key, event.epoch)
                    continue
                self._ended(worker, event.peak_bytes if isinstance(event, JobEnded) else None)
                if isinstance(event, JobEnded) and event.outcome is Outcome.FAILED:
                    worker.process.kill()  # those were its last words
                    return events + self._gone(slot)
        except (EOFError, ConnectionResetError):
            events += self._gone(slot)
        return events

    def _given_up(self, lost: JobLost) -> JobLost:
        """A worker that hangs is killed, so that it never wakes up; its lease is broken, in case it cannot die yet."""
        slot, worker = next((slot, worker) for slot, worker in self._workers.items() if worker.key == lost.key)
        worker.process.kill()
        for run in () if worker.job is None else worker.job.runs:
            break_lease(self._place.lease(run.key))
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(_GRACE)
        worker.line.close()
        del self._workers[slot]
        self._ended(worker)
        return lost

    def _ended(self, worker: _Worker, peak: int | None = None) -> str | None:
        """The run that the worker had, which it has no longer."""
        key, worker.job = worker.key, None
        self._watch.end(key or "")
        if self._packing and key is not None:
            self._packing.end(key, peak)
        return key

    def _gone(self, slot: Slot) -> list[WorkerEvent]:
        worker = self._workers.pop(slot)
        worker.line.close()
        status = worker.process.wait()
        key = self._ended(worker)
        if key is None:
            return []
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        self._stillborn += status > 0
        if self._stillborn >= _STILLBORN:
            log = self._place.folder / "logs" / f"{slot.name}.log"
            raise EnvironmentFailedError(f"workers end as soon as they start, with {how}; {log} says why")
        return [JobLost(key, f"its worker ended with {how}")]


def _send(worker: _Worker, message: object) -> None:
    """Where it has died in the meantime, `poll` reads the end of its line: its run is lost, and handed out again."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        worker.line.send(message)

"""The loop of the driver: it takes runs from a source, submits them to a pool, and passes on the events."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from vgg_ablate.errors import EnvironmentFailedError
from vgg_ablate.records import Epoch, Outcome, Record, RecordStore
from vgg_ablate.runs.averaging import average_members
from vgg_ablate.runs.interrupts import defer_interrupts
from vgg_ablate.runs.plan import StudyCell
from vgg_ablate.runs.progress.views import ProgressState, View
from vgg_ablate.runs.workers.protocol import (
    DecodingProgress,
    EpochEnded,
    Job,
    JobEnded,
    JobLost,
    JobRefused,
    JobStarted,
    WorkerEvent,
    WorkerPool,
)

# How often a run may be lost in a row, without an epoch of progress in between, before it is not submitted again. A
# machine that breaks down loses its runs once; a run that kills its worker does so every time.
_MAX_LOST_IN_A_ROW = 5
_POLL_TIMEOUT_S = 0.25


class RunSource(Protocol):
    """The runs of a study in their order; the scheduler reports the end of each."""

    state: ProgressState  # the progress of the study, with the runs that were recorded before

    @property
    def stops_runs(self) -> bool:
        """Whether runs may be stopped after an epoch; local workers then wait for the decision on each epoch.

        Otherwise a run would be recorded with as many epochs as its worker happens to train meanwhile.
        """

    def take_next_run(self) -> StudyCell | None:
        """Return the next run to submit; None if there is none at the moment."""

    def report_epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        """Handle the end of an epoch and return whether to stop the run."""

    def finish_run(self, cell: StudyCell, record: Record) -> None:
        """Handle the record of a run."""

    def requeue_run(self, cell: StudyCell) -> None:
        """Take back a run whose worker was lost; it must be submitted again, with those that share its training."""


@dataclass
class _RunningCell:
    """A cell whose training is with a worker."""

    cell: StudyCell
    since: float
    epochs: list[Epoch] = field(default_factory=list)


@dataclass
class Scheduler:
    """A loop that submits the runs of a source to a pool until there are none.

    The order of steps makes a study restartable: a run is recorded by its worker before the source and the ledger are
    informed, so a driver that is killed anywhere finds the record at its next start.
    """

    source: RunSource
    pool: WorkerPool
    store: RecordStore
    views: View
    predictions: Path | None = None  # the folder of stored class probabilities, where cells may have members
    check_lock: Callable[[], None] = lambda: None  # raises once another driver has taken the study over
    keep_pool: bool = False  # leave the pool open at the end, for a scheduler that follows
    _running: dict[str, _RunningCell] = field(default_factory=dict)
    # By key: how often the run was lost in a row, and the epoch that it had reached.
    _lost_counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    _given_up: list[str] = field(default_factory=list)

    def run(self) -> tuple[str, ...]:
        """Run all cells and return the titles of those that were lost too often. Always closes the pool at the end.

        Raises KeyboardInterrupt after Ctrl-C, between two steps, EnvironmentFailedError if a worker refuses, and
        StudyLockedError before it asks the source for anything once another driver has taken the study over.
        """
        self.state.forecast.slot_count = self.pool.slot_count
        self.views.start(self.state)
        with defer_interrupts() as check_interrupt:
            try:
                while self._submit_runs() or self._running:
                    events = self.pool.poll(_POLL_TIMEOUT_S)
                    self.check_lock()
                    for event in events:
                        self._handle(event)
                    # It may change: GPU packing measures how many runs fit, and machines come and go.
                    self.state.forecast.slot_count = self.pool.slot_count
                    self.views.tick()
                    check_interrupt()
            finally:
                if not self.keep_pool:
                    self.pool.close()
                self.views.close()
        return tuple(self._given_up)

    @property
    def state(self) -> ProgressState:
        """The progress of the study."""
        return self.source.state

    def _submit_runs(self) -> bool:
        """Submit runs while the pool has free slots; return whether any was submitted."""
        submitted = False
        while self.pool.count_free_slots():
            self.check_lock()
            if (cell := self.source.take_next_run()) is None:
                break
            self._running[cell.key] = _RunningCell(cell, time.monotonic())
            self.state.running[cell.key] = (cell, None)
            self.state.forecast.start(cell)
            self.views.handle(cell, JobStarted(cell.key))
            submitted = True
            if cell.members:
                self._average(cell)
                continue
            others = tuple(other.run for other in cell.shares)
            repeats = self.store.get(cell.repeats) if cell.repeats else None
            self.pool.submit(Job(cell.run, cell.costs, others, repeats, waits=self.source.stops_runs))
        return submitted

    def _handle(self, event: WorkerEvent) -> None:
        if isinstance(event, JobRefused):
            raise EnvironmentFailedError(event.reason)
        running = self._running.get(event.key)
        if running is None:
            return  # a late message about a run that has ended
        if isinstance(event, DecodingProgress):
            self.state.decoding[event.key] = (event.done, event.total)
            self.views.handle(running.cell, event)
        elif isinstance(event, EpochEnded):
            self._handle_epoch(running, event)
        elif isinstance(event, JobEnded):
            self._handle_end(running, event)
        else:
            self._handle_lost_job(running, event)

    def _handle_epoch(self, running: _RunningCell, event: EpochEnded) -> None:
        cell, epoch = running.cell, event.epoch
        running.epochs.append(epoch)
        self.state.running[cell.key] = (cell, epoch)
        self.state.forecast.advance(cell, epoch.epoch / cell.run.train.epochs)
        self.views.handle(cell, event)
        if self.source.report_epoch(cell, epoch):
            self.pool.stop(cell.key)

    def _handle_end(self, running: _RunningCell, event: JobEnded) -> None:
        if event.outcome is Outcome.FAILED:
            # The worker has died of a bug and wrote no record. `put` keeps the records that it wrote before.
            for cell in (running.cell, *running.cell.shares):
                self.store.put(_build_failed_record(running, cell, event.reason))
        self._publish_records(running.cell, event.seconds or time.monotonic() - running.since, event.peak_bytes)

    def _average(self, cell: StudyCell) -> None:
        """Evaluate an ensemble by the stored predictions of its members, in this process: it takes milliseconds."""
        assert self.predictions is not None
        self.store.put(average_members(cell, self.store, self.predictions))
        self._publish_records(cell, time.monotonic() - self._running[cell.key].since)

    def _publish_records(self, cell: StudyCell, seconds: float, peak_bytes: int | None = None) -> None:
        """Inform source, views and forecast of the records of a cell and of those that share its training."""
        # Read back and not taken from the event: what a later start will find is what source and views get now.
        first = self.store.get(cell.key)
        self._forget(cell)
        # Only a training that went to its end teaches the forecast what trainings take.
        is_measurement = first.outcome is Outcome.FINISHED and not cell.members
        self.state.forecast.end(cell, seconds if is_measurement else None)
        for member in (cell, *cell.shares):
            record = first if member is cell else self.store.get(member.key)
            self.state.outcomes[str(record.outcome)] += 1
            self.source.finish_run(member, record)
            # The others took no time of their own, and their seconds must not count twice.
            own_seconds = seconds if member is cell else 0.0
            end = JobEnded(member.key, record.outcome, record.reason, own_seconds, peak_bytes)
            self.views.handle(member, end)

    def _handle_lost_job(self, running: _RunningCell, event: JobLost) -> None:
        """Submit a lost run again, unless it was lost too often without progress."""
        cell = running.cell
        reached = running.epochs[-1].epoch if running.epochs else 0
        lost, before = self._lost_counts.get(cell.key, (0, 0))
        # Progress since the last time shows that the run itself is sound: the count begins again.
        lost = 1 if reached > before else lost + 1
        self._lost_counts[cell.key] = (lost, max(reached, before))
        again = lost < _MAX_LOST_IN_A_ROW
        self._forget(cell)
        self.state.forecast.requeue(cell)
        if again:
            self.source.requeue_run(cell)
        else:
            self._given_up += [member.title for member in (cell, *cell.shares)]
        self.views.handle(cell, replace(event, is_given_up=not again))

    def _forget(self, cell: StudyCell) -> None:
        del self._running[cell.key]
        del self.state.running[cell.key]
        self.state.decoding.pop(cell.key, None)


def _build_failed_record(running: _RunningCell, cell: StudyCell, reason: str) -> Record:
    return Record(
        key=cell.key,
        run=cell.run,
        outcome=Outcome.FAILED,
        reason=reason,
        epochs=tuple(running.epochs),
        costs=cell.costs,
        train_seconds=sum(epoch.seconds for epoch in running.epochs),
    )

"""The one loop of the driver: next run, hand it out, hear what became of it, tell its source; repeat."""

from __future__ import annotations

import time
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

_LOSSES = 5  # losses of one run without an epoch of progress in between, after which it is given up for this start
_PATIENCE = 0.25  # seconds to wait for news


class RunSource(Protocol):
    """Where runs come from, and who is told what became of them."""

    def next(self) -> StudyCell | None:
        """The next run to hand out; None where there is none for now."""

    def epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        """An epoch is over; should the run stop?"""

    def ended(self, cell: StudyCell, record: Record) -> None:
        """The run has its record."""

    def again(self, cell: StudyCell) -> None:
        """The run was lost and must be handed out again, with those that share its training."""


@dataclass
class _Running:
    """A training that is with a worker: its cell, and those that share it."""

    cell: StudyCell
    since: float
    epochs: list[Epoch] = field(default_factory=list)


@dataclass
class Scheduler:
    """Hands out the runs of a source to a pool until there are none."""

    source: RunSource
    pool: WorkerPool
    store: RecordStore
    state: ProgressState
    views: View
    predictions: Path | None = None  # the folder of kept class probabilities, where cells may have members
    keep_pool: bool = False  # leave the pool open at the end, for a loop that follows
    _running: dict[str, _Running] = field(default_factory=dict)
    _losses: dict[str, tuple[int, int]] = field(default_factory=dict)  # key -> losses in a row, at which epoch
    _given_up: list[str] = field(default_factory=list)

    def run(self) -> tuple[str, ...]:
        """Until nothing is left; the titles of the cells that were given up. The pool is closed however it ends.

        Raises KeyboardInterrupt, after Ctrl-C, between two steps.
        """
        self.views.start(self.state)
        with defer_interrupts() as check_interrupt:
            try:
                while self._fill() or self._running:
                    for event in self.pool.poll(_PATIENCE):
                        self._hear(event)
                    self.state.forecast.slots = self.pool.slots  # packing learns what fits
                    self.views.tick()
                    check_interrupt()
            finally:
                if not self.keep_pool:
                    self.pool.close()
                self.views.close()
        return tuple(self._given_up)

    def _fill(self) -> bool:
        """Hand out runs while there is room; was there any?"""
        handed = False
        while self.pool.free() and (cell := self.source.next()) is not None:
            self._running[cell.key] = _Running(cell, time.monotonic())
            self.state.running[cell.key] = (cell, None)
            self.state.forecast.start(cell)
            self.views.handle(cell, JobStarted(cell.key))
            handed = True
            if cell.members:
                self._average(cell)
                continue
            others = tuple(other.run for other in cell.shares)
            repeats = self.store.get(cell.repeats) if cell.repeats else None
            self.pool.submit(Job(cell.run, cell.costs, others, repeats))
        return handed

    def _hear(self, event: WorkerEvent) -> None:
        if isinstance(event, JobRefused):
            raise EnvironmentFailedError(event.reason)
        running = self._running.get(event.key)
        if running is None:
            return  # an echo of a run that has ended
        if isinstance(event, DecodingProgress):
            self.state.decoding[event.key] = (event.done, event.of)
            self.views.handle(running.cell, event)
        elif isinstance(event, EpochEnded):
            self._epoch(running, event)
        elif isinstance(event, JobEnded):
            self._ended(running, event)
        else:
            self._lost(running, event)

    def _epoch(self, running: _Running, event: EpochEnded) -> None:
        cell, epoch = running.cell, event.epoch
        running.epochs.append(epoch)
        self.state.running[cell.key] = (cell, epoch)
        self.state.forecast.advance(cell, epoch.epoch / cell.run.train.epochs)
        self.views.handle(cell, event)
        if self.source.epoch(cell, epoch):
            self.pool.stop(cell.key)

    def _ended(self, running: _Running, event: JobEnded) -> None:
        if event.outcome is Outcome.FAILED:
            for cell in (running.cell, *running.cell.shares):  # those that were recorded before the bug stay so
                self.store.put(_failed(running, cell, event.reason))
        self._recorded(running.cell, event.seconds or time.monotonic() - running.since)

    def _average(self, cell: StudyCell) -> None:
        """Evaluate an ensemble by its members' kept predictions: numpy alone, here."""
        assert self.predictions is not None
        self.store.put(average_members(cell, self.store, self.predictions))
        self._recorded(cell, time.monotonic() - self._running[cell.key].since)

    def _recorded(self, cell: StudyCell, seconds: float) -> None:
        """Tell everybody of the records of a cell and of those that share its training; these took no time."""
        first = self.store.get(cell.key)
        self._forget(cell)
        learn = first.outcome is Outcome.FINISHED and not cell.members
        self.state.forecast.end(cell, seconds if learn else None)
        for one in (cell, *cell.shares):
            record = first if one is cell else self.store.get(one.key)
            self.state.outcomes[str(record.outcome)] += 1
            self.source.ended(one, record)
            ended = JobEnded(one.key, record.outcome, record.reason, seconds if one is cell else 0.0)
            self.views.handle(one, ended)

    def _lost(self, running: _Running, event: JobLost) -> None:
        """Handed out again, unless it was lost too often at the same epoch."""
        cell = running.cell
        reached = running.epochs[-1].epoch if running.epochs else 0
        losses, before = self._losses.get(cell.key, (0, 0))
        losses = 1 if reached > before else losses + 1
        self._losses[cell.key] = (losses, max(reached, before))
        again = losses < _LOSSES
        self._forget(cell)
        self.state.forecast.again(cell)
        if again:
            self.source.again(cell)
        else:
            self._given_up += [one.title for one in (cell, *cell.shares)]
        self.views.handle(cell, replace(event, is_given_up=not again))

    def _forget(self, cell: StudyCell) -> None:
        del self._running[cell.key]
        del self.state.running[cell.key]
        self.state.decoding.pop(cell.key, None)


def _failed(running: _Running, cell: StudyCell, reason: str) -> Record:
    """The record of a run that a bug has ended."""
    return Record(
        key=cell.key,
        run=cell.run,
        outcome=Outcome.FAILED,
        reason=reason,
        epochs=tuple(running.epochs),
        costs=cell.costs,
        train_seconds=sum(epoch.seconds for epoch in running.epochs),
    )

"""One loop for plans and searches: next run, hand it out, hear what became of it, tell the ledger; repeat.

The order is the safety: planned, claimed, trained, recorded, and only then told. Killed anywhere, the next start finds
what is recorded and runs what is missing.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vgg_ablate.errors import EnvironmentFailed, RunsFailed
from vgg_ablate.records import Epoch, Manifest, Outcome, Record, Store, replace_whole
from vgg_ablate.runs.forecast import Forecast
from vgg_ablate.runs.lease import study_lock
from vgg_ablate.runs.ledger import Ledger, sqlite_url
from vgg_ablate.runs.local import LocalPool
from vgg_ablate.runs.mirror import Mirror
from vgg_ablate.runs.outcomes import adopt, outcomes, put_aside
from vgg_ablate.runs.plan import Cell, Plan
from vgg_ablate.runs.plan import plan as planned
from vgg_ablate.runs.pools import Ended, Job, Lost, Place, Pool, Refused, Reported
from vgg_ablate.runs.progress import Events, Kind, State, Together, View, view
from vgg_ablate.runs.provenance import provenance
from vgg_ablate.runs.slots import slots
from vgg_ablate.spec.study import Study
from vgg_ablate.train.sources import fingerprint

_LOSSES = 5  # losses of one run without an epoch of progress in between, after which it is given up for this start
_PATIENCE = 0.25  # seconds to wait for news


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a study is run; none of it changes a result."""

    workers: int | None = None  # None: one a core, or a GPU
    device: str = "auto"
    packing: int = 1  # runs on one GPU
    storage: str | None = None  # the ledger's URL; None: study.db in the results folder
    progress: Kind = "auto"
    retry: frozenset[Outcome] = frozenset()  # recorded outcomes that are run again
    wait: bool = False  # for another process that is running the study
    training: str = "vgg_ablate.runs.training"  # the module that trains


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a start has ended."""

    asked: int  # runs of the study
    recorded: int  # of those, before this start
    adopted: int  # of those, from other studies' records
    trained: int  # records that this start has made
    outcomes: Mapping[str, int]  # of every recorded run of the study
    lost: tuple[str, ...] = ()  # cells given up: their workers died again and again
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Has every run a finished record?"""
        return self.outcomes.get(Outcome.FINISHED, 0) == self.asked

    def raise_for_failures(self) -> None:
        """Raises RunsFailed, which says how many runs have no finished record, and why, unless all have one."""
        if self.complete:
            return
        counts = {**self.outcomes, "lost": len(self.lost)}
        counts["missing"] = self.asked - sum(counts.values())
        bad = [f"{count} {word}" for word, count in counts.items() if count and word != Outcome.FINISHED]
        raise RunsFailed(f"{self.outcomes.get(Outcome.FINISHED, 0)} of {self.asked} runs finished; {', '.join(bad)}")


class Source(Protocol):
    """Where runs come from, and who is told what became of them."""

    def next(self) -> Cell | None:
        """The next run to hand out; None where there is none for now."""

    def epoch(self, cell: Cell, epoch: Epoch) -> bool:
        """An epoch is over; should the run stop?"""

    def ended(self, cell: Cell, record: Record) -> None:
        """The run has its record."""

    def again(self, cell: Cell) -> None:
        """The run was lost and must be handed out again."""


class Planned:
    """A fixed plan: its missing runs in order."""

    def __init__(self, cells: tuple[Cell, ...], mirror: Mirror, *, stop_at_failure: bool) -> None:
        self._waiting, self._mirror, self._stop_at_failure = deque(cells), mirror, stop_at_failure

    def next(self) -> Cell | None:
        """The first that waits."""
        return self._waiting.popleft() if self._waiting else None

    def epoch(self, cell: Cell, epoch: Epoch) -> bool:
        """A planned run is never pruned."""
        return False

    def ended(self, cell: Cell, record: Record) -> None:
        """Mirror it."""
        self._mirror.tell(record)
        if self._stop_at_failure and record.outcome is not Outcome.FINISHED:
            self._waiting.clear()

    def again(self, cell: Cell) -> None:
        """To the front, so that the order stays as planned."""
        self._waiting.appendleft(cell)


def run(study: Study, folder: Path, options: Options | None = None) -> Finished:
    """Run what is missing of a study, from the main thread: workers die with the thread that has started them.

    Raises SpecError, DataMissing, StudyHeld, StorageFailed, DeviceMissing, EnvironmentFailed.
    """
    return drive(planned(study, fingerprint), folder, options or Options())


def drive(plan: Plan, folder: Path, options: Options) -> Finished:
    """Run what is missing of a plan. Raises StudyHeld, StorageFailed, DeviceMissing, EnvironmentFailed."""
    began = time.monotonic()
    place, store = Place(folder=folder), Store(folder / "records")
    with study_lock(folder, wait=options.wait):
        known = outcomes(store, {cell.key for cell in plan.cells})
        put_aside(store, (key for key, outcome in known.items() if outcome in options.retry))
        known = {key: outcome for key, outcome in known.items() if outcome not in options.retry}
        adopted = adopt(store, {cell.key for cell in plan.cells} - known.keys())
        cells = plan.missing(store.keys())
        _write_down(plan, folder, trains=bool(cells))
        with closing(Mirror(opened(plan.study.name, folder, options.storage), plan, store)) as mirror:
            mirror.reconcile()
            lost = _trained(plan, cells, mirror, place, options) if cells else ()
        ended = outcomes(store, {cell.key for cell in plan.cells})
    return Finished(
        asked=len(plan.cells),
        recorded=sum(cell.key in known for cell in plan.cells),
        adopted=adopted,
        trained=len(ended) - len(known) - adopted,
        outcomes=Counter(str(ended[cell.key]) for cell in plan.cells if cell.key in ended),
        lost=lost,
        seconds=time.monotonic() - began,
    )


def opened(study: str, folder: Path, storage: str | None) -> Ledger:
    """The ledger of a results folder, or at a URL."""
    return Ledger.open(study, storage or sqlite_url(folder / "study.db"))


def _trained(plan: Plan, cells: tuple[Cell, ...], mirror: Mirror, place: Place, options: Options) -> tuple[str, ...]:
    """Train these cells; the titles of those that were given up."""
    pool = LocalPool(slots(options.device, options.workers, options.packing), options.training, place)
    forecast = Forecast(pool.slots)
    forecast.expect(cells)
    state = State(plan.study.name, len(plan.cells), len(plan.cells) - len(cells), forecast)
    views = Together(Events(place.folder / "events.jsonl"), view(options.progress))
    source = Planned(cells, mirror, stop_at_failure=plan.study.on_error == "stop")
    return Loop(source, pool, Store(place.records), state, views).run()


@dataclass
class _Running:
    cell: Cell
    since: float
    epochs: list[Epoch] = field(default_factory=list)


@dataclass
class Loop:
    """Hands out the runs of a source to a pool until there are none."""

    source: Source
    pool: Pool
    store: Store
    state: State
    views: View
    _running: dict[str, _Running] = field(default_factory=dict)
    _losses: dict[str, tuple[int, int]] = field(default_factory=dict)  # key -> losses in a row, at which epoch
    _given_up: list[str] = field(default_factory=list)

    def run(self) -> tuple[str, ...]:
        """Until nothing is left; the titles of the cells that were given up. The pool is closed however it ends."""
        self.views.began(self.state)
        try:
            while self._fill() or self._running:
                for event in self.pool.poll(_PATIENCE):
                    self._hear(event)
                self.views.tick()
        finally:
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
            self.views.started(cell)
            self.pool.submit(Job(cell.run, cell.costs))
            handed = True
        return handed

    def _hear(self, event: Reported | Ended | Refused | Lost) -> None:
        if isinstance(event, Refused):
            raise EnvironmentFailed(event.reason)
        running = self._running.get(event.key)
        if running is None:
            return  # an echo of a run that has ended
        if isinstance(event, Reported):
            self._epoch(running, event.epoch)
        elif isinstance(event, Ended):
            self._ended(running, event)
        else:
            self._lost(running, event)

    def _epoch(self, running: _Running, epoch: Epoch) -> None:
        cell = running.cell
        running.epochs.append(epoch)
        self.state.running[cell.key] = (cell, epoch)
        self.state.forecast.advance(cell, epoch.epoch / cell.run.train.epochs)
        self.views.epoch(cell, epoch)
        if self.source.epoch(cell, epoch):
            self.pool.stop(cell.key)

    def _ended(self, running: _Running, event: Ended) -> None:
        cell, seconds = running.cell, event.seconds or time.monotonic() - running.since
        if event.outcome is Outcome.FAILED:
            self.store.put(_failed(running, event.reason))
        record = self.store.get(cell.key)
        self._forget(cell)
        self.state.forecast.end(cell, seconds if record.outcome is Outcome.FINISHED else None)
        self.state.outcomes[str(record.outcome)] += 1
        self.source.ended(cell, record)
        self.views.ended(cell, record.outcome, record.reason, seconds)

    def _lost(self, running: _Running, event: Lost) -> None:
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
            self._given_up.append(cell.title)
        self.views.lost(cell, event.reason, again)

    def _forget(self, cell: Cell) -> None:
        del self._running[cell.key]
        del self.state.running[cell.key]


def _failed(running: _Running, reason: str) -> Record:
    """The record of a run that a bug has ended."""
    cell = running.cell
    return Record(
        key=cell.key,
        run=cell.run,
        outcome=Outcome.FAILED,
        reason=reason,
        epochs=tuple(running.epochs),
        costs=cell.costs,
        train_seconds=sum(epoch.seconds for epoch in running.epochs),
    )


def _write_down(plan: Plan, folder: Path, *, trains: bool) -> None:
    """study.yaml and manifest.json, where they change or something is about to train."""
    history = []
    if (folder / "manifest.json").exists():
        before = Manifest.read(folder)
        if before.planned == plan.planned and not trains:
            return
        history = before.provenance.get("history", [])
    now = {**provenance(), "seeds": list(plan.study.seed_list), "looks": list(plan.study.looks)}
    replace_whole(folder / "study.yaml", plan.study.as_yaml())
    Manifest(
        study=plan.study.name,
        base=plan.study.base.name,
        planned=plan.planned,
        provenance={**now, "history": [*history, now]},
    ).write(folder)

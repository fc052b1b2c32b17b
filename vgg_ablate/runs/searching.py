"""A search as a source of runs: first what the study names, then what the sampler proposes, then the winners.

Equal runs are trained once, whoever asks for them. A proposal is told once, when its last seed has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.net import match
from vgg_ablate.records import Epoch, Outcome, Planned, Record, Store
from vgg_ablate.runs.plan import Cell, Plan, cells_of
from vgg_ablate.runs.progress import State
from vgg_ablate.runs.sampling import Proposal, Sampling
from vgg_ablate.spec.recipe import Data
from vgg_ablate.spec.search import FIRST_SEED, Search
from vgg_ablate.spec.study import Study

WORST = 1.0  # the validation error of a run that diverged or did not fit: a trial without a value teaches nothing
_BARREN = 500  # proposals in a row that are outside the constraints, or known already


@dataclass
class _Open:
    """A proposal whose runs are not all recorded."""

    proposal: Proposal
    cells: tuple[Cell, ...]  # a seed each
    records: dict[int, Record] = field(default_factory=dict)  # by place in `cells`
    started: int = 0  # how many of them were handed out
    stopped: bool = False  # by the pruner


class Searching:
    """The runs of a search."""

    def __init__(
        self, plan: Plan, design: Search, sampling: Sampling, store: Store, fingerprint: Callable[[Data], str]
    ) -> None:
        self._study, self._design, self._sampling, self._store = plan.study, design, sampling, store
        self._fingerprint = fingerprint
        self.cells: dict[str, tuple[Cell, ...]] = {}  # by variant: all that were asked for so far
        self._open: dict[int, _Open] = {}
        self._asks: dict[str, list[tuple[_Open, int]]] = {}  # key -> which proposals, and places, wait for it
        self._ready: deque[Cell] = deque(plan.missing(store.keys()))
        self._out: set[str] = set()  # keys that are with a worker
        self._known = {str(sorted(one.proposal.point.items())) for one in sampling.judged()}
        self._spent = 0.0  # seconds of training
        self._crowned = False
        self.state: State | None = None
        self._resume()

    def next(self) -> Cell | None:
        """The next run that is neither recorded nor with a worker."""
        while (cell := self._candidate()) is not None:
            if cell.key in self._out:
                continue
            if cell.key in self._store:
                self._heard(cell.key, self._store.get(cell.key))
                continue
            self._out.add(cell.key)
            return cell
        return None

    def epoch(self, cell: Cell, epoch: Epoch) -> bool:
        """Report the first seed's epochs; should the run stop?"""
        stop = False
        for waiting, place in self._asks.get(cell.key, ()):
            if place == 0 and not waiting.stopped:
                error = 1 - epoch.val_accuracy
                waiting.stopped = self._sampling.report(waiting.proposal.number, epoch.epoch, error)
                stop = waiting.stopped
        return stop and epoch.epoch < cell.run.train.epochs

    def ended(self, cell: Cell, record: Record) -> None:
        """Tell every proposal that has waited for it."""
        self._out.discard(cell.key)
        self._heard(cell.key, record)

    def again(self, cell: Cell) -> None:
        """To the front."""
        self._out.discard(cell.key)
        self._ready.appendleft(cell)

    def planned(self) -> tuple[Planned, ...]:
        """Every cell that was asked for so far."""
        return tuple(
            Planned(variant=name, seed=cell.seed, key=cell.key) for name, cells in self.cells.items() for cell in cells
        )

    def _candidate(self) -> Cell | None:
        if self._ready:
            return self._ready.popleft()
        return self._next_seed(eager=False) or self._proposed() or self._next_seed(eager=True) or self._winner()

    def _next_seed(self, *, eager: bool) -> Cell | None:
        """The next seed of an open proposal: one after the other where losers may be stopped, unless `eager`."""
        pruned = self._design.pruner.kind != "none" and not eager
        for waiting in self._open.values():
            if waiting.stopped or waiting.started == len(waiting.cells):
                continue
            if not pruned or len(waiting.records) == waiting.started:
                waiting.started += 1
                return waiting.cells[waiting.started - 1]
        return None

    def _proposed(self) -> Cell | None:
        """The first run of a new proposal, within the budget and the constraints."""
        for _ in range(_BARREN):
            if self._budget_is_spent():
                return None
            proposal = self._sampling.propose()
            if proposal is None:
                return None
            if self._admitted(proposal):
                return self._next_seed(eager=False)
        if not self._known:
            raise SpecError(Problem(f"none of {_BARREN} proposals is within the constraints", "design.constraints"))
        return None

    def _admitted(self, proposal: Proposal) -> bool:
        """Is it new, possible, and within the constraints? It is open then, and refused otherwise."""
        number, point = proposal.number, str(sorted(proposal.point.items()))
        try:
            (resolved,) = match.resolve([_variant(self._study, self._design, proposal, proposal.name)])
        except SpecError as error:
            self._sampling.about(number, {"variant": proposal.name, "reason": str(error)}, {"possible": 1.0})
            self._sampling.tell(number, None)
            return False
        costs = resolved.costs.as_dict()
        excess = {f"{one.cost}": one.excess(costs) for one in self._design.constraints}
        about = {"variant": proposal.name, "params": costs["params"], "macs": costs["macs"]}
        self._sampling.about(number, about, excess)
        if any(value > 0 for value in excess.values()):
            self._sampling.tell(number, None)
            return False
        new = point not in self._known
        self._known.add(point)
        self._opened(proposal, self._cells(resolved))
        return new

    def _opened(self, proposal: Proposal, cells: tuple[Cell, ...]) -> None:
        waiting = self._open[proposal.number] = _Open(proposal, cells)
        self._ask_for(proposal.name, cells)
        for place, cell in enumerate(cells):
            self._asks.setdefault(cell.key, []).append((waiting, place))
        for cell in cells:  # equal to what was trained before: heard at once
            if cell.key in self._store:
                self._heard(cell.key, self._store.get(cell.key))

    def _heard(self, key: str, record: Record) -> None:
        if record.outcome is Outcome.FAILED:
            return  # a bug says nothing of the variant: its proposal stays open until it is run again
        for waiting, place in self._asks.get(key, ()):
            if place not in waiting.records and waiting.proposal.number in self._open:
                waiting.records[place] = record
                waiting.started = max(waiting.started, place + 1)
                self._judge(waiting, place)

    def _judge(self, waiting: _Open, place: int) -> None:
        """Tell it where nothing is missing; where seeds are, ask the pruner about the mean so far."""
        number, records = waiting.proposal.number, list(waiting.records.values())
        self._spent += records[-1].train_seconds
        if any(record.outcome is Outcome.PRUNED for record in records):
            waiting.stopped = True
        elif place > 0:
            epochs = waiting.cells[0].run.train.epochs
            step, error = len(records) * epochs, fmean(_error(record) for record in records)
            waiting.stopped = self._sampling.report(number, step, error) or waiting.stopped
        missing = len(records) < len(waiting.cells)
        if missing and not waiting.stopped:
            return
        self._sampling.tell(number, None if missing or waiting.stopped else self._values(waiting))
        del self._open[number]

    def _values(self, waiting: _Open) -> list[float]:
        records = list(waiting.records.values())
        of = {
            "val_error": fmean(_error(record) for record in records),
            "train_seconds": fmean(record.train_seconds for record in records),
        }
        return [of[name] if name in of else float(waiting.cells[0].costs[name]) for name in self._design.objectives]

    def _budget_is_spent(self) -> bool:
        budget = self._design.budget
        if budget.variants is not None and len(self._known) >= budget.variants:
            return True
        return budget.hours is not None and self._spent >= 3600 * budget.hours

    def _winner(self) -> Cell | None:
        """When everything was told, once: the winners, as variants on the study's own seeds."""
        if self._open or self._crowned:
            return None
        self._crowned = True
        best = self._sampling.best(self._design.best)
        variants = [
            _variant(self._study, self._design, one.proposal, name)
            for name, one in zip(self._design.promised, best, strict=False)
        ]
        resolved = match.resolve(variants)
        cells = [list(cells_of(self._study, [one], self._fingerprint, self._study.seed_list)) for one in resolved]
        for one, of in zip(resolved, cells, strict=True):
            self._ask_for(one.variant.name, of)
        self._ready.extend(cell for of in zip(*cells, strict=True) for cell in of)
        return self._ready.popleft() if self._ready else None

    def _cells(self, resolved: match.Resolved) -> tuple[Cell, ...]:
        seeds = range(FIRST_SEED, FIRST_SEED + self._design.seeds)
        return tuple(cells_of(self._study, [resolved], self._fingerprint, seeds))

    def _ask_for(self, name: str, cells: Sequence[Cell]) -> None:
        self.cells[name] = tuple(cells)
        if self.state is not None:
            self.state.asked_for(cells, sum(cell.key in self._store for cell in cells))

    def _resume(self) -> None:
        """Count what was told, and open again what was not."""
        for one in self._sampling.judged():
            if not one.refused:
                self._reopen_told(one.proposal)
        for proposal in self._sampling.open():
            self._known.discard(str(sorted(proposal.point.items())))
            self._admitted(proposal)

    def _reopen_told(self, proposal: Proposal) -> None:
        (resolved,) = match.resolve([_variant(self._study, self._design, proposal, proposal.name)])
        self.cells[proposal.name] = cells = self._cells(resolved)
        for cell in cells:
            if cell.key in self._store:
                self._spent += self._store.get(cell.key).train_seconds


def _variant(study: Study, design: Search, proposal: Proposal, name: str):
    return study.variant(name, design.changes(proposal.point))


def _error(record: Record) -> float:
    return WORST if record.tested is None else 1 - record.tested.val_accuracy


__all__ = ["Iterator", "Searching"]

"""A search as a source of runs: first what the study names, then what the sampler proposes, then the winners.

Equal runs are trained once, whoever asks for them. A proposal is told once, when its last seed has ended.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from vgg_ablate.config.search import FIRST_SEARCH_SEED, Search
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.models import width_matching
from vgg_ablate.records import Epoch, Outcome, PlannedRun, Record, RecordStore
from vgg_ablate.runs.plan import Plan, StudyCell, build_cells, cache_fingerprints
from vgg_ablate.runs.progress.views import ProgressState
from vgg_ablate.runs.recorded import read_outcomes
from vgg_ablate.runs.search.sampler import JudgedProposal, OptunaSampler, Proposal

_WORST = 1.0  # the validation error of a run that diverged or did not fit: a proposal without a value teaches nothing
_BARREN = 200  # proposals in a row that are outside the constraints, or known already: the space is exhausted


@dataclass
class _Open:
    """A proposal whose runs are not all recorded."""

    proposal: Proposal
    cells: tuple[StudyCell, ...]  # a seed each
    records: dict[int, Record] = field(default_factory=dict)  # by place in `cells`
    handed: set[int] = field(default_factory=set)  # places that were handed out, or are recorded
    stopped: bool = False  # by the pruner


class SearchController:
    """The runs of a search."""

    def __init__(
        self, plan: Plan, design: Search, sampling: OptunaSampler, store: RecordStore, state: ProgressState
    ) -> None:
        self._plan, self._design, self._sampling, self._store, self.state = plan, design, sampling, store, state
        self._own, self._fingerprint = plan.cells, cache_fingerprints(plan.fingerprint)
        self._proposed: dict[str, tuple[StudyCell, ...]] = {}  # by variant
        self._winners: dict[str, tuple[StudyCell, ...]] | None = None  # None: the search has not ended
        self._open: dict[int, _Open] = {}
        self._asks: dict[str, list[tuple[_Open, int]]] = {}  # key -> the proposals, and places in them, that want it
        self._out: set[str] = set()  # keys that are with a worker
        self._points: set[str] = set()  # that were admitted
        self._seconds: dict[str, float] = {}  # of training, by key, of proposed runs
        self._repeated: dict[str, int | None] = {}  # key -> last epoch, of judged runs whose record is lost
        self._ready: deque[StudyCell] = deque(plan.missing(store.keys()))
        state.total = None if state.total is None else state.total + len(self._own)
        self._count(self._own)
        self._resume()

    def next(self) -> StudyCell | None:
        """The next run that is neither recorded nor with a worker."""
        while (cell := self._candidate()) is not None:
            if cell.key in self._store:
                self._heard(cell.key, self._store.get(cell.key))
            elif cell.key not in self._out:
                self._out.add(cell.key)
                return cell
        return None

    def epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        """Report the first seed's epochs; should the run stop?"""
        if (last := self._repeated.get(cell.key)) is not None:
            return last <= epoch.epoch < cell.run.train.epochs
        for waiting, place in self._asks.get(cell.key, ()):
            if place == 0 and not waiting.stopped:
                error = 1 - epoch.val_accuracy
                waiting.stopped = self._sampling.report(waiting.proposal.number, epoch.epoch, error)
        stopped = any(waiting.stopped for waiting, _ in self._asks.get(cell.key, ()))
        return stopped and epoch.epoch < cell.run.train.epochs

    def ended(self, cell: StudyCell, record: Record) -> None:
        """Tell every proposal that waits for it."""
        self._out.discard(cell.key)
        self._heard(cell.key, record)

    def again(self, cell: StudyCell) -> None:
        """To the front."""
        self._out.discard(cell.key)
        self._ready.appendleft(cell)

    def asked(self) -> tuple[StudyCell, ...]:
        """Every cell that was asked for so far: the study's own, the winners', the proposals'."""
        more = [*(self._winners or {}).values(), *self._proposed.values()]
        return self._own + tuple(cell for cells in more for cell in cells)

    def planned(self) -> tuple[PlannedRun, ...]:
        """The same as a manifest has them."""
        return tuple(cell.planned for cell in self.asked())

    def has_unfinished_runs(self) -> bool:
        """Is there anything to run?"""
        return self._winners is None or bool(self._ready)

    def tolerated(self) -> Counter[str]:
        """What became of proposed runs, where that is an answer as good as any."""
        known = read_outcomes(self._store, {cell.key for cells in self._proposed.values() for cell in cells})
        counted = Counter(known[cell.key] for cells in self._proposed.values() for cell in cells if cell.key in known)
        return Counter({str(outcome): count for outcome, count in counted.items() if outcome is not Outcome.FAILED})

    def proposals(self) -> list[dict[str, object]]:
        """Every point that was proposed, by number: with the records, enough to make the ledger again."""
        return self._sampling.points

    def _candidate(self) -> StudyCell | None:
        if self._ready:
            return self._ready.popleft()
        return self._next_seed(eager=False) or self._proposal() or self._next_seed(eager=True) or self._winner()

    def _next_seed(self, *, eager: bool) -> StudyCell | None:
        """The next seed of an open proposal; where losers may be stopped one after the other, unless `eager`."""
        in_turn = self._design.pruner.kind != "none" and not eager
        for waiting in self._open.values():
            places = set(range(len(waiting.cells))) - waiting.handed
            if waiting.stopped or not places or (in_turn and waiting.handed - waiting.records.keys()):
                continue
            place = min(places)
            waiting.handed.add(place)
            return waiting.cells[place]
        return None

    def _proposal(self) -> StudyCell | None:
        """The first run of a new proposal, within the budget and the constraints."""
        for _ in range(_BARREN):
            if self._spent():
                return None
            proposal = self._sampling.propose()
            if proposal is None:
                return None
            if self._admitted(proposal) and (cell := self._next_seed(eager=False)) is not None:
                return cell
        if not self._points:
            raise SpecError(Problem(f"none of {_BARREN} proposals is within the constraints", "design.constraints"))
        self._sampling.mark_exhausted()
        return None

    def _admitted(self, proposal: Proposal) -> bool:
        """Is it possible, within the constraints, and new? It is refused, told at once, or open."""
        number = proposal.number
        try:
            resolved = self._resolved(proposal, proposal.name)
        except SpecError as error:
            self._sampling.about(number, {"variant": proposal.name, "reason": str(error)}, {"possible": 1.0})
            self._sampling.tell(number, None)
            return False
        costs = resolved.costs.as_dict()
        excess = {one.cost: one.compute_excess(costs) for one in self._design.constraints}
        about = {"variant": proposal.name, "params": costs["params"], "macs": costs["macs"]}
        if outside := [f"{name} {costs[name]:,}" for name, value in excess.items() if value > 0]:
            about["reason"] = f"outside the constraints: {', '.join(outside)}"
        self._sampling.about(number, about, excess)
        if outside:
            self._sampling.tell(number, None)
            return False
        new = proposal.identity not in self._points
        self._points.add(proposal.identity)
        self._opened(proposal, self._cells(resolved), new=new)
        return number in self._open

    def _opened(self, proposal: Proposal, cells: tuple[StudyCell, ...], *, new: bool) -> None:
        waiting = self._open[proposal.number] = _Open(proposal, cells)
        if new:
            self._proposed[proposal.name] = cells
            self._count(cells)
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
                self._seconds[key] = record.train_seconds
                waiting.records[place] = record
                if place == 0:
                    self._sampling.keep(waiting.proposal.number, record.epochs)
                waiting.handed.add(place)
                self._judge(waiting, place)

    def _judge(self, waiting: _Open, place: int) -> None:
        """Tell it where nothing is missing; where seeds are, ask the pruner about the mean so far."""
        number, records = waiting.proposal.number, list(waiting.records.values())
        if any(record.outcome is Outcome.PRUNED for record in records):
            waiting.stopped = True
        elif place > 0 and self._design.pruner.kind != "none":
            step = len(records) * waiting.cells[0].run.train.epochs
            error = fmean(_error(record) for record in records)
            waiting.stopped = self._sampling.report(number, step, error) or waiting.stopped
        if len(records) == len(waiting.cells) or waiting.stopped:
            self._sampling.about(number, _became(records), {})
        if len(records) == len(waiting.cells) and not waiting.stopped:
            self._sampling.tell(number, self._values(waiting))
            del self._open[number]
        elif waiting.stopped and waiting.handed == waiting.records.keys():
            self._sampling.tell(number, None)
            self._dropped(waiting)
            del self._open[number]

    def _dropped(self, waiting: _Open) -> None:
        """Its further seeds are not asked for any more."""
        if waiting.proposal.name in self._proposed:
            self._proposed[waiting.proposal.name] = tuple(waiting.cells[place] for place in sorted(waiting.records))
        if self.state.total is not None:
            self.state.total -= len(waiting.cells) - len(waiting.records)

    def _values(self, waiting: _Open) -> list[float]:
        records = list(waiting.records.values())
        of = {
            "val_error": fmean(_error(record) for record in records),
            "train_seconds": fmean(record.train_seconds for record in records),
        }
        return [of[name] if name in of else float(waiting.cells[0].costs[name]) for name in self._design.objectives]

    def _spent(self) -> bool:
        """Is the budget used up, over all starts, or the space?"""
        budget = self._design.budget
        if budget.variants is not None and len(self._points) >= budget.variants:
            return True
        if budget.hours is not None and sum(self._seconds.values()) >= 3600 * budget.hours:
            return True
        return self._sampling.is_exhausted

    def _winner(self) -> StudyCell | None:
        """When everything was told, once: the winners, as variants on the study's own seeds."""
        if self._open or self._winners is not None:
            return None
        best = self._sampling.best(self._design.best)
        names = zip(self._design.winner_names, best, strict=False)
        resolved = [self._resolved(one.proposal, name) for name, one in names]
        cells = build_cells(resolved, self._fingerprint, self._plan.study.seed_list)
        self._winners = {
            one.variant.name: tuple(cell for cell in cells if cell.variant == one.variant.name) for one in resolved
        }
        self._count(cells)
        self._ready.extend(cell for cell in cells if cell.key not in self._store)
        return self._ready.popleft() if self._ready else None

    def _resolved(self, proposal: Proposal, name: str) -> width_matching.ResolvedVariant:
        study = self._plan.study
        return width_matching.resolve_variants([study.base, study.variant(name, self._design.changes(proposal.point))])[
            -1
        ]

    def _cells(self, resolved: width_matching.ResolvedVariant) -> tuple[StudyCell, ...]:
        if self._design.epochs is not None:
            train = resolved.variant.train.model_copy(update={"epochs": self._design.epochs})
            resolved = replace(resolved, variant=resolved.variant.model_copy(update={"train": train}))
        return build_cells(
            [resolved], self._fingerprint, range(FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + self._design.seeds)
        )

    def _count(self, cells: Sequence[StudyCell]) -> None:
        new = [cell for cell in cells if cell.key not in self._store]
        self.state.recorded += len(cells) - len(new)
        self.state.forecast.expect(new)

    def _resume(self) -> None:
        """Count what was told, open again what was not, and crown the winners where nothing is left."""
        for one in self._sampling.judged():
            if not one.refused:
                self._told_before(one)
        for proposal in self._sampling.open():
            self._admitted(proposal)
        if not self._open and self._spent() and (cell := self._winner()) is not None:
            self._ready.appendleft(cell)

    def _told_before(self, told: JudgedProposal) -> None:
        """Count the runs of a proposal that was judged; those whose record is lost are trained again.

        Records are authoritative: what the ledger alone knows is not a result. A run that the pruner had stopped is
        stopped at the same epoch.
        """
        proposal = told.proposal
        if proposal.identity in self._points:
            return
        self._points.add(proposal.identity)
        cells = self._cells(self._resolved(proposal, proposal.name))
        judged = tuple(cell for cell in cells if cell.key in told.keys or cell.key in self._store)
        recorded = [cell for cell in judged if cell.key in self._store]
        lost = [cell for cell in judged if cell.key not in self._store]
        self._proposed[proposal.name] = judged
        self._seconds |= {cell.key: self._store.get(cell.key).train_seconds for cell in recorded}
        self._repeated |= {cell.key: None if told.values is not None else told.last_step for cell in lost}
        self._ready.extend(lost)
        self._count(judged)
        if self.state.total is not None:
            self.state.total -= len(cells) - len(judged)


def _error(record: Record) -> float:
    return _WORST if record.tested is None else 1 - record.tested.val_accuracy


def _became(records: Sequence[Record]) -> dict[str, object]:
    """What is to know of a proposal's runs beside its values."""
    about: dict[str, object] = {
        "keys": " ".join(record.key for record in records),
        "train_seconds": round(fmean(record.train_seconds for record in records), 3),
    }
    if bad := [record for record in records if record.outcome is not Outcome.FINISHED]:
        about |= {"outcome": str(bad[0].outcome), "reason": bad[0].reason}
    return about

"""The sources of runs of a plan: all missing ones, or those that the open claims need, look by look.

The records alone tell the look that a study is at (analysis/decisions.py), so that a driver which was killed, or
another one on another machine, goes on with the runs that this one would have asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING

from vgg_ablate.config.horizons import get_full_name
from vgg_ablate.config.study import Study
from vgg_ablate.records import Epoch, Outcome, PlannedRun, Record
from vgg_ablate.runs.ledger.mirror import LedgerMirror
from vgg_ablate.runs.plan import Plan, PlanDivision, StudyCell
from vgg_ablate.runs.progress.views import ProgressState

if TYPE_CHECKING:
    from vgg_ablate.analysis.decisions import Decisions


class FixedPlanSource:
    """The missing trainings of a plan in order, and each ensemble as soon as its members are recorded."""

    needed: Collection[str] | None = None  # all runs of the plan are
    stops_runs = False

    def __init__(
        self, division: PlanDivision, mirror: LedgerMirror, *, stop_at_failure: bool, kept: Collection[str] = ()
    ) -> None:
        """Take a divided plan, and in `kept` the keys of finished runs whose predictions are stored."""
        self.cells = (*division.trainings, *division.averages)
        self._waiting = deque(division.trainings)
        self._averages = list(division.averages)
        self._mirror = mirror
        self._stop_at_failure = stop_at_failure
        self._kept = set(kept)
        self._unavailable = set[str]()  # keys that have ended without stored predictions

    def take_next_run(self) -> StudyCell | None:
        """Return an ensemble whose members are all recorded, else the first training that waits."""
        for index, cell in enumerate(self._averages):
            if self._kept.issuperset(cell.members):
                return self._averages.pop(index)
            if not self._unavailable.isdisjoint(cell.members):
                # A member did not finish and there is nothing to average: the ensemble is trained as one run.
                return replace(self._averages.pop(index), members=())
        return self._waiting.popleft() if self._waiting else None

    def report_epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        """Return False: a planned run is never stopped early."""
        return False

    def finish_run(self, cell: StudyCell, record: Record) -> None:
        """Mirror the record to the ledger; with `on_error: stop`, hand out nothing after a failure."""
        self._mirror.tell(record)
        has_predictions = record.outcome is Outcome.FINISHED and cell.run.train.keep == "predictions"
        (self._kept if has_predictions else self._unavailable).add(cell.key)
        if self._stop_at_failure and record.outcome is not Outcome.FINISHED:
            self._waiting.clear()
            self._averages.clear()

    def requeue_run(self, cell: StudyCell) -> None:
        """Put a lost run at the front, so that the order stays as planned."""
        self._waiting.appendleft(cell)

    def sort_trainings(self, key: Callable[[StudyCell], float]) -> None:
        """Hand out the trainings that wait in this order; equal ones stay in the order of the plan."""
        self._waiting = deque(sorted(self._waiting, key=key))


class LookSource:
    """The missing runs of a study look by look: those of the next look once every run of this one is recorded."""

    stops_runs = False

    def __init__(
        self, plan: Plan, read: Callable[[], Decisions], start: Callable[[Collection[str]], FixedPlanSource]
    ) -> None:
        """Take a plan, a reader of its decisions, and a function that returns the source of some keys' missing runs."""
        self._plan, self._read, self._start = plan, read, start
        self._state: ProgressState | None = None
        self._advance()

    @property
    def cells(self) -> tuple[StudyCell, ...]:
        """The runs of this look that had no record when it began."""
        return self._source.cells

    def follow(self, state: ProgressState) -> None:
        """Keep the progress up to date: the number of runs asked for grows with every look."""
        missing = sum(1 + len(cell.shares) for cell in self.cells)
        state.total, state.recorded = len(self.needed), len(self.needed) - missing
        state.notice = describe_verdicts(self.decisions)
        self._state = state

    def take_next_run(self) -> StudyCell | None:
        """Return the next run of this look."""
        return self._source.take_next_run()

    def report_epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        """Return False: a planned run is never stopped early."""
        return False

    def finish_run(self, cell: StudyCell, record: Record) -> None:
        """Handle the record of a run; after the last one of a look, decide and go on with the next look."""
        self._source.finish_run(cell, record)
        self._waiting.discard(cell.key)
        if self._waiting:
            return
        before = len(self.needed)
        self._advance()
        if self._state is not None and self._state.total is not None:
            self._state.total += len(self.needed) - before
            self._state.recorded += len(self.needed) - before - len(self._waiting)
            self._state.forecast.expect(self.cells)
            self._state.notice = describe_verdicts(self.decisions)

    def requeue_run(self, cell: StudyCell) -> None:
        """Put a lost run at the front."""
        self._source.requeue_run(cell)

    def _advance(self) -> None:
        """Read the decisions, and prepare the runs that are needed and not recorded."""
        self.decisions, study = self._read(), self._plan.study
        self.needed = select_needed_runs(study, self._plan.planned, self.decisions)
        self._source = self._start(self.needed)
        self._waiting = {member.key for cell in self.cells for member in (cell, *cell.shares)}
        if study.stop is not None and study.stop.order == "cheapest":
            chances = _compute_chances(self.cells, self.decisions)
            self._source.sort_trainings(lambda cell: -chances.get(get_full_name(cell.variant), 0.0))


def select_needed_runs(study: Study, planned: Sequence[PlannedRun], decisions: Decisions) -> set[str]:
    """Return the keys of the planned runs that are needed by now, recorded ones included."""
    ranks = {seed: rank for rank, seed in enumerate(study.seed_list)}
    return {run.key for run in planned if ranks[run.seed] < decisions.count_seeds(run.variant)}


def select_possible_runs(study: Study, planned: Sequence[PlannedRun], decisions: Decisions) -> set[str]:
    """Return the keys of the planned runs that are needed by now, or will be if no further claim is decided."""
    followed = {
        get_full_name(name)
        for verdict in decisions.verdicts
        if not verdict.is_decided and not decisions.is_finished
        for name in verdict.weights
    }
    later = {run.key for run in planned if get_full_name(run.variant) in followed}
    return select_needed_runs(study, planned, decisions) | later


def describe_verdicts(decisions: Decisions) -> str:
    """Return the look and the verdicts by now: `look 1 of 4, after 3 of 12 seeds: small supported; same open`."""
    words = "; ".join(
        f"{verdict.claim.id} {verdict.verdict if verdict.is_decided else 'open'}" for verdict in decisions.verdicts
    )
    return f"{decisions.describe()}: {words}"


def _compute_chances(cells: Sequence[StudyCell], decisions: Decisions) -> dict[str, float]:
    """Return variant -> the highest chance of a decision, per work of its missing runs, among the variant's claims."""
    chances = dict[str, float]()
    for verdict in decisions.verdicts:
        names = {get_full_name(name) for name in verdict.weights}
        work = sum(cell.work for cell in cells if get_full_name(cell.variant) in names)
        if not verdict.is_decided and work:
            chance = (1.0 if isnan(verdict.power) else verdict.power) / work
            chances |= {name: max(chance, chances.get(name, 0.0)) for name in names}
    return chances

"""The source of a plan's runs: all missing ones, or those that the open claims need, look by look.

The look that a study is at follows from the records alone (analysis/decisions.py), so that a driver that starts after
another was killed, on any machine, continues with the same runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

from vgg_ablate.analysis.decisions import Decisions, read_decisions, select_needed_runs
from vgg_ablate.config.horizons import get_full_name
from vgg_ablate.manifest import PlannedRun
from vgg_ablate.records import Epoch, Outcome, Record, RecordStore
from vgg_ablate.runs.averaging import find_kept_predictions
from vgg_ablate.runs.ledger.ledger import Ledger
from vgg_ablate.runs.ledger.mirror import LedgerMirror
from vgg_ablate.runs.plan import Plan, StudyCell
from vgg_ablate.runs.progress.views import ProgressState
from vgg_ablate.runs.recorded import read_outcomes
from vgg_ablate.runs.workers.protocol import WorkerContext


def resume_plan(plan: Plan, folder: Path, ledger: Ledger, until: float | None = None) -> PlanSource:
    """Return the source of a plan as the results folder has left it, and add recorded runs that the ledger lacks.

    With `until`, only runs at levels of the horizons up to this one are handed out. Raises StorageError.
    """
    mirror = LedgerMirror.from_plan(plan, ledger, RecordStore(folder / "records"))
    source = PlanSource(plan, folder, mirror, until)
    source.advance()
    source.mirror.reconcile(source.outcomes)
    return source


class PlanSource:
    """The missing trainings of a plan in order, and each ensemble as soon as its members are recorded.

    In a study that stops early these are the runs of one look, until all of them are recorded; then those of the next.
    """

    stops_runs = False

    def __init__(self, plan: Plan, folder: Path, mirror: LedgerMirror, until: float | None) -> None:
        self.cells = plan.cells
        self.state = ProgressState(plan.study.name, 0)
        self.needed: set[str] | None = None  # keys of the runs that open claims need by now; None: all
        self.mirror = mirror
        self.outcomes: dict[str, Outcome] = {}  # key -> outcome, of the records when the look began
        self._plan = plan
        self._context = WorkerContext(folder=folder)
        self._until = until
        self._waiting: deque[StudyCell] = deque()
        self._averages: list[StudyCell] = []
        self._unfinished: set[str] = set()  # keys of this look that have no record yet
        self._kept: set[str] = set()  # keys of finished runs whose predictions are stored
        self._unavailable: set[str] = set()  # keys that have ended without stored predictions

    def advance(self) -> None:
        """Read the records, decide which runs are needed, and queue those of them that are missing."""
        plan, store = self._plan, RecordStore(self._context.records)
        self.outcomes |= read_outcomes(store, {cell.key for cell in plan.cells} - self.outcomes.keys())
        decisions = None
        if plan.study.stop is not None:
            decisions = read_decisions(plan.study, plan.planned, self._context.folder)
            self.needed = select_needed_runs(plan.study, plan.planned, decisions)
            self.state.notice = describe_verdicts(decisions)
        finished = (key for key, outcome in self.outcomes.items() if outcome is Outcome.FINISHED)
        self._kept, self._unavailable = find_kept_predictions(self._context.predictions, finished), set()
        checkpoints = {path.name for path in self._context.locate_checkpoint("").glob("*")}
        division = plan.divide(set(self.outcomes), self._kept, checkpoints, self._until, self.needed)
        missing = (*division.trainings, *division.averages)
        self._waiting, self._averages = deque(division.trainings), list(division.averages)
        self._unfinished = {member.key for cell in missing for member in (cell, *cell.shares)}
        if decisions is not None and plan.study.stop is not None and plan.study.stop.order == "cheapest":
            chances = _compute_chances(missing, decisions)
            # Sorting is stable: runs of equal chances stay in the order of the plan.
            self._waiting = deque(
                sorted(self._waiting, key=lambda cell: -chances.get(get_full_name(cell.variant), 0.0))
            )
        self._update_state(missing)

    def _update_state(self, missing: Sequence[StudyCell]) -> None:
        """Update the number of runs, which grows with every look, and the missing runs of the forecast."""
        if self.needed is not None:
            total = len(self.needed)
        else:
            total = sum(not cell.is_beyond(self._until) for cell in self.cells)
        self.state.total = total
        self.state.recorded = total - len(self._unfinished) - sum(self.state.outcomes.values())
        self.state.forecast.expect(missing)

    def list_planned(self) -> tuple[PlannedRun, ...]:
        """Return the runs of the plan, as the manifest lists them."""
        return self._plan.planned

    def has_unfinished_runs(self) -> bool:
        """Return whether there is anything to run."""
        return bool(self._unfinished)

    def count_tolerated_outcomes(self) -> dict[str, int]:
        """Return no outcomes: a run of a plan that does not finish is a failure."""
        return {}

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
        """Mirror the record to the ledger; after the last run of a look, go on with the next look.

        With `on_error: stop`, hand out nothing after a failure.
        """
        self.mirror.add_record(record)
        has_predictions = record.outcome is Outcome.FINISHED and cell.run.train.keep == "predictions"
        (self._kept if has_predictions else self._unavailable).add(cell.key)
        if self._plan.study.on_error == "stop" and record.outcome is not Outcome.FINISHED:
            self._waiting.clear()
            self._averages.clear()
        self._unfinished.discard(cell.key)
        if self.needed is not None and not self._unfinished:
            self.advance()

    def requeue_run(self, cell: StudyCell) -> None:
        """Put a lost run at the front, so that the order stays as planned."""
        self._waiting.appendleft(cell)


def describe_verdicts(decisions: Decisions) -> str:
    """Return the look and the interim verdicts: `look 1 of 4, after 3 of 12 seeds: small supported; same open`."""
    words = "; ".join(
        f"{verdict.claim.id} {verdict.verdict if verdict.is_decided else 'open'}" for verdict in decisions.verdicts
    )
    return f"{decisions.describe()}: {words}"


def _compute_chances(cells: Sequence[StudyCell], decisions: Decisions) -> dict[str, float]:
    """Return, by variant, the highest chance of a decision per work of the missing runs, among the variant's claims."""
    chances = dict[str, float]()
    for verdict in decisions.verdicts:
        names = {get_full_name(name) for name in verdict.weights}
        work = sum(cell.work for cell in cells if get_full_name(cell.variant) in names)
        if not verdict.is_decided and work:
            chance = (1.0 if isnan(verdict.power) else verdict.power) / work
            chances |= {name: max(chance, chances.get(name, 0.0)) for name in names}
    return chances

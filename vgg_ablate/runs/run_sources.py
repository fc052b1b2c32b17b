"""The source of runs of a fixed plan."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import replace

from vgg_ablate.records import Epoch, Outcome, Record
from vgg_ablate.runs.ledger.mirror import LedgerMirror
from vgg_ablate.runs.plan import PlanDivision, StudyCell


class FixedPlanSource:
    """The missing trainings of a plan in order, and each ensemble as soon as its members are recorded."""

    def __init__(
        self, division: PlanDivision, mirror: LedgerMirror, *, stop_at_failure: bool, kept: Collection[str] = ()
    ) -> None:
        """Take a divided plan, and in `kept` the keys of finished runs whose predictions are stored."""
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

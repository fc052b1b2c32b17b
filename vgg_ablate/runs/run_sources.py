"""A fixed plan as a source of runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import replace

from vgg_ablate.records import Epoch, Outcome, Record
from vgg_ablate.runs.ledger.mirror import LedgerMirror
from vgg_ablate.runs.plan import PlanDivision, StudyCell


class FixedPlanSource:
    """A fixed plan: its missing trainings in order, and each ensemble of its runs as soon as these are recorded."""

    def __init__(
        self, division: PlanDivision, mirror: LedgerMirror, *, stop_at_failure: bool, kept: Collection[str] = ()
    ) -> None:
        """`kept`: keys of finished runs whose predictions are stored."""
        self._waiting, self._averages = deque(division.trainings), list(division.averages)
        self._mirror, self._stop_at_failure = mirror, stop_at_failure
        self._kept, self._missed = set(kept), set[str]()  # members: those that can be averaged, those that never can

    def next(self) -> StudyCell | None:
        """An ensemble whose members are all recorded; else the first training that waits."""
        for index, cell in enumerate(self._averages):
            if self._kept.issuperset(cell.members):
                return self._averages.pop(index)
            if not self._missed.isdisjoint(cell.members):  # a member did not finish: the ensemble is trained itself
                return replace(self._averages.pop(index), members=())
        return self._waiting.popleft() if self._waiting else None

    def epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        """A planned run is never pruned."""
        return False

    def ended(self, cell: StudyCell, record: Record) -> None:
        """Mirror it."""
        self._mirror.tell(record)
        kept = record.outcome is Outcome.FINISHED and cell.run.train.keep == "predictions"
        (self._kept if kept else self._missed).add(cell.key)
        if self._stop_at_failure and record.outcome is not Outcome.FINISHED:
            self._waiting.clear()
            self._averages.clear()

    def again(self, cell: StudyCell) -> None:
        """To the front, so that the order stays as planned."""
        self._waiting.appendleft(cell)

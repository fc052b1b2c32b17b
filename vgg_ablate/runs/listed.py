"""A fixed plan as a source of runs."""

from __future__ import annotations

from collections import deque

from vgg_ablate.records import Epoch, Outcome, Record
from vgg_ablate.runs.mirror import Mirror
from vgg_ablate.runs.plan import Cell


class Listed:
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

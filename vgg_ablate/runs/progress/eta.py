"""Forecast of a study's end: the work that is left over the rate of the work that is done. Arithmetic on seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from vgg_ablate.runs.plan import StudyCell


@dataclass
class Forecast:
    """A forecast of the end of a study, from the durations of its finished runs.

    A variant with finished runs is expected to take their mean; any other, its work (`StudyCell.work`) at the rate of
    all finished runs.
    """

    slot_count: int = 1  # runs at a time, which the scheduler keeps up to date
    _waiting: Counter[str] = field(default_factory=Counter)  # variant -> runs that have not started
    _work: dict[str, float] = field(default_factory=dict)  # variant -> work of one run
    _running: dict[str, tuple[str, float]] = field(default_factory=dict)  # key -> variant, fraction done
    _shared: int = 0  # runs that wait or run and take no time: another run's training serves them
    _finished: Counter[str] = field(default_factory=Counter)  # variant -> finished runs
    # Variant -> time of its finished runs, in whole milliseconds: a sum of integers does not depend on their order.
    _milliseconds: Counter[str] = field(default_factory=Counter)

    def expect(self, cells: Iterable[StudyCell]) -> None:
        """Add runs that are to be trained."""
        for cell in cells:
            self._waiting[cell.variant] += 1
            self._work[cell.variant] = cell.work
            self._shared += len(cell.shares)

    def start(self, cell: StudyCell) -> None:
        """Mark a run as started; one that was not expected is added, as the later rungs of a tuning are."""
        if self._waiting[cell.variant] <= 0:
            self.expect([cell])
        self._waiting[cell.variant] -= 1
        self._running[cell.key] = (cell.variant, 0.0)

    def advance(self, cell: StudyCell, fraction: float) -> None:
        """Set the fraction of a run that is done."""
        self._running[cell.key] = (cell.variant, fraction)

    def end(self, cell: StudyCell, seconds: float | None) -> None:
        """Mark a run as ended, after `seconds` of wall time; None where these are not typical of the variant."""
        self._running.pop(cell.key, None)
        self._shared -= len(cell.shares)
        if seconds is not None:
            self._finished[cell.variant] += 1
            self._milliseconds[cell.variant] += round(1000 * seconds)

    def requeue(self, cell: StudyCell) -> None:
        """Mark a lost run as waiting again."""
        self._running.pop(cell.key, None)
        self._waiting[cell.variant] += 1

    @property
    def unfinished(self) -> int:
        """Number of runs that wait or run."""
        return self._waiting.total() + len(self._running) + self._shared

    def estimate_seconds_left(self, unnamed: int = 0) -> float | None:
        """Return the seconds until everything has ended; None before a run has finished.

        `unnamed` is the number of later runs that are not known yet, such as those of a search.
        """
        if not self._finished:
            return None
        rate = self._compute_rate()
        mean = self._milliseconds.total() / 1000 / self._finished.total()
        waiting = sum(count * self._predict(variant, rate) for variant, count in self._waiting.items() if count > 0)
        running = [(1 - done) * self._predict(variant, rate) for variant, done in self._running.values()]
        work_left = max(0, unnamed) * mean + waiting + sum(running)
        # However many slots are free, the study does not end before its longest running run.
        return max([work_left / self.slot_count, *running])

    def _compute_rate(self) -> float:
        """Return the seconds per unit of work, over all finished runs."""
        work = sum(count * self._work[variant] for variant, count in self._finished.items())
        return self._milliseconds.total() / 1000 / work if work else 0.0

    def _predict(self, variant: str, rate: float) -> float:
        """Return the seconds that one run of a variant takes."""
        if self._finished[variant]:
            return self._milliseconds[variant] / 1000 / self._finished[variant]
        return rate * self._work[variant]

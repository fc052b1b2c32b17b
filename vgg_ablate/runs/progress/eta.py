"""When will it end? The work that is left over the rate of the work that is done. Pure arithmetic; seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from vgg_ablate.runs.plan import StudyCell


@dataclass
class Forecast:
    """Learns from finished runs: a variant that was seen takes its mean; another, its work at the usual rate."""

    slots: int
    _waiting: Counter[str] = field(default_factory=Counter)  # runs not yet started, by variant
    _work: dict[str, float] = field(default_factory=dict)  # of one run, by variant
    _running: dict[str, tuple[str, float]] = field(default_factory=dict)  # key -> variant, fraction done
    _shared: int = 0  # runs that wait or run and cost nothing: the training of another serves them
    _seen: Counter[str] = field(default_factory=Counter)
    _seconds: Counter[str] = field(default_factory=Counter)  # of the runs seen, by variant; whole milliseconds

    def expect(self, cells: Iterable[StudyCell]) -> None:
        """These are to run."""
        for cell in cells:
            self._waiting[cell.variant] += 1
            self._work[cell.variant] = cell.work
            self._shared += len(cell.shares)

    def start(self, cell: StudyCell) -> None:
        """One of them has begun, or one that was not known before: later rungs of a tuning are named as they come."""
        if self._waiting[cell.variant] <= 0:
            self.expect([cell])
        self._waiting[cell.variant] -= 1
        self._running[cell.key] = (cell.variant, 0.0)

    def advance(self, cell: StudyCell, fraction: float) -> None:
        """That much of it is done."""
        self._running[cell.key] = (cell.variant, fraction)

    def end(self, cell: StudyCell, seconds: float | None) -> None:
        """It has ended; `seconds` of wall time, or None where they say nothing of the variant."""
        self._running.pop(cell.key, None)
        self._shared -= len(cell.shares)
        if seconds is not None:
            self._seen[cell.variant] += 1
            self._seconds[cell.variant] += round(1000 * seconds)

    def again(self, cell: StudyCell) -> None:
        """It was lost and waits again."""
        self._running.pop(cell.key, None)
        self._waiting[cell.variant] += 1

    @property
    def known(self) -> int:
        """Runs that wait or run."""
        return self._waiting.total() + len(self._running) + self._shared

    def left(self, more: int = 0) -> float | None:
        """Seconds until the end of everything, with `more` runs yet unnamed; None before a run has ended."""
        if not self._seen:
            return None
        rate = self._rate()
        unnamed = max(0, more) * self._seconds.total() / 1000 / self._seen.total()
        waiting = sum(count * self._each(variant, rate) for variant, count in self._waiting.items() if count > 0)
        running = [(1 - done) * self._each(variant, rate) for variant, done in self._running.values()]
        return max([(unnamed + waiting + sum(running)) / self.slots, *running])

    def _rate(self) -> float:
        """Seconds a unit of work, over everything seen."""
        work = sum(count * self._work[variant] for variant, count in self._seen.items())
        return sum(self._seconds.values()) / 1000 / work if work else 0.0

    def _each(self, variant: str, rate: float) -> float:
        if self._seen[variant]:
            return self._seconds[variant] / 1000 / self._seen[variant]
        return rate * self._work[variant]

"""Warnings while a study runs: a worker takes more memory than predicted, the study more time than it was given.

Views that set warnings come before the views that show them.
"""

from __future__ import annotations

import time

from vgg_ablate.formatting import numbers
from vgg_ablate.runs.plan import StudyCell
from vgg_ablate.runs.progress.views import NullView, ProgressState, estimate_seconds_left
from vgg_ablate.runs.resources.memory_fit import predict_peak_bytes
from vgg_ablate.runs.workers.protocol import EpochEnded, JobEnded, RunEvent

# What a worker holds besides its training: on a CPU Python and torch (1.0 GiB in the records of the studies on digits),
# on a GPU workspaces and cached blocks. The predictions do not contain it.
LIBRARY_BYTES = 1 << 30
_TOLERATED_RATIO = 1.5  # of measured to predicted memory
_CHECK_INTERVAL_S = 5.0  # a forecast looks at every variant


class MemoryView(NullView):
    """A view that warns of a worker whose memory is half above its prediction."""

    _state: ProgressState  # set by `start`

    def __init__(self) -> None:
        self._largest_bytes = 0.0  # of which the warning was

    def start(self, state: ProgressState) -> None:
        self._state = state

    def handle(self, cell: StudyCell, event: RunEvent) -> None:
        if not isinstance(event, EpochEnded | JobEnded) or event.peak_bytes is None:
            return
        # Once, and again where it has grown by half: a warning per epoch would hide everything else.
        if event.peak_bytes <= _TOLERATED_RATIO * max(LIBRARY_BYTES, self._largest_bytes):
            return
        predicted_bytes = LIBRARY_BYTES + predict_peak_bytes(cell.run, graphs=True)
        if event.peak_bytes > _TOLERATED_RATIO * predicted_bytes:
            self._largest_bytes = event.peak_bytes
            self._state.warnings["memory"] = (
                f"{cell.title}: its worker has taken {numbers.format_bytes(event.peak_bytes)} of memory, "
                f"{numbers.format_bytes(predicted_bytes)} were predicted; fewer --workers leave more for each"
            )


class TimeLimitView(NullView):
    """A view that warns as soon as a study is predicted to take longer than a limit, and once it has."""

    _state: ProgressState  # set by `start`

    def __init__(self, max_hours: float, began_at: float, interval_s: float = _CHECK_INTERVAL_S) -> None:
        """Take the limit, and the time of the monotonic clock from which it counts."""
        self._max_hours = max_hours
        self._began_at = began_at
        self._interval_s = interval_s
        self._checked_at = float("-inf")

    def start(self, state: ProgressState) -> None:
        self._state = state

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < self._interval_s:
            return
        self._checked_at = now
        limit, limit_s = f"--max-hours {self._max_hours:g}", 3600 * self._max_hours
        left_s = estimate_seconds_left(self._state)
        if now - self._began_at > limit_s:
            self._state.warnings["time"] = f"{self._state.name} has taken longer than {limit}"
        elif left_s is not None and now - self._began_at + left_s > limit_s:
            self._state.warnings["time"] = f"{self._state.name} is predicted to take longer than {limit}"
        else:
            self._state.warnings.pop("time", None)

"""A warning while a study runs: the disk of its results folder is nearly full."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from vgg_ablate.formatting import numbers
from vgg_ablate.runs.progress.views import NullView, ProgressState

_LEAST_FREE_BYTES = 1 << 30  # checkpoints and predictions of a few large nets
_CHECK_INTERVAL_S = 10.0


def _measure_free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class DiskSpaceView(NullView):
    """A view that warns of a disk that is nearly full. It comes before the views that show warnings."""

    _state: ProgressState  # set by `start`

    def __init__(
        self,
        folder: Path,
        measure_free_bytes: Callable[[Path], int] = _measure_free_bytes,
        interval_s: float = _CHECK_INTERVAL_S,
    ) -> None:
        self._folder = folder
        self._measure_free_bytes = measure_free_bytes
        self._interval_s = interval_s
        self._checked_at = 0.0

    def start(self, state: ProgressState) -> None:
        self._state = state
        self._check()

    def tick(self) -> None:
        if time.monotonic() - self._checked_at >= self._interval_s:
            self._check()

    def _check(self) -> None:
        self._checked_at = time.monotonic()
        is_low = False
        with contextlib.suppress(OSError):  # a folder that is gone ends the run where its next file is written
            is_low = self._measure_free_bytes(self._folder) < _LEAST_FREE_BYTES
        if is_low:
            limit = numbers.format_bytes(_LEAST_FREE_BYTES)
            self._state.warnings["disk"] = f"{self._folder}: less than {limit} of disk space left"
        else:
            self._state.warnings.pop("disk", None)

"""`run --track`: processes that mirror a study to experiment trackers. Nothing depends on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vgg_ablate.errors import EnvironmentFailedError, StorageError, find_missing_package
from vgg_ablate.runs.progress.tracker_names import TrackerName
from vgg_ablate.runs.progress.views import NullView, ProgressState

_PROCESS = "vgg_ablate.external.tracking"  # started by name: its package is above this one
_PATIENCE_S = 60.0  # for what is not sent yet when the study has ended


def check_tracker(name: TrackerName) -> None:
    """Raise EnvironmentFailedError where the package of a tracker is not installed."""
    if missing := find_missing_package(name, name):
        raise EnvironmentFailedError(f"--track {name}: {missing}")


class TrackerView(NullView):
    """A view that keeps the process of a tracker beside a study, and warns once where it has ended by itself."""

    _process: subprocess.Popen[bytes]

    def __init__(self, name: TrackerName, folder: Path, offset: int) -> None:
        self._name = name
        self._folder = folder
        self._log = folder / "logs" / f"track-{name}.log"
        self._offset = offset  # in bytes, of the first event of this start in the event log
        self._has_failed = False

    @classmethod
    def prepare(cls, name: TrackerName, folder: Path) -> TrackerView:
        """Return the view of a tracker that mirrors what is logged from now on: earlier starts are mirrored."""
        events = folder / "events.jsonl"
        return cls(name, folder, events.stat().st_size if events.exists() else 0)

    def start(self, state: ProgressState) -> None:
        command = [sys.executable, "-m", _PROCESS, self._name, str(self._folder), str(self._offset)]
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab") as log:
                # A session of its own: Ctrl-C is for the driver, whose last events the tracker still gets.
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise StorageError(f"{self._log}: {error.strerror}") from error

    def tick(self) -> None:
        if not self._has_failed and self._process.poll() is not None:
            self._warn(f"ended with status {self._process.returncode}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # the end of the study, for the process
        try:
            status = self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._warn(f"had not sent everything {_PATIENCE_S:.0f} s after the study")
            return
        if status:
            self._warn(f"ended with status {status}")

    def _warn(self, reason: str) -> None:
        if self._has_failed:
            return
        self._has_failed = True
        print(f"warning: --track {self._name}: {reason}; the study goes on; see {self._log}", file=sys.stderr)

"""The event log `events.jsonl` of a results folder: one JSON object per event of a running study, for programs.

Every start appends to it. Fields: `at` (Unix time), `event`, and for events of a run `variant`, `seed`, `key`;
docs/cluster.md lists the events.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, TextIO

from vgg_ablate.errors import StorageError
from vgg_ablate.runs.plan import StudyCell
from vgg_ablate.runs.progress.views import NullView, ProgressState, describe_repeat, find_new_warnings
from vgg_ablate.runs.workers.protocol import DecodingProgress, EpochEnded, JobEnded, JobLost, JobStarted, RunEvent


class EventWriter(NullView):
    """A view that appends every event to the log. Raises StorageError where it cannot."""

    _state: ProgressState  # set by `start`

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        self._file = file
        self._warnings = dict[str, str]()

    @classmethod
    def open(cls, path: Path) -> EventWriter:
        """Return a writer that appends to the log at `path`. Raises StorageError."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A killed driver may have left half a line. It stays as it is; the next event begins a new line.
            is_torn = _ends_within_line(path)
            file = path.open("a", encoding="utf-8", buffering=1)  # line by line, so that a reader can follow
            file.write("\n" if is_torn else "")
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        return cls(path, file)

    def start(self, state: ProgressState) -> None:
        self._state = state
        counts = {"total": state.total, "recorded": state.recorded, "slots": state.forecast.slot_count}
        self._write({"event": "began", **counts})

    def handle(self, cell: StudyCell, event: RunEvent) -> None:
        name, fields = _describe_event(cell, event)
        self._write({"event": name, "variant": cell.variant, "seed": cell.seed, "key": cell.key, **fields})

    def tick(self) -> None:
        for subject, text in find_new_warnings(self._state, self._warnings).items():
            self._write({"event": "warning", "about": subject, "text": text})
        for subject in self._warnings.keys() - self._state.warnings.keys():
            self._write({"event": "warning_ended", "about": subject})
        self._warnings = dict(self._state.warnings)

    def close(self) -> None:
        # Closing tries once more to write what has failed; that failure was raised where it happened.
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, fields: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps({"at": round(time.time(), 3), **fields}) + "\n")
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error


def _describe_event(cell: StudyCell, event: RunEvent) -> tuple[str, dict[str, Any]]:
    """Return the name of an event in the log, and the fields that it has besides those of its run."""
    match event:
        case JobStarted():
            fields: dict[str, Any] = {"shares": [other.title for other in cell.shares]} if cell.shares else {}
            fields |= {"averages": list(cell.members)} if cell.members else {}
            fields |= {"reason": describe_repeat(cell)} if cell.repeats else {}
            return "started", fields
        case DecodingProgress():
            return "decoding", {"data": cell.run.data.name, "done": event.done, "of": event.total}
        case EpochEnded():
            return "epoch", event.epoch.model_dump()
        case JobEnded():
            return "ended", {"outcome": event.outcome, "reason": event.reason, "seconds": round(event.seconds, 3)}
        case JobLost():
            return "lost", {"reason": event.reason, "again": not event.is_given_up}


def _ends_within_line(path: Path) -> bool:
    """Return whether a file ends without a line break; an empty or missing file does not."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) not in (b"", b"\n")
    return False

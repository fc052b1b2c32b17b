"""`events.jsonl`: what happens while a study runs, a line an event, for machines; every start adds to it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vgg_ablate.errors import StorageError
from vgg_ablate.records import Epoch, Outcome
from vgg_ablate.runs.plan import StudyCell
from vgg_ablate.runs.progress.views import NullView, ProgressState, describe_repeat


class EventWriter(NullView):
    """Writes them. A line that a killed driver has left torn stays as it is; the next event begins a new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = _ends_within_a_line(path)
            self._file = path.open("a", encoding="utf-8", buffering=1)
            self._file.write("\n" if torn else "")
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error

    def began(self, state: ProgressState) -> None:
        self._write("began", None, total=state.total, recorded=state.recorded, slots=state.forecast.slots)

    def started(self, cell: StudyCell) -> None:
        more: dict[str, Any] = {"shares": [other.title for other in cell.shares]} if cell.shares else {}
        more |= {"averages": list(cell.members)} if cell.members else {}
        more |= {"reason": describe_repeat(cell)} if cell.repeats else {}
        self._write("started", cell, **more)

    def decoding(self, cell: StudyCell, done: int, of: int) -> None:
        self._write("decoding", cell, data=cell.run.data.name, done=done, of=of)

    def epoch(self, cell: StudyCell, epoch: Epoch) -> None:
        self._write("epoch", cell, **epoch.model_dump())

    def ended(self, cell: StudyCell, outcome: Outcome, reason: str, seconds: float) -> None:
        self._write("ended", cell, outcome=outcome, reason=reason, seconds=round(seconds, 3))

    def lost(self, cell: StudyCell, reason: str, again: bool) -> None:
        self._write("lost", cell, reason=reason, again=again)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it tries once more to write what failed, and was said
            self._file.close()

    def _write(self, event: str, cell: StudyCell | None, **more: object) -> None:
        about = {} if cell is None else {"variant": cell.variant, "seed": cell.seed, "key": cell.key}
        try:
            self._file.write(json.dumps({"at": round(time.time(), 3), "event": event, **about, **more}) + "\n")
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file, without lines that a killed driver has left torn. Raises StorageFailed."""
    try:
        with path.open("rb") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # half a line is no JSON, and may be half a letter
                    yield json.loads(line)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _ends_within_a_line(path: Path) -> bool:
    """Was whoever wrote it killed in the middle of a line?"""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) not in (b"", b"\n")
    return False

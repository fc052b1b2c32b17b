"""Reading an event log while a study writes it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any


def follow_events(path: Path, offset: int, is_over: Callable[[], bool]) -> Iterator[Mapping[str, Any]]:
    """Yield the events behind an offset in bytes as they are written; end after `is_over`, with what is there by then.

    `is_over` waits a moment before it returns False. A log that is not there yet counts as empty, and torn lines are
    skipped. Raises OSError if the log cannot be read.
    """
    for events in follow_event_batches(path, offset, is_over):
        yield from events


def follow_event_batches(path: Path, offset: int, is_over: Callable[[], bool]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the events of each look at the log, possibly none, as a list; for the arguments see `follow_events`."""
    pending = b""
    while True:
        over = is_over()
        content = b""
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(offset)
            content = file.read()
        offset += len(content)
        *lines, pending = (pending + content).split(b"\n")
        yield [event for line in lines if (event := _parse_event(line)) is not None]
        if over:
            return


def _parse_event(line: bytes) -> Mapping[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def find_last_start(path: Path) -> int:
    """Return the offset in bytes of the last start of the study in its log; 0 if there is none."""
    content = path.read_bytes() if path.exists() else b""
    at = content.rfind(b'"event": "began"')
    return 0 if at < 0 else content.rfind(b"\n", 0, at) + 1

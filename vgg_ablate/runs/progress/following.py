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
    pending = b""
    while True:
        over = is_over()
        content = b""
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(offset)
            content = file.read()
        offset += len(content)
        *lines, pending = (pending + content).split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event
        if over:
            return


def find_last_start(path: Path) -> int:
    """Return the offset in bytes of the last start of the study in its log; 0 if there is none."""
    content = path.read_bytes() if path.exists() else b""
    at = content.rfind(b'"event": "began"')
    return 0 if at < 0 else content.rfind(b"\n", 0, at) + 1

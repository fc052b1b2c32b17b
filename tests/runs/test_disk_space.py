"""A disk that is nearly full is reported while the study runs, once, in every view and in the log."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from tests.runs.harness import read_events
from vgg_ablate.runs.progress.disk_space import DiskSpaceView
from vgg_ablate.runs.progress.eta import Forecast
from vgg_ablate.runs.progress.events import EventWriter
from vgg_ablate.runs.progress.views import MultiView, PlainView, ProgressState, RichView


def test_a_disk_that_is_nearly_full_is_reported_once_and_again_after_it_was_not(tmp_path: Path) -> None:
    free = [1 << 31, 1 << 29, 1 << 29, 1 << 31, 1 << 29]
    disk = DiskSpaceView(tmp_path, lambda folder: free.pop(0), interval_s=0)
    plain, live, log = io.StringIO(), io.StringIO(), tmp_path / "events.jsonl"
    views = MultiView(
        disk,
        EventWriter.open(log),
        PlainView(plain),
        RichView(Console(file=live, width=400, force_terminal=True)),
    )
    views.start(ProgressState("asked", 3, 0, Forecast(1)))
    assert "warning" not in plain.getvalue()
    while free:
        views.tick()
    views.close()
    text = f"{tmp_path}: less than 1.0 GiB of disk space left"
    assert plain.getvalue().count(f"warning: {text}\n") == 2
    assert "of disk space left" in live.getvalue()
    events = [(event["event"], event.get("text")) for event in read_events(log)][1:]
    assert events == [("warning", text), ("warning_ended", None), ("warning", text)]


def test_a_folder_that_cannot_be_asked_is_no_warning(tmp_path: Path) -> None:
    state = ProgressState("asked", 3, 0, Forecast(1))
    DiskSpaceView(tmp_path / "missing").start(state)
    assert state.warning == ""

"""What a person should look at is reported while the study runs, once, in every view and in the log."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tests.runs.harness import (
    OPTIONS,
    build_fake_plan,
    make_study,
    read_event_log,
    read_events,
    run_in_process,
)
from vgg_ablate.records import Epoch, Outcome
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.plan import StudyCell
from vgg_ablate.runs.progress.disk_space import DiskSpaceView
from vgg_ablate.runs.progress.eta import Forecast
from vgg_ablate.runs.progress.events import EventWriter
from vgg_ablate.runs.progress.limits import LIBRARY_BYTES, MemoryView, TimeLimitView
from vgg_ablate.runs.progress.views import MultiView, PlainView, ProgressState, RichView, View
from vgg_ablate.runs.resources.memory_fit import predict_peak_bytes
from vgg_ablate.runs.workers.protocol import EpochEnded, JobEnded


class Display:
    """A view that sets warnings, and behind it every kind of view that shows them."""

    def __init__(self, view: View, folder: Path, state: ProgressState) -> None:
        self.state = state
        self._plain, self._live, self._log = io.StringIO(), io.StringIO(), folder / "events.jsonl"
        console = Console(file=self._live, width=400, force_terminal=True)
        self.views = MultiView(view, EventWriter.open(self._log), PlainView(self._plain), RichView(console))
        self.views.start(state)

    def report(self, cell: StudyCell, event: EpochEnded | JobEnded) -> None:
        """Report an event of a run, and let a moment pass."""
        self.views.handle(cell, event)
        self.views.tick()

    def close(self) -> tuple[list[str], str, list[tuple[str, str, str | None]]]:
        """End; return the plain lines with warnings, the live view, and the warnings in the log."""
        self.views.close()
        plain = [line for line in self._plain.getvalue().splitlines() if line.startswith("warning: ")]
        events = [(event["event"], event["about"], event.get("text")) for event in list(read_events(self._log))[1:]
                  if event["event"].startswith("warning")]  # fmt: skip
        return plain, self._live.getvalue(), events


def test_a_disk_that_is_nearly_full_is_reported_once_and_again_after_it_was_not(tmp_path: Path) -> None:
    free = [1 << 31, 1 << 29, 1 << 29, 1 << 31, 1 << 29]
    disk = DiskSpaceView(tmp_path, lambda folder: free.pop(0), interval_s=0)
    display = Display(disk, tmp_path, ProgressState("asked", 3, 0, Forecast(1)))
    assert display.state.warnings == {}
    while free:
        display.views.tick()
    plain, live, events = display.close()
    text = f"{tmp_path}: less than 1.0 GiB of disk space left"
    assert plain == [f"warning: {text}"] * 2
    assert "of disk space left" in live
    assert events == [("warning", "disk", text), ("warning_ended", "disk", None), ("warning", "disk", text)]


def test_a_folder_that_cannot_be_asked_is_no_warning(tmp_path: Path) -> None:
    state = ProgressState("asked", 3, 0, Forecast(1))
    DiskSpaceView(tmp_path / "missing").start(state)
    assert state.warnings == {}


def build_epoch_event(cell: StudyCell, peak_bytes: float | None) -> EpochEnded:
    epoch = Epoch(epoch=1, train_loss=1, val_loss=1, val_accuracy=0.5, lr=0.1, seconds=1, images_per_second=1)
    return EpochEnded(cell.key, epoch, None if peak_bytes is None else round(peak_bytes))


def test_a_worker_half_above_its_predicted_memory_is_reported_once_and_again_when_it_has_grown_by_half(
    tmp_path: Path,
) -> None:
    cell = build_fake_plan(make_study(tmp_path)).cells[0]
    predicted = LIBRARY_BYTES + predict_peak_bytes(cell.run)
    display = Display(MemoryView(), tmp_path, ProgressState("asked", 3, 0, Forecast(1)))
    for ratio in (1.0, 1.49, 1.51, 1.6, 2.0):
        display.report(cell, build_epoch_event(cell, ratio * predicted))
    display.report(cell, build_epoch_event(cell, None))
    # Testing may take more than training did.
    display.report(cell, JobEnded(cell.key, Outcome.FINISHED, "", 1.0, round(3 * predicted)))
    plain, live, events = display.close()
    assert [line.split(" of memory")[0] for line in plain] == [
        "warning: base/0: its worker has taken 1.5 GiB",
        "warning: base/0: its worker has taken 3.0 GiB",
    ]
    assert "GiB were predicted" in live
    assert [(name, about) for name, about, _ in events] == [("warning", "memory")] * 2


def test_the_memory_that_a_worker_measures_while_it_trains_reaches_the_log(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path, variants=0, seeds=1)), tmp_path / "results"
    assert run_plan(plan, folder, replace(OPTIONS, training="tests.runs.memory_hog")).is_complete
    (warning,) = read_event_log(folder, "warning")
    assert warning["text"].startswith("base/0: its worker has taken 9.0 GiB of memory, 1.0 GiB were predicted")
    order = [event["event"] for event in read_event_log(folder)]
    assert order.index("warning") < order.index("ended"), "it is reported after the first epoch"
    assert run_plan(plan, tmp_path / "calm", OPTIONS).is_complete
    assert read_event_log(tmp_path / "calm", "warning") == []


def test_a_study_that_will_take_longer_than_its_hours_is_reported_before_it_has(tmp_path: Path) -> None:
    cells = build_fake_plan(make_study(tmp_path, variants=0, seeds=3)).cells
    state = ProgressState("asked", 3, 0, Forecast(1))
    state.forecast.expect(cells)
    display = Display(TimeLimitView(1.0, time.monotonic(), interval_s=0), tmp_path, state)
    display.views.tick()
    assert state.warnings == {}, "nothing is known before a run has ended"
    state.forecast.start(cells[0])
    state.forecast.end(cells[0], 3000.0)
    state.outcomes["finished"] = 1
    display.views.tick()
    state.forecast.start(cells[1])
    state.forecast.end(cells[1], 1.0)
    state.outcomes["finished"] = 2
    display.views.tick()  # one run is left, and takes 1,500 s
    plain, _, events = display.close()
    text = "asked is predicted to take longer than --max-hours 1"
    assert plain == [f"warning: {text}"]
    assert events == [("warning", "time", text), ("warning_ended", "time", None)]


def test_a_study_that_has_taken_longer_than_its_hours_is_reported_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    options = replace(OPTIONS, max_hours=0.0)
    assert run_in_process(build_fake_plan(make_study(tmp_path)), folder, options).is_complete
    (warning,) = read_event_log(folder, "warning")
    assert warning["text"] == "asked has taken longer than --max-hours 0"

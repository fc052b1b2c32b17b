"""Progress of a running study for a person: a live view on a terminal, plain lines in a pipe.

Only the driver's process writes, and it writes to stderr: stdout belongs to the report.
"""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import IO, Any, Literal, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.text import count_noun
from vgg_ablate.records import Epoch, Outcome
from vgg_ablate.runs.plan import StudyCell
from vgg_ablate.runs.progress.eta import Forecast
from vgg_ablate.runs.workers.protocol import DecodingProgress, JobEnded, JobLost, JobStarted, RunEvent

ProgressKind = Literal["auto", "rich", "plain", "none"]

_SUMMARY_INTERVAL_S = 30.0  # the plain view prints what is running after this long without a line
_DECODING_INTERVAL_S = 5.0  # between two lines on the decoding of images
_REFRESH_INTERVAL_S = 0.25  # between two refreshes of the live view: more often costs the driver's processor time


@dataclass
class ProgressState:
    """The progress of a study: the scheduler and the source of runs update it, the views show it."""

    name: str
    total: int | None  # runs of the study; None: not known yet, in a search with a budget in hours
    recorded: int = 0  # before this start
    forecast: Forecast = field(default_factory=Forecast)
    running: dict[str, tuple[StudyCell, Epoch | None]] = field(default_factory=dict)  # by key, with the last epoch
    decoding: dict[str, tuple[int, int]] = field(default_factory=dict)  # key -> images decoded, images in all
    outcomes: Counter[str] = field(default_factory=Counter)  # of this start
    notice: str = ""  # the verdicts by now, in a study that stops when its claims are decided
    # What a person should look at, by subject: `disk`, `memory`, `time`.
    warnings: dict[str, str] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Number of runs that are recorded now."""
        return self.recorded + sum(self.outcomes.values())


class View(Protocol):
    """A consumer of a study's events. The scheduler calls it from one thread."""

    def start(self, state: ProgressState) -> None:
        """Show or store the state, which is kept up to date before every later call."""

    def handle(self, cell: StudyCell, event: RunEvent) -> None:
        """Handle an event of a run."""

    def tick(self) -> None:
        """Update what depends on the time; called several times per second."""

    def close(self) -> None:
        """Finish the output; called once, also when the study ends with an error."""


class NullView:
    """A view that shows nothing, and the base of views that handle only some of the calls."""

    def start(self, state: ProgressState) -> None: ...
    def handle(self, cell: StudyCell, event: RunEvent) -> None: ...
    def tick(self) -> None: ...
    def close(self) -> None: ...


class PlainView(NullView):
    """A view of plain lines: one per run that has ended, and a summary after a while without a line."""

    _state: ProgressState  # set by `start`

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._printed_at = time.monotonic()
        self._decoding_printed_at = float("-inf")
        self._notice = ""
        self._warnings = dict[str, str]()

    def start(self, state: ProgressState) -> None:
        self._state = state
        self._print(f"{state.name}: {_format_counts(state)}, {state.forecast.slot_count} at a time")
        self._print_notice()

    def handle(self, cell: StudyCell, event: RunEvent) -> None:
        match event:
            case JobStarted() if cell.repeats:
                self._print(describe_repeat(cell))
            case DecodingProgress(done=done, total=total) if done < total:
                # Several workers may wait for the same images; one line for all of them is enough.
                if time.monotonic() - self._decoding_printed_at >= _DECODING_INTERVAL_S:
                    self._decoding_printed_at = time.monotonic()
                    self._print(_format_decoding(cell, done, total))
            case JobEnded():
                outcome = f"{event.outcome}: {event.reason}" if event.reason else str(event.outcome)
                end = f"{cell.title} {outcome} in {numbers.format_rough_seconds(event.seconds)}"
                self._print(f"[{_format_counts(self._state)}] {end}, {format_eta(self._state)}")
            case JobLost():
                self._print(f"{cell.title} {_format_lost_job(event)}")
        self._print_notice()

    def tick(self) -> None:
        if time.monotonic() - self._printed_at >= _SUMMARY_INTERVAL_S:
            state = self._state
            runs = [f"{cell.title} ({' '.join(_format_run(state, cell, e))})" for cell, e in state.running.values()]
            running = ", ".join(runs) or "nothing"
            self._print(f"[{_format_counts(state)}] running {running}, {format_eta(state)}")
        self._print_notice()

    def _print_notice(self) -> None:
        """Print the verdicts by now, and the warnings, where they have changed."""
        if self._state.notice != self._notice:
            self._notice = self._state.notice
            self._print(self._notice)
        for text in find_new_warnings(self._state, self._warnings).values():
            self._print(f"warning: {text}")
        self._warnings = dict(self._state.warnings)

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)
        self._printed_at = time.monotonic()


class LiveView(NullView):
    """The base of live views: the overall bar, the running runs, the last three that finished, failures above them."""

    _state: ProgressState  # set by `start`

    def __init__(self) -> None:
        self._refreshed_at = 0.0
        self._last_finished: list[str] = []

    def start(self, state: ProgressState) -> None:
        self._state = state
        self._refresh()

    def handle(self, cell: StudyCell, event: RunEvent) -> None:
        match event:
            case JobStarted() if cell.repeats:
                self._print(escape(describe_repeat(cell)))
            case JobEnded(outcome=Outcome.FINISHED):
                line = f"[green]{cell.title}[/] finished in {numbers.format_rough_seconds(event.seconds)}"
                self._last_finished = [*self._last_finished[-2:], line]
            case JobEnded():
                self._print(f"[red]{cell.title}[/] {event.outcome}: {escape(event.reason)}")
            case JobLost():
                self._print(f"[yellow]{cell.title}[/] {escape(_format_lost_job(event))}")
        self.tick()

    def tick(self) -> None:
        if time.monotonic() - self._refreshed_at >= _REFRESH_INTERVAL_S:
            self._refresh()

    def close(self) -> None:
        self._refresh()

    def _refresh(self) -> None:
        self._refreshed_at = time.monotonic()
        self._show(self._render())

    def _print(self, text: str) -> None:
        """Add a line of markup above the live part."""
        raise NotImplementedError

    def _show(self, content: Group) -> None:
        """Replace the live part."""
        raise NotImplementedError

    def _render(self) -> Group:
        state = self._state
        bar = Table.grid(padding=(0, 1))
        progress = ProgressBar(state.total, state.done, width=40)
        bar.add_row(state.name, progress, _format_counts(state), format_eta(state))
        runs = Table.grid(padding=(0, 2))
        for cell, epoch in state.running.values():
            runs.add_row(" ", cell.title, *_format_run(state, cell, epoch))
        notice = [escape(state.notice)] if state.notice else []
        warnings = [f"[yellow]warning: {escape(text)}[/]" for text in state.warnings.values()]
        return Group(bar, *warnings, *notice, runs, *self._last_finished)


class RichView(LiveView):
    """The live view on a terminal, where failures scroll up."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def start(self, state: ProgressState) -> None:
        self._live.start()
        super().start(state)

    def close(self) -> None:
        super().close()
        self._live.stop()

    def _print(self, text: str) -> None:
        self._live.console.print(text)

    def _show(self, content: Group) -> None:
        self._live.update(content, refresh=True)


class NotebookView(LiveView):
    """The live view in Jupyter: one output that is replaced, with the failures above it."""

    def __init__(self, handle: Any) -> None:
        super().__init__()
        self._handle = handle  # IPython's, of the output
        self._printed: list[str] = []

    @classmethod
    def open(cls) -> NotebookView:
        """Return the view of a new output below the cell that runs."""
        return cls(import_module("IPython.display").display({"text/plain": ""}, raw=True, display_id=True))

    def _print(self, text: str) -> None:
        self._printed.append(text)

    def _show(self, content: Group) -> None:
        console = Console(file=io.StringIO(), width=100, color_system=None, force_jupyter=False)
        with console.capture() as capture:
            console.print(*self._printed, content, sep="\n")
        self._handle.update({"text/plain": capture.get()}, raw=True)


class MultiView:
    """A view that passes every call on to several views, in order."""

    def __init__(self, *views: View) -> None:
        self._views = views

    def start(self, state: ProgressState) -> None:
        for view in self._views:
            view.start(state)

    def handle(self, cell: StudyCell, event: RunEvent) -> None:
        for view in self._views:
            view.handle(cell, event)

    def tick(self) -> None:
        for view in self._views:
            view.tick()

    def close(self) -> None:
        for view in self._views:
            view.close()


def build_view(kind: ProgressKind) -> View:
    """Return the view for `--progress`; `auto`: live on a terminal and in Jupyter, lines elsewhere."""
    if kind == "auto" and _is_notebook():
        return NotebookView.open()
    if kind == "auto":
        kind = "rich" if sys.stderr.isatty() else "plain"
    if kind == "none":
        return NullView()
    return RichView(Console(file=sys.stderr)) if kind == "rich" else PlainView(sys.stderr)


def _is_notebook() -> bool:
    """Return whether a Jupyter kernel runs this process."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


def describe_repeat(cell: StudyCell) -> str:
    """Return why a training that is recorded already is repeated."""
    titles = ", ".join(repr(other.title) for other in (cell, *cell.shares))
    verb = "ask" if cell.shares else "asks"
    return f"trained again: {titles} {verb} for another evaluation of a recorded training"


def find_new_warnings(state: ProgressState, known: Mapping[str, str]) -> dict[str, str]:
    """Return the warnings, by subject, that are new or have another text than the known ones."""
    return {subject: text for subject, text in state.warnings.items() if text != known.get(subject)}


def estimate_seconds_left(state: ProgressState) -> float | None:
    """Return the seconds until every run that is asked for has ended; None before the first has."""
    unnamed = 0 if state.total is None else state.total - state.done - state.forecast.unfinished
    return state.forecast.estimate_seconds_left(unnamed)


def format_eta(state: ProgressState) -> str:
    """Return the time left as `22 min left`, or `4 min 07 s in all` where nothing is left."""
    if state.total is not None and state.done >= state.total:
        return f"{numbers.format_rough_seconds(time.monotonic() - state.since)} in all"
    seconds = estimate_seconds_left(state)
    return "time left unknown" if seconds is None else f"{numbers.format_rough_seconds(seconds)} left"


def _format_counts(state: ProgressState) -> str:
    total = "?" if state.total is None else state.total
    failures = {outcome: count for outcome, count in state.outcomes.items() if outcome not in ("finished", "pruned")}
    details = "".join(f", {count} {outcome}" for outcome, count in failures.items())
    return f"{state.done} of {count_noun(total, 'runs')} recorded{details}"


def _format_lost_job(event: JobLost) -> str:
    return f"lost: {event.reason}; {'given up' if event.is_given_up else 'handed out again'}"


def _format_run(state: ProgressState, cell: StudyCell, epoch: Epoch | None) -> tuple[str, ...]:
    if epoch is None:
        done, total = state.decoding.get(cell.key, (0, 0))
        return (_format_decoding(cell, done, total),) if done < total else ("starting",)
    return (
        f"epoch {epoch.epoch}/{cell.run.train.epochs}",
        f"loss {epoch.train_loss:.3f}",
        f"val {100 * epoch.val_accuracy:.1f} %",
    )


def _format_decoding(cell: StudyCell, done: int, total: int) -> str:
    return f"decoding {cell.run.data.name}: {done:,} of {total:,} images"

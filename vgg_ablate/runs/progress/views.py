"""What a person sees while a study runs: a live view on a terminal, plain lines in a pipe.

One process, the driver, writes; it writes to stderr.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, Literal, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from vgg_ablate.records import Epoch, Outcome
from vgg_ablate.runs.plan import StudyCell
from vgg_ablate.runs.progress.eta import Forecast

ProgressKind = Literal["auto", "rich", "plain", "none"]

_HEARTBEAT = 30.0  # seconds of silence after which a piped run says that it lives
_DECODING = 5.0  # seconds between two lines on how far the images are
_REFRESH = 0.25  # seconds between two pictures of the live view


@dataclass
class ProgressState:
    """How far a study has come. The driver changes it; views show it."""

    name: str
    total: int | None  # runs asked for; None: a search does not know yet
    recorded: int  # before this start
    forecast: Forecast
    running: dict[str, tuple[StudyCell, Epoch | None]] = field(default_factory=dict)
    decoding: dict[str, tuple[int, int]] = field(default_factory=dict)  # by key: images done, of how many
    outcomes: Counter[str] = field(default_factory=Counter)  # of this start
    since: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Runs that are recorded now."""
        return self.recorded + sum(self.outcomes.values())


class View(Protocol):
    """Something that shows, or writes down, what happens."""

    def began(self, state: ProgressState) -> None:
        """The driver has started."""

    def started(self, cell: StudyCell) -> None:
        """A run was handed to a worker."""

    def decoding(self, cell: StudyCell, done: int, of: int) -> None:
        """Its worker makes arrays of the images, and has come so far."""

    def epoch(self, cell: StudyCell, epoch: Epoch) -> None:
        """An epoch of it is over."""

    def ended(self, cell: StudyCell, outcome: Outcome, reason: str, seconds: float) -> None:
        """It has a record."""

    def lost(self, cell: StudyCell, reason: str, again: bool) -> None:
        """Its worker died; it is handed out again, or given up."""

    def tick(self) -> None:
        """A moment has passed."""

    def close(self) -> None:
        """The driver is about to end."""


class NullView:
    """Says nothing."""

    def began(self, state: ProgressState) -> None: ...
    def started(self, cell: StudyCell) -> None: ...
    def decoding(self, cell: StudyCell, done: int, of: int) -> None: ...
    def epoch(self, cell: StudyCell, epoch: Epoch) -> None: ...
    def ended(self, cell: StudyCell, outcome: Outcome, reason: str, seconds: float) -> None: ...
    def lost(self, cell: StudyCell, reason: str, again: bool) -> None: ...
    def tick(self) -> None: ...
    def close(self) -> None: ...


class PlainView(NullView):
    """One line a run that has ended, and a heartbeat."""

    def __init__(self, out: IO[str]) -> None:
        self._out, self._said, self._decoding = out, time.monotonic(), float("-inf")

    def began(self, state: ProgressState) -> None:
        self._state = state
        self._say(f"{state.name}: {_counted(state)}, {state.forecast.slots} at a time")

    def started(self, cell: StudyCell) -> None:
        if cell.repeats:
            self._say(describe_repeat(cell))

    def ended(self, cell: StudyCell, outcome: Outcome, reason: str, seconds: float) -> None:
        word = f"{outcome}: {reason}" if reason else str(outcome)
        self._say(
            f"[{_counted(self._state)}] {cell.title} {word} in {format_duration(seconds)}, {format_eta(self._state)}"
        )

    def decoding(self, cell: StudyCell, done: int, of: int) -> None:
        now = time.monotonic()
        if done < of and now - self._decoding >= _DECODING:  # several workers may tell of the same images
            self._decoding = now
            self._say(_decoded(cell, done, of))

    def lost(self, cell: StudyCell, reason: str, again: bool) -> None:
        self._say(f"{cell.title} lost: {reason}; {'handed out again' if again else 'given up'}")

    def tick(self) -> None:
        if time.monotonic() - self._said >= _HEARTBEAT:
            running = ", ".join(_running(self._state, *one) for one in self._state.running.values())
            self._say(f"[{_counted(self._state)}] running {running or 'nothing'}, {format_eta(self._state)}")

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)
        self._said = time.monotonic()


class RichView(NullView):
    """A live view: the overall bar, the running runs, the last that ended, failures."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._drawn = 0.0
        self._last: list[str] = []

    def began(self, state: ProgressState) -> None:
        self._state = state
        self._live.start()
        self._draw()

    def started(self, cell: StudyCell) -> None:
        if cell.repeats:
            self._live.console.print(escape(describe_repeat(cell)))

    def decoding(self, cell: StudyCell, done: int, of: int) -> None:
        self.tick()

    def epoch(self, cell: StudyCell, epoch: Epoch) -> None:
        self.tick()

    def ended(self, cell: StudyCell, outcome: Outcome, reason: str, seconds: float) -> None:
        if outcome is Outcome.FINISHED:
            self._last = [*self._last[-2:], f"[green]{cell.title}[/] finished in {format_duration(seconds)}"]
        else:
            self._live.console.print(f"[red]{cell.title}[/] {outcome}: {escape(reason)}")
        self.tick()

    def lost(self, cell: StudyCell, reason: str, again: bool) -> None:
        after = "handed out again" if again else "given up"
        self._live.console.print(f"[yellow]{cell.title}[/] lost: {escape(reason)}; {after}")

    def tick(self) -> None:
        if time.monotonic() - self._drawn >= _REFRESH:
            self._draw()

    def close(self) -> None:
        self._draw()
        self._live.stop()

    def _draw(self) -> None:
        state, self._drawn = self._state, time.monotonic()
        bar = Table.grid(padding=(0, 1))
        bar.add_row(state.name, ProgressBar(state.total, state.done, width=40), _counted(state), format_eta(state))
        runs = Table.grid(padding=(0, 2))
        for cell, epoch in state.running.values():
            runs.add_row(" ", cell.title, *_cells(state, cell, epoch))
        self._live.update(Group(bar, runs, *self._last), refresh=True)


class MultiView(NullView):
    """Several views at once."""

    def __init__(self, *views: View) -> None:
        self._views = views

    def began(self, state: ProgressState) -> None:
        for view in self._views:
            view.began(state)

    def started(self, cell: StudyCell) -> None:
        for view in self._views:
            view.started(cell)

    def decoding(self, cell: StudyCell, done: int, of: int) -> None:
        for view in self._views:
            view.decoding(cell, done, of)

    def epoch(self, cell: StudyCell, epoch: Epoch) -> None:
        for view in self._views:
            view.epoch(cell, epoch)

    def ended(self, cell: StudyCell, outcome: Outcome, reason: str, seconds: float) -> None:
        for view in self._views:
            view.ended(cell, outcome, reason, seconds)

    def lost(self, cell: StudyCell, reason: str, again: bool) -> None:
        for view in self._views:
            view.lost(cell, reason, again)

    def tick(self) -> None:
        for view in self._views:
            view.tick()

    def close(self) -> None:
        for view in self._views:
            view.close()


def build_view(kind: ProgressKind, out: IO[str] | None = None) -> View:
    """The view of `--progress`; `auto` is rich on a terminal and plain lines elsewhere."""
    stream = sys.stderr if out is None else out
    if kind == "auto":
        kind = "rich" if stream.isatty() else "plain"
    if kind == "none":
        return NullView()
    return RichView(Console(file=stream)) if kind == "rich" else PlainView(stream)


def describe_repeat(cell: StudyCell) -> str:
    """Return why a training that is recorded already is repeated."""
    asking = ", ".join(repr(one.title) for one in (cell, *cell.shares))
    verb = "ask" if cell.shares else "asks"
    return f"trained again: {asking} {verb} for another evaluation of a recorded training"


def format_duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3:05`, `2:03:05`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_eta(state: ProgressState) -> str:
    """`ETA 3:05`, or how long it has taken where nothing is left."""
    unnamed = 0 if state.total is None else state.total - state.done - state.forecast.known
    seconds = state.forecast.left(unnamed)
    if state.total is not None and state.done >= state.total:
        return f"after {format_duration(time.monotonic() - state.since)}"
    return "ETA unknown" if seconds is None else f"ETA {format_duration(seconds)}"


def _counted(state: ProgressState) -> str:
    total = "?" if state.total is None else state.total
    bad = {outcome: count for outcome, count in state.outcomes.items() if outcome not in ("finished", "pruned")}
    failures = "".join(f", {count} {outcome}" for outcome, count in bad.items())
    return f"{state.done} of {total} runs recorded{failures}"


def _running(state: ProgressState, cell: StudyCell, epoch: Epoch | None) -> str:
    return f"{cell.title} ({' '.join(_cells(state, cell, epoch))})"


def _cells(state: ProgressState, cell: StudyCell, epoch: Epoch | None) -> tuple[str, ...]:
    if epoch is None:
        done, of = state.decoding.get(cell.key, (0, 0))
        return (_decoded(cell, done, of),) if done < of else ("starting",)
    return (
        f"epoch {epoch.epoch}/{cell.run.train.epochs}",
        f"loss {epoch.train_loss:.3f}",
        f"val {100 * epoch.val_accuracy:.1f} %",
    )


def _decoded(cell: StudyCell, done: int, of: int) -> str:
    return f"decoding {cell.run.data.name}: {done:,} of {of:,} images"

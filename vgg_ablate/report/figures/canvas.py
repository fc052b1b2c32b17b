"""Sizes, fonts and colours of all figures, and SVG output that is the same byte for byte in every process.

Colours are those of Okabe and Ito (2008), darkened where text has them. A shape or a word repeats what a colour means,
so that figures can be read in grey print. Text stays text: it can be searched, selected and recoloured by a page.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, nan
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, MaxNLocator

from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.text import truncate_to_fit

WIDTH = 7.2  # inches: two columns of a paper
FONT_SIZE, SMALL_FONT_SIZE = 8.5, 7.5  # points

INK, SOFT, RULE, BAND, PAPER = "#1c2126", "#5c656e", "#c9cfd5", "#e9edf0", "#ffffff"
ACCENT = "#0b5fa5"
SUPPORTED_COLOR, REFUTED_COLOR, INCONCLUSIVE_COLOR = "#007a5a", "#b84a00", "#65707a"
VERDICT_COLORS = {
    "supported": SUPPORTED_COLOR,
    "refuted": REFUTED_COLOR,
    "no difference": ACCENT,
    "inconclusive": INCONCLUSIVE_COLOR,
}
SERIES_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")

# Layout is measured in the first font, so none of the fallbacks may be wider than it.
_FONTS = "'DejaVu Sans', Verdana, 'Liberation Sans', Arial, sans-serif"

_TAG = re.compile(r"<[^>]*>")
_LONG_COORDINATE = re.compile(r"-?\b\d+\.\d{3,}\b")  # finer than a hundredth of a point
_MATPLOTLIB_VERSION = re.compile(r"Matplotlib v[\w.]+")
_SVG_ELEMENT = re.compile(r"(?:<\?xml[^>]*>\s*<!DOCTYPE[^>]*>\s*)?<svg\b.*?</svg>\s*", re.DOTALL)

_STYLE: Any = {
    "svg.hashsalt": "vgg_ablate",  # without a salt, ids of clip paths are random in every process
    "svg.fonttype": "none",  # text as text, not as outlines
    "font.family": ["DejaVu Sans"],  # included in matplotlib, so that every machine measures the same widths
    "font.size": FONT_SIZE,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.labelsize": SMALL_FONT_SIZE,
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.8,
    "axes.titlesize": FONT_SIZE,
    "axes.titlelocation": "left",
    "axes.titlepad": 6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.facecolor": PAPER,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.labelsize": SMALL_FONT_SIZE,
    "ytick.labelsize": SMALL_FONT_SIZE,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.solid_capstyle": "butt",
    "path.simplify": False,  # simplification drops points of a line by their distance in pixels
}


class Stroke(NamedTuple):
    """A short line from `start` to `end`, both in points relative to a position in data coordinates."""

    at: tuple[float, float]
    start: tuple[float, float]
    end: tuple[float, float]


class Panel(NamedTuple):
    """One panel of a grid."""

    axes: Axes
    is_leftmost: bool
    is_lowest: bool  # no panel is below it


@dataclass(frozen=True)
class PanelGrid:
    """A layout of equal panels in rows over the width of a figure. All lengths are in inches."""

    columns: int
    left: float  # from the figure's edge to the first panel
    gap: float  # between the panels of a row
    top: float  # above the panels of the first row
    height: float  # of a panel
    pitch: float  # from one row to the next
    foot: float = 0.0  # below the last row, in addition to its pitch
    right: float = 0.05  # from the last panel to the figure's edge

    @property
    def width(self) -> float:
        """The width of a panel."""
        return (WIDTH - self.left - (self.columns - 1) * self.gap - self.right) / self.columns

    def create_figure(self, count: int) -> tuple[Figure, list[Panel]]:
        """Create a figure with a number of panels, row by row; fewer panels than columns leave the rest of it empty."""
        columns = min(self.columns, count)
        figure = create_figure(WIDTH, ceil(count / columns) * self.pitch + self.foot)
        panels = []
        for index in range(count):
            row, column = divmod(index, columns)
            left, top = self.left + column * (self.width + self.gap), self.top + row * self.pitch
            axes = add_axes(figure, left, top, self.width, self.height)
            panels.append(Panel(axes, column == 0, index + columns >= count))
        return figure, panels


def use_style() -> AbstractContextManager[None]:
    """Return a context in which figures are drawn and written with the settings of this module."""
    return mpl.rc_context(_STYLE)


def create_figure(width: float, height: float) -> Figure:
    """Create an empty figure of a size in inches, at 72 dots per inch: a dot is a point."""
    return Figure(figsize=(width, height), dpi=72)


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a position in inches from the figure's upper left corner."""
    figure_width, figure_height = figure.get_size_inches()
    return figure.add_axes(
        (left / figure_width, 1 - (top + height) / figure_height, width / figure_width, height / figure_height)
    )


def render_svg(draw: Callable[[], Figure]) -> str:
    """Draw a figure and return it as SVG text without a date and without random ids, with one trailing newline."""
    with use_style():
        file = io.StringIO()
        draw().savefig(file, format="svg", metadata={"Date": None})
    # Only numbers inside of tags are coordinates; numbers between tags are text that a reader sees.
    text = _TAG.sub(lambda tag: _LONG_COORDINATE.sub(_round_coordinate, tag.group()), file.getvalue())
    text = text.replace("'DejaVu Sans'", _FONTS)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def render_pdf(draw: Callable[[], Figure]) -> bytes:
    """Draw a figure and return it as PDF without a date, with its fonts embedded, for LaTeX."""
    with use_style(), mpl.rc_context({"pdf.fonttype": 42}):  # TrueType: publishers refuse Type 3 fonts
        file = io.BytesIO()
        draw().savefig(file, format="pdf", metadata={"CreationDate": None})
    return file.getvalue()


def drop_incomparable_drawings(first: str, second: str) -> tuple[str, str]:
    """Return two files for comparison, without their SVG elements if two versions of matplotlib drew them.

    Every version of matplotlib places some points differently, by less than is visible.
    """
    if _find_matplotlib_versions(first) == _find_matplotlib_versions(second):
        return first, second
    first, second = (_MATPLOTLIB_VERSION.sub("", _SVG_ELEMENT.sub("", text)) for text in (first, second))
    return first, second


@lru_cache(maxsize=4096)
def measure_text_inches(text: str, size: float = FONT_SIZE, weight: str = "normal") -> float:
    """Return the width in inches of a line of text, from its leftmost to its rightmost point; `size` is in points."""
    if not text.strip():
        return 0.0
    outline = TextPath((0, 0), text, size=size, prop=FontProperties(family="DejaVu Sans", weight=weight))
    # The outlines of letters have vertices at their extremes, so the vertices give the same extent as
    # get_extents(), which solves for the extremes of every curve and is much slower.
    points = outline.vertices[outline.codes != Path.CLOSEPOLY, 0]
    return float(np.ptp(points)) / 72


def shorten_name(name: str, inches: float, size: float = FONT_SIZE) -> str:
    """Return a variant's name that fits a width: `five, none` for `kernel=five+norm=none` if that is too long."""
    parts = [part.partition("=") for part in name.split("+")]
    if measure_text_inches(name, size) > inches and all(level for _, _, level in parts):
        name = ", ".join(level for _, _, level in parts)
    return wrap_text(name, inches, size, 1)[0]


def wrap_text(text: str, inches: float, size: float = FONT_SIZE, most: int = 3) -> list[str]:
    """Wrap a text to at most `most` lines of a width; text that does not fit is replaced by an ellipsis."""
    lines: list[str] = []
    # Measuring takes time in proportion to the length. No letter is narrower than a tenth of the font size, so that
    # nothing behind this number of them fits.
    text = text[: round(most * inches * 72 * 10 / size) + 1]
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure_text_inches(longer, size) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [_truncate(line, inches, size) for line in lines]


def set_plain_ticks(axis: Any, count: int = 5) -> None:
    """Set ticks at round numbers, formatted as in the report's tables."""
    axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: numbers.format_compact(value, 4)))


def set_level_ticks(axes: Axes, names: Sequence[str], inches: float) -> None:
    """Set one tick per level along axes of a width, with the level's name in at most two lines below it."""
    axes.set_xlim(-0.5, len(names) - 0.5)
    width = inches / len(names) - 0.06
    axes.set_xticks(range(len(names)), ["\n".join(wrap_text(name, width, SMALL_FONT_SIZE, 2)) for name in names])


def compute_limits(values: Iterable[float], pad: float = 0.08) -> tuple[float, float]:
    """Return axis limits around values with a margin of `pad` times their range; the limits always differ."""
    known = list(values)
    low, high = min(known), max(known)
    margin = (high - low) * pad or max(abs(high) * 0.1, 0.1)
    return low - margin, high + margin


def draw_strokes(axes: Axes, strokes: Sequence[Stroke], color: str, width: float = 0.9) -> None:
    """Draw strokes, or dots where their length is 0, as one path. Limits and scales of the axes must be set."""
    if not strokes:
        return
    # Lengths are in points and do not scale with the data, so positions are converted to points and back.
    positions = axes.transData.transform([stroke.at for stroke in strokes])
    ends = [positions + [getattr(stroke, side) for stroke in strokes] for side in ("start", "end")]
    data_ends = [axes.transData.inverted().transform(end) for end in ends]
    breaks = np.full_like(positions, nan)  # NaN between two strokes keeps them apart in the one path
    path = np.stack([*data_ends, breaks], axis=1).reshape(-1, 2)
    axes.plot(path[:, 0], path[:, 1], color=color, linewidth=width, solid_capstyle="round", zorder=2)


def count_values(values: Iterable[float]) -> dict[float, int]:
    """Return how often each value occurs, sorted by value; values that differ by rounding errors are equal."""
    return dict(sorted(Counter(round(value, 9) for value in values).items()))


def compute_error_limits(values: Iterable[float], pad: float = 0.08) -> tuple[float, float]:
    """Return axis limits around errors, at most 4 % of the largest below 0: enough to draw a mark at 0 as a whole."""
    low, high = compute_limits(values, pad)
    return max(low, -0.04 * high), high


def _truncate(line: str, inches: float, size: float) -> str:
    return truncate_to_fit(line, lambda text: measure_text_inches(text, size) <= inches, ellipsis="…")


def _round_coordinate(coordinate: re.Match[str]) -> str:
    return numbers.format_coordinate(float(coordinate.group()))


def _find_matplotlib_versions(text: str) -> set[str]:
    return set(_MATPLOTLIB_VERSION.findall(text))

"""What every figure shares: size, type, colours, and SVG that is the same byte for byte on every run.

Colours are Okabe and Ito's (2008), darkened where they carry text; what a colour says is also said by a shape or a
word, so that figures survive grey print. Text stays text: it can be searched, selected and recoloured by a page.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from math import nan
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

WIDTH = 7.2  # inches: two columns of a paper
FONT_SIZE, SMALL_FONT_SIZE = 8.5, 7.5  # points

INK, SOFT, RULE, BAND, PAPER = "#1c2126", "#5c656e", "#c9cfd5", "#e9edf0", "#ffffff"
ACCENT = "#0b5fa5"
SUPPORTED_COLOR, REFUTED_COLOR, INCONCLUSIVE_COLOR = "#007a5a", "#b84a00", "#65707a"
VERDICT_COLORS = {"supported": SUPPORTED_COLOR, "refuted": REFUTED_COLOR, "inconclusive": INCONCLUSIVE_COLOR}
SERIES_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by marker too
MARKERS = ("o", "s", "^", "D", "v", "P")

_FONTS = "'DejaVu Sans', Verdana, 'Liberation Sans', Arial, sans-serif"  # none is wider than the first

_TAG = re.compile(r"<[^>]*>")  # what is written between tags is words, and stays as it is
_LONG = re.compile(r"-?\b\d+\.\d{3,}\b")  # a coordinate finer than a hundredth of a point
_ARTIST = re.compile(r"Matplotlib v[\w.]+")
_SVG = re.compile(r"(?:<\?xml[^>]*>\s*<!DOCTYPE[^>]*>\s*)?<svg\b.*?</svg>\s*", re.DOTALL)

_STYLE: Any = {
    "svg.hashsalt": "vgg_ablate",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # matplotlib brings it along: the same metrics everywhere
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
    "path.simplify": False,
}


class Stroke(NamedTuple):
    """From `start` to `end`, in points from a place in the data."""

    at: tuple[float, float]
    start: tuple[float, float]
    end: tuple[float, float]


def use_style() -> AbstractContextManager[None]:
    """The settings under which figures are drawn and written."""
    return mpl.rc_context(_STYLE)


def create_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), dpi=72)


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the figure's upper left corner."""
    whole, tall = figure.get_size_inches()
    return figure.add_axes((left / whole, 1 - (top + height) / tall, width / whole, height / tall))


def render_svg(draw: Callable[[], Figure]) -> str:
    """The figure as SVG text: no date, no random ids, one trailing newline."""
    with use_style():
        file = io.StringIO()
        draw().savefig(file, format="svg", metadata={"Date": None})
    text = _TAG.sub(lambda tag: _LONG.sub(_trimmed, tag.group()), file.getvalue())
    text = text.replace("'DejaVu Sans'", _FONTS)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def drop_incomparable_drawings(one: str, other: str) -> tuple[str, str]:
    """Two files, without their drawings where those are by two versions of matplotlib, which place points otherwise."""
    if _artists(one) == _artists(other):
        return one, other
    plain = [_ARTIST.sub("", _SVG.sub("", text)) for text in (one, other)]
    return plain[0], plain[1]


@lru_cache(maxsize=4096)
def measure_text_inches(text: str, size: float = FONT_SIZE, weight: str = "normal") -> float:
    """Inches that a line of text takes, from its leftmost point to its rightmost: the outlines have points at both."""
    if not text.strip():
        return 0.0
    outline = TextPath((0, 0), text, size=size, prop=FontProperties(family="DejaVu Sans", weight=weight))
    points = outline.vertices[outline.codes != Path.CLOSEPOLY, 0]  # much quicker than the extents of its curves
    return float(np.ptp(points)) / 72


def wrap_text(text: str, inches: float, size: float = FONT_SIZE, most: int = 3) -> list[str]:
    """The text in at most so many lines of a width; what does not fit ends in an ellipsis."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure_text_inches(longer, size) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [_cut(line, inches, size) for line in lines]


def set_plain_ticks(axis: Any, count: int = 5) -> None:
    """Round numbers, written as everywhere else in a report."""
    axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: numbers.format_compact(value, 4)))


def set_level_ticks(axes: Axes, names: Sequence[str], inches: float) -> None:
    """A tick a level along axes of so many inches, its name below it in at most two lines."""
    axes.set_xlim(-0.5, len(names) - 0.5)
    room = inches / len(names) - 0.06
    axes.set_xticks(range(len(names)), ["\n".join(wrap_text(name, room, SMALL_FONT_SIZE, 2)) for name in names])


def compute_limits(values: Iterable[float], pad: float = 0.08) -> tuple[float, float]:
    """Limits around values, with room; never of width zero."""
    found = list(values)
    low, high = min(found), max(found)
    room = (high - low) * pad or max(abs(high) * 0.1, 0.1)
    return low - room, high + room


def draw_strokes(axes: Axes, marks: Sequence[Stroke], colour: str, width: float = 0.9) -> None:
    """Short straight strokes, or dots where they are of no length; one path for all. Limits and scales must be set."""
    if not marks:
        return
    at = axes.transData.transform([mark.at for mark in marks])
    ends = [at + [getattr(mark, side) for mark in marks] for side in ("start", "end")]
    back = [axes.transData.inverted().transform(end) for end in ends]
    apart = np.full_like(at, nan)
    path = np.stack([*back, apart], axis=1).reshape(-1, 2)
    axes.plot(path[:, 0], path[:, 1], color=colour, linewidth=width, solid_capstyle="round", zorder=2)


def count_values(values: Iterable[float]) -> dict[float, int]:
    """Values and how often each is there; equal up to rounding errors is equal."""
    return dict(sorted(Counter(round(value, 9) for value in values).items()))


def compute_error_limits(values: Iterable[float], pad: float = 0.08) -> tuple[float, float]:
    """The same for errors, which end at 0: a little below it, so that a mark at 0 is whole."""
    low, high = compute_limits(values, pad)
    return max(low, -0.04 * high), high


def _cut(line: str, inches: float, size: float) -> str:
    if measure_text_inches(line, size) <= inches:
        return line
    while line and measure_text_inches(line + "…", size) > inches:
        line = line[:-1]
    return line.rstrip() + "…"


def _trimmed(coordinate: re.Match[str]) -> str:
    return numbers.format_coordinate(float(coordinate.group()))


def _artists(text: str) -> set[str]:
    return set(_ARTIST.findall(text))

"""Variants below each other: the road from the base, step by step, or what each variant changes against the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan, nan, sqrt

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgg_ablate.analysis.metrics import by_seed
from vgg_ablate.analysis.summary import METRIC, Difference, Report, Row, compared
from vgg_ablate.formatting import numbers
from vgg_ablate.report.figures import canvas

MOST = 40  # rows
_LEFT, _MIDDLE, _PITCH = 2.0, 3.3, 0.27


@dataclass(frozen=True)
class Line:
    """A row: what is drawn, with its reach to both sides, and what is written at its right."""

    name: str
    is_base: bool
    at: float
    low: float  # NaN: no interval
    high: float
    told: str


def road(report: Report) -> list[Line]:
    """Test errors of the base and of every step, with what each step adds to the one before."""
    steps = [row for row in report.rows if row.is_base or "step" in row.variant.levels]
    errors = by_seed(report.frame, METRIC)
    told = [""] + [
        told_of(compared(errors.get(row.name, {}), errors.get(before.name, {}))) for before, row in pairwise(steps)
    ]
    return [_error(row, text) for row, text in zip(steps, told, strict=True)]


def differences(report: Report) -> list[Line]:
    """Every other variant minus the base, what hurts most first."""
    rows = sorted(report.rows[1:], key=lambda row: (isnan(row.to_base.mean), -row.to_base.mean))
    return [
        Line(_title(row), False, row.to_base.mean, row.to_base.low, row.to_base.high, told_of(row.to_base))
        for row in rows[:MOST]
    ]


def drawn(lines: Sequence[Line], label: str, *, joined: bool = False, zero: bool = False) -> Figure:
    """Names at the left, numbers at the right; `joined` by steps, or around a line at zero."""
    tall = _PITCH * len(lines)
    figure = canvas.blank(canvas.WIDTH, tall + 0.6)
    axes = canvas.axes(figure, _LEFT, 0.08, _MIDDLE, tall)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    ends = [end for line in lines for end in (line.at, line.low, line.high) if not isnan(end)]
    axes.set_xlim(*canvas.percent_span([*ends, 0.0] if zero or not ends else ends))
    canvas.plain_ticks(axes.xaxis)
    axes.set_xlabel(label)
    axes.grid(axis="x", color=canvas.BAND, linewidth=0.8)
    if zero:
        axes.axvline(0, color=canvas.SOFT, linewidth=0.8, zorder=1)
    if joined:
        _join(axes, lines)
    for y, line in enumerate(lines):
        _line(axes, y, line)
        _words(figure, y, line)
    return figure


def told_of(found: Difference) -> str:
    """`+0.42 [0.10, 0.74]`."""
    return numbers.gap(found.mean, found.low, found.high, found.sd / sqrt(found.n) if found.n > 1 else nan)


def _error(row: Row, told: str) -> Line:
    sd = row.error.sd if row.n > 1 else nan
    return Line(_title(row), row.is_base, row.error.mean, row.error.mean - sd, row.error.mean + sd, told)


def _title(row: Row) -> str:
    levels = row.variant.levels
    if "step" in levels:
        name = f"+ {levels['step']}"
    else:
        name = f"{numbers.DASH} {levels['without']}" if "without" in levels else row.name
    return f"{name} ({row.training_state})" if row.stalled else name


def _join(axes: Axes, lines: Sequence[Line]) -> None:
    known = [(y, line.at) for y, line in enumerate(lines) if not isnan(line.at)]
    for (y, x), (below, other) in pairwise(known):
        axes.plot([x, x, other], [y, below, below], color=canvas.RULE, linewidth=1.2, zorder=1)


def _line(axes: Axes, y: int, line: Line) -> None:
    colour = canvas.ACCENT if line.is_base else canvas.INK
    axes.plot([line.low, line.high], [y, y], color=colour, linewidth=1.6, zorder=2)
    axes.plot([line.at], [y], "D" if line.is_base else "o", color=colour, markersize=6, zorder=3)


def _words(figure: Figure, y: int, line: Line) -> None:
    height = 1 - (0.08 + _PITCH * (y + 0.5)) / figure.get_size_inches()[1]
    name = canvas.wrapped(line.name, _LEFT - 0.2, canvas.SIZE * (1.08 if line.is_base else 1), 1)[0]
    weight = "bold" if line.is_base else "normal"
    figure.text(0.02 / canvas.WIDTH, height, name, va="center", fontweight=weight)
    figure.text(
        (_LEFT + _MIDDLE + 0.15) / canvas.WIDTH,
        height,
        line.told,
        va="center",
        fontsize=canvas.SMALL,
        color=canvas.SOFT,
    )

"""Variants below each other: the road from the base, step by step, or what each variant changes against the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan, nan, sqrt

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.summary import PRIMARY_METRIC, PairedDifference, Report, VariantRow, compute_paired_difference
from vgg_ablate.formatting import numbers
from vgg_ablate.report.figures import canvas

MAX_ROWS = 40  # rows
_LEFT, _MIDDLE, _PITCH = 2.0, 3.3, 0.27


@dataclass(frozen=True)
class DotRow:
    """A row: what is drawn, with its reach to both sides, and what is written at its right."""

    name: str
    is_base: bool
    at: float
    low: float  # NaN: no interval
    high: float
    told: str


def collect_steps(report: Report) -> list[DotRow]:
    """Test errors of the base and of every step, with what each step adds to the one before."""
    steps = [row for row in report.rows if row.is_base or "step" in row.variant.levels]
    errors = collect_by_seed(report.frame, PRIMARY_METRIC)
    told = [""] + [
        format_paired_difference(compute_paired_difference(errors.get(row.name, {}), errors.get(before.name, {})))
        for before, row in pairwise(steps)
    ]
    return [_error(row, text) for row, text in zip(steps, told, strict=True)]


def collect_differences(report: Report) -> list[DotRow]:
    """Every other variant minus the base, what hurts most first."""
    rows = sorted(report.rows[1:], key=lambda row: (isnan(row.to_base.mean), -row.to_base.mean))
    return [
        DotRow(
            _title(row),
            False,
            row.to_base.mean,
            row.to_base.low,
            row.to_base.high,
            format_paired_difference(row.to_base),
        )
        for row in rows[:MAX_ROWS]
    ]


def plot_dots(lines: Sequence[DotRow], label: str, *, joined: bool = False, zero: bool = False) -> Figure:
    """Names at the left, numbers at the right; `joined` by steps, or around a line at zero."""
    tall = _PITCH * len(lines)
    figure = canvas.create_figure(canvas.WIDTH, tall + 0.6)
    axes = canvas.add_axes(figure, _LEFT, 0.08, _MIDDLE, tall)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    ends = [end for line in lines for end in (line.at, line.low, line.high) if not isnan(end)]
    axes.set_xlim(*canvas.compute_limits([*ends, 0.0] if zero or not ends else ends))
    canvas.set_plain_ticks(axes.xaxis)
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


def format_paired_difference(found: PairedDifference) -> str:
    """`+0.42 [0.10, 0.74]`."""
    return numbers.format_difference(
        found.mean, found.low, found.high, found.sd / sqrt(found.n) if found.n > 1 else nan
    )


def _error(row: VariantRow, told: str) -> DotRow:
    sd = row.error.sd if row.n > 1 else nan
    return DotRow(_title(row), row.is_base, row.error.mean, row.error.mean - sd, row.error.mean + sd, told)


def _title(row: VariantRow) -> str:
    levels = row.variant.levels
    if "step" in levels:
        name = f"+ {levels['step']}"
    else:
        name = f"{numbers.DASH} {levels['without']}" if "without" in levels else row.name
    return f"{name} ({row.training_state})" if row.stalled else name


def _join(axes: Axes, lines: Sequence[DotRow]) -> None:
    known = [(y, line.at) for y, line in enumerate(lines) if not isnan(line.at)]
    for (y, x), (below, other) in pairwise(known):
        axes.plot([x, x, other], [y, below, below], color=canvas.RULE, linewidth=1.2, zorder=1)


def _line(axes: Axes, y: int, line: DotRow) -> None:
    colour = canvas.ACCENT if line.is_base else canvas.INK
    axes.plot([line.low, line.high], [y, y], color=colour, linewidth=1.6, zorder=2)
    axes.plot([line.at], [y], "D" if line.is_base else "o", color=colour, markersize=6, zorder=3)


def _words(figure: Figure, y: int, line: DotRow) -> None:
    height = 1 - (0.08 + _PITCH * (y + 0.5)) / figure.get_size_inches()[1]
    name = canvas.wrap_text(line.name, _LEFT - 0.2, canvas.FONT_SIZE * (1.08 if line.is_base else 1), 1)[0]
    weight = "bold" if line.is_base else "normal"
    figure.text(0.02 / canvas.WIDTH, height, name, va="center", fontweight=weight)
    figure.text(
        (_LEFT + _MIDDLE + 0.15) / canvas.WIDTH,
        height,
        line.told,
        va="center",
        fontsize=canvas.SMALL_FONT_SIZE,
        color=canvas.SOFT,
    )

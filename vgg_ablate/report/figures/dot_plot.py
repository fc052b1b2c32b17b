"""Dot plots with one row per variant: errors from the base step by step, or differences to the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan, nan, sqrt

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.variant_rows import PRIMARY_METRIC, PairedDifference, VariantRow, compute_paired_difference
from vgg_ablate.formatting import numbers
from vgg_ablate.report.figures import canvas

MAX_ROWS = 40
_LEFT, _MIDDLE, _PITCH = 2.0, 3.3, 0.27  # inches: names, dots, height of a row


@dataclass(frozen=True)
class DotRow:
    """One row: a value, the ends of its interval, and the text on its right."""

    name: str
    is_base: bool
    value: float
    low: float  # NaN: no interval
    high: float
    text: str


def collect_steps(report: Report) -> list[DotRow]:
    """Return the test errors of the base and of every step, with the difference to the previous step as text."""
    steps = [row for row in report.rows if row.is_base or "step" in row.variant.levels]
    errors = collect_by_seed(report.frame, PRIMARY_METRIC)
    differences = [
        compute_paired_difference(errors.get(row.name, {}), errors.get(previous.name, {}))
        for previous, row in pairwise(steps)
    ]
    texts = ["", *map(format_paired_difference, differences)]
    return [_build_error_row(row, text) for row, text in zip(steps, texts, strict=True)]


def collect_differences(report: Report) -> list[DotRow]:
    """Return the difference of every other variant to the base, the largest loss first."""
    rows = sorted(report.rows[1:], key=lambda row: (isnan(row.to_base.mean), -row.to_base.mean))
    return [
        DotRow(
            _format_name(row),
            False,
            row.to_base.mean,
            row.to_base.low,
            row.to_base.high,
            format_paired_difference(row.to_base),
        )
        for row in rows[:MAX_ROWS]
    ]


def plot_dots(rows: Sequence[DotRow], label: str, *, joined: bool = False, zero: bool = False) -> Figure:
    """Draw names on the left, dots in the middle and texts on the right.

    `joined` connects consecutive dots by steps; `zero` includes 0 in the axis and marks it.
    """
    height = _PITCH * len(rows)
    figure = canvas.create_figure(canvas.WIDTH, height + 0.6)
    axes = canvas.add_axes(figure, _LEFT, 0.08, _MIDDLE, height)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    ends = [end for row in rows for end in (row.value, row.low, row.high) if not isnan(end)]
    axes.set_xlim(*canvas.compute_limits([*ends, 0.0] if zero or not ends else ends))
    canvas.set_plain_ticks(axes.xaxis)
    axes.set_xlabel(label)
    axes.grid(axis="x", color=canvas.BAND, linewidth=0.8)
    if zero:
        axes.axvline(0, color=canvas.SOFT, linewidth=0.8, zorder=1)
    if joined:
        _draw_steps(axes, rows)
    for y, row in enumerate(rows):
        _draw_dot(axes, y, row)
        _write_texts(figure, y, row)
    return figure


def format_paired_difference(difference: PairedDifference) -> str:
    """Format a difference with its interval: `+0.42 [0.10, 0.74]`."""
    se = difference.sd / sqrt(difference.n) if difference.n > 1 else nan
    return numbers.format_difference(difference.mean, difference.low, difference.high, se)


def _build_error_row(row: VariantRow, text: str) -> DotRow:
    sd = row.error.sd if row.n > 1 else nan
    return DotRow(_format_name(row), row.is_base, row.error.mean, row.error.mean - sd, row.error.mean + sd, text)


def _format_name(row: VariantRow) -> str:
    levels = row.variant.levels
    if "step" in levels:
        name = f"+ {levels['step']}"
    else:
        name = f"{numbers.DASH} {levels['without']}" if "without" in levels else row.name
    return f"{name} ({row.training_state})" if row.stalled else name


def _draw_steps(axes: Axes, rows: Sequence[DotRow]) -> None:
    known = [(y, row.value) for y, row in enumerate(rows) if not isnan(row.value)]
    for (y, x), (next_y, next_x) in pairwise(known):
        axes.plot([x, x, next_x], [y, next_y, next_y], color=canvas.RULE, linewidth=1.2, zorder=1)


def _draw_dot(axes: Axes, y: int, row: DotRow) -> None:
    color = canvas.ACCENT if row.is_base else canvas.INK
    axes.plot([row.low, row.high], [y, y], color=color, linewidth=1.6, zorder=2)
    axes.plot([row.value], [y], "D" if row.is_base else "o", color=color, markersize=6, zorder=3)


def _write_texts(figure: Figure, y: int, row: DotRow) -> None:
    height = 1 - (0.08 + _PITCH * (y + 0.5)) / figure.get_size_inches()[1]
    # Bold letters are about 8 % wider than the regular ones that wrap_text measures.
    name = canvas.wrap_text(row.name, _LEFT - 0.2, canvas.FONT_SIZE * (1.08 if row.is_base else 1), 1)[0]
    weight = "bold" if row.is_base else "normal"
    figure.text(0.02 / canvas.WIDTH, height, name, va="center", fontweight=weight)
    figure.text(
        (_LEFT + _MIDDLE + 0.15) / canvas.WIDTH,
        height,
        row.text,
        va="center",
        fontsize=canvas.SMALL_FONT_SIZE,
        color=canvas.SOFT,
    )

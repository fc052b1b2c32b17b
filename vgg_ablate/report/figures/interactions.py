"""Figures of a factorial design: how the effect of one factor depends on another, as lines and as a heat map."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vgg_ablate.analysis.effects import FactorialEffects
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.variant_rows import PRIMARY_METRIC
from vgg_ablate.formatting import numbers
from vgg_ablate.report.figures import canvas

_MAX_PANELS = 6
_GRID = canvas.PanelGrid(columns=2, left=0.55, gap=1.25, top=0.3, height=1.8, pitch=2.75, right=0.9)
_DARK, _LIGHT = (
    "#101418",
    "#fdfdfd",
)  # text on cells; not colours of canvas, because cells have no dark variant in a page


@dataclass(frozen=True)
class PairMeans:
    """Mean and standard deviation over seeds, in percent, at every pair of levels; averaged over other factors."""

    rows: str
    columns: str
    row_levels: tuple[str, ...]
    column_levels: tuple[str, ...]
    means: Mapping[tuple[str, str], float]  # (row level, column level) -> mean; NaN: no run
    sds: Mapping[tuple[str, str], float]


def collect_pair_means(report: Report, effects: FactorialEffects) -> list[PairMeans]:
    """Return the means of every pair of factors; `rows` is the factor with fewer levels."""
    pairs = []
    for first, second in itertools.combinations(effects.factors, 2):
        rows, columns = sorted((first, second), key=lambda factor: len(effects.factors[factor]))
        pairs.append(_compute_pair_means(report, effects, rows, columns))
    return pairs


def plot_interactions(pairs: Sequence[PairMeans]) -> Figure:
    """Draw one panel per pair of factors; parallel lines show that the factors do not interact."""
    shown = pairs[:_MAX_PANELS]
    figure, panels = _GRID.create_figure(len(shown))
    limits = canvas.compute_error_limits(
        [
            mean + sign * (0.0 if isnan(pair.sds[levels]) else pair.sds[levels])
            for pair in shown
            for levels, mean in pair.means.items()
            if not isnan(mean)
            for sign in (-1, 1)
        ]
    )
    for pair, (axes, is_leftmost, _) in zip(shown, panels, strict=True):
        axes.set_ylim(*limits)
        canvas.set_plain_ticks(axes.yaxis)
        _draw_lines(axes, pair)
        if is_leftmost:
            axes.set_ylabel("test error, %")
    return figure


def plot_heat_map(pair: PairMeans) -> Figure:
    """Draw mean test errors as numbers on shaded cells; darker cells have a higher error."""
    columns, rows = len(pair.column_levels), len(pair.row_levels)
    left = 0.35 + max(canvas.measure_text_inches(level, canvas.SMALL_FONT_SIZE) for level in pair.row_levels)
    side = min(1.1, (canvas.WIDTH - left - 0.2) / columns)
    figure = canvas.create_figure(canvas.WIDTH, 0.4 * rows + 0.75)
    axes = canvas.add_axes(figure, left, 0.1, side * columns, 0.4 * rows)
    known = [mean for mean in pair.means.values() if not isnan(mean)]
    shade = Normalize(min(known), max(max(known), min(known) + 1e-9))  # equal means must not make a range of width 0
    for (row, column), mean in pair.means.items():
        x, y = pair.column_levels.index(column), pair.row_levels.index(row)
        text = numbers.format_mean(mean, pair.sds[row, column], 1)
        _draw_cell(axes, x, y, text, nan if isnan(mean) else float(shade(mean)))
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(rows), pair.row_levels)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    canvas.set_level_ticks(axes, pair.column_levels, side * columns)
    axes.set_xlabel(_shorten_factor(pair.columns))
    axes.set_ylabel(_shorten_factor(pair.rows))
    return figure


def _compute_pair_means(report: Report, effects: FactorialEffects, rows: str, columns: str) -> PairMeans:
    errors = collect_by_seed(report.frame, PRIMARY_METRIC)
    means, sds = {}, {}
    for row, column in itertools.product(effects.factors[rows], effects.factors[columns]):
        names = [name for name, own in report.levels.items() if own.get(rows) == row and own.get(columns) == column]
        # Only seeds that every variant of the cell has: a missing variant would shift a mean by other factors' effects.
        seeds = [seed for seed in effects.seeds if names and all(seed in errors.get(name, {}) for name in names)]
        values = [float(np.mean([errors[name][seed] for name in names])) for seed in seeds]
        means[row, column] = float(np.mean(values)) if values else nan
        sds[row, column] = float(np.std(values, ddof=1)) if len(values) > 1 else nan
    return PairMeans(rows, columns, effects.factors[rows], effects.factors[columns], means, sds)


def _draw_lines(axes: Axes, pair: PairMeans) -> None:
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    ends = []
    for index, row in enumerate(pair.row_levels):
        color, marker = canvas.SERIES_COLORS[index % 6], canvas.MARKERS[index % 6]
        ys = [pair.means[row, column] for column in pair.column_levels]
        # Lines are shifted sideways, so that their error bars do not hide each other.
        xs = [x + 0.04 * (index - (len(pair.row_levels) - 1) / 2) for x in range(len(ys))]
        for x, column in zip(xs, pair.column_levels, strict=True):
            mean, sd = pair.means[row, column], pair.sds[row, column]
            axes.plot([x, x], [mean - sd, mean + sd], color=color, linewidth=0.9, zorder=2)
        axes.plot(xs, ys, marker, linestyle="-", color=color, linewidth=1.4, markersize=5, zorder=3)
        ends.append((xs[-1], ys[-1], f"{_shorten_factor(pair.rows)} {row}"))
    _name_lines(axes, ends)
    canvas.set_level_ticks(axes, pair.column_levels, _GRID.width)
    axes.set_xlabel(_shorten_factor(pair.columns))


def _name_lines(axes: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Write names at the right ends of lines, moved apart where the lines end close to each other."""
    low, high = axes.get_ylim()
    step = (high - low) * 0.095
    known = sorted((end for end in ends if not isnan(end[1])), key=lambda end: end[1])
    heights: list[float] = []
    for _, y, _ in known:
        heights.append(max(y, heights[-1] + step) if heights else y)
    overflow = max(0.0, heights[-1] - high) if heights else 0.0
    for height, (x, y, name) in zip(heights, known, strict=True):
        axes.annotate(
            canvas.wrap_text(name, 0.95, canvas.SMALL_FONT_SIZE, 1)[0],
            (x, y),
            (1.03, height - overflow),
            textcoords=("axes fraction", "data"),
            va="center",
            fontsize=canvas.SMALL_FONT_SIZE,
            color=canvas.INK,
            arrowprops={"arrowstyle": "-", "color": canvas.RULE, "linewidth": 0.7, "shrinkB": 5},
            annotation_clip=False,
        )


def _draw_cell(axes: Axes, x: int, y: int, text: str, shade: float) -> None:
    # From 0.08 to 0.88 of the colour map: its ends are as light as the paper and too dark for dark text.
    fill = canvas.BAND if isnan(shade) else to_hex(colormaps["Blues"](0.08 + 0.8 * shade))
    color = canvas.SOFT if isnan(shade) else _LIGHT if shade > 0.6 else _DARK
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=fill, linewidth=0))
    axes.text(x, y, text, ha="center", va="center", fontsize=canvas.SMALL_FONT_SIZE, color=color)


def _shorten_factor(factor: str) -> str:
    return factor.rsplit(".", 1)[-1]

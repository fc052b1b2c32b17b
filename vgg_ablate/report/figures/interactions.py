"""A factorial design: how the effect of one factor hangs on another, as lines and as a heat map."""

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
from vgg_ablate.analysis.summary import PRIMARY_METRIC, Report
from vgg_ablate.formatting import numbers
from vgg_ablate.report.figures import canvas

_PAIRS = 6  # panels of interactions
_DARK, _LIGHT = "#101418", "#fdfdfd"  # text on cells: the cells do not follow a page's light and dark


@dataclass(frozen=True)
class PairMeans:
    """Mean and standard deviation over seeds at every pair of levels, in percent; other factors are averaged over."""

    rows: str
    columns: str
    row_levels: tuple[str, ...]
    column_levels: tuple[str, ...]
    means: Mapping[tuple[str, str], float]  # (row level, column level) ->; NaN: there is no run
    sds: Mapping[tuple[str, str], float]


def collect_pair_means(report: Report, effects: FactorialEffects) -> list[PairMeans]:
    """Every pair of factors; the one with fewer levels is drawn as lines."""
    found = []
    for one, two in itertools.combinations(effects.factors, 2):
        rows, columns = sorted((one, two), key=lambda factor: len(effects.factors[factor]))
        found.append(_cells(report, effects, rows, columns))
    return found


def plot_interactions(found: Sequence[PairMeans]) -> Figure:
    """A panel a pair of factors: parallel lines do not interact."""
    shown = found[:_PAIRS]
    columns = min(2, len(shown))
    lines = -(-len(shown) // columns)
    figure = canvas.create_figure(canvas.WIDTH, lines * 2.75)
    limits = canvas.compute_error_limits(
        [
            cells.means[at] + sign * (0.0 if isnan(cells.sds[at]) else cells.sds[at])
            for cells in shown
            for at in cells.means
            if not isnan(cells.means[at])
            for sign in (-1, 1)
        ]
    )
    for index, cells in enumerate(shown):
        row, column = divmod(index, columns)
        axes = canvas.add_axes(figure, 0.55 + column * 3.5, 0.3 + row * 2.75, 2.25, 1.8)
        axes.set_ylim(*limits)
        canvas.set_plain_ticks(axes.yaxis)
        _lines(axes, cells)
        if column == 0:
            axes.set_ylabel("test error, %")
    return figure


def plot_heat_map(cells: PairMeans) -> Figure:
    """Mean test errors as shades and numbers: dark is much."""
    wide, tall = len(cells.column_levels), len(cells.row_levels)
    left = 0.35 + max(canvas.measure_text_inches(level, canvas.SMALL_FONT_SIZE) for level in cells.row_levels)
    side = min(1.1, (canvas.WIDTH - left - 0.2) / wide)
    figure = canvas.create_figure(canvas.WIDTH, 0.4 * tall + 0.75)
    axes = canvas.add_axes(figure, left, 0.1, side * wide, 0.4 * tall)
    known = [mean for mean in cells.means.values() if not isnan(mean)]
    shade = Normalize(min(known), max(max(known), min(known) + 1e-9))
    for (row, column), mean in cells.means.items():
        x, y = cells.column_levels.index(column), cells.row_levels.index(row)
        _cell(
            axes, x, y, numbers.format_mean(mean, cells.sds[row, column], 1), nan if isnan(mean) else float(shade(mean))
        )
    axes.set_xlim(-0.5, wide - 0.5)
    axes.set_ylim(tall - 0.5, -0.5)
    axes.set_yticks(range(tall), cells.row_levels)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    canvas.set_level_ticks(axes, cells.column_levels, side * wide)
    axes.set_xlabel(_short(cells.columns))
    axes.set_ylabel(_short(cells.rows))
    return figure


def _cells(report: Report, effects: FactorialEffects, rows: str, columns: str) -> PairMeans:
    errors = collect_by_seed(report.frame, PRIMARY_METRIC)
    means, sds = {}, {}
    for at in itertools.product(effects.factors[rows], effects.factors[columns]):
        names = [name for name, its in report.levels.items() if its.get(rows) == at[0] and its.get(columns) == at[1]]
        seeds = [seed for seed in effects.seeds if names and all(seed in errors.get(name, {}) for name in names)]
        values = [float(np.mean([errors[name][seed] for name in names])) for seed in seeds]
        means[at] = float(np.mean(values)) if values else nan
        sds[at] = float(np.std(values, ddof=1)) if len(values) > 1 else nan
    return PairMeans(rows, columns, effects.factors[rows], effects.factors[columns], means, sds)


def _lines(axes: Axes, cells: PairMeans) -> None:
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    ends = []
    for index, row in enumerate(cells.row_levels):
        colour, mark = canvas.SERIES_COLORS[index % 6], canvas.MARKERS[index % 6]
        ys = [cells.means[row, column] for column in cells.column_levels]
        xs = [x + 0.04 * (index - (len(cells.row_levels) - 1) / 2) for x in range(len(ys))]
        for x, column in zip(xs, cells.column_levels, strict=True):
            mean, sd = cells.means[row, column], cells.sds[row, column]
            axes.plot([x, x], [mean - sd, mean + sd], color=colour, linewidth=0.9, zorder=2)
        axes.plot(xs, ys, mark, linestyle="-", color=colour, linewidth=1.4, markersize=5, zorder=3)
        ends.append((xs[-1], ys[-1], f"{_short(cells.rows)} {row}"))
    _named(axes, ends)
    canvas.set_level_ticks(axes, cells.column_levels, 2.25)
    axes.set_xlabel(_short(cells.columns))


def _named(axes: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Names at the right end of lines, moved apart where lines end too close to each other."""
    low, high = axes.get_ylim()
    step = (high - low) * 0.095
    known = sorted((end for end in ends if not isnan(end[1])), key=lambda end: end[1])
    places: list[float] = []
    for _, y, _ in known:
        places.append(max(y, places[-1] + step) if places else y)
    over = max(0.0, places[-1] - high) if places else 0.0
    for place, (x, y, name) in zip(places, known, strict=True):
        axes.annotate(
            canvas.wrap_text(name, 0.95, canvas.SMALL_FONT_SIZE, 1)[0],
            (x, y),
            (1.03, place - over),
            textcoords=("axes fraction", "data"),
            va="center",
            fontsize=canvas.SMALL_FONT_SIZE,
            color=canvas.INK,
            arrowprops={"arrowstyle": "-", "color": canvas.RULE, "linewidth": 0.7, "shrinkB": 5},
            annotation_clip=False,
        )


def _cell(axes: Axes, x: int, y: int, text: str, share: float) -> None:
    fill = canvas.BAND if isnan(share) else to_hex(colormaps["Blues"](0.08 + 0.8 * share))
    ink = _LIGHT if share > 0.6 else _DARK
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=fill, linewidth=0))
    axes.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        fontsize=canvas.SMALL_FONT_SIZE,
        color=canvas.SOFT if isnan(share) else ink,
    )


def _short(factor: str) -> str:
    return factor.rsplit(".", 1)[-1]

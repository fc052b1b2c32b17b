"""The forest plot: one row per claim, with the intervals of a - b against the region that the claim states.

A row has two intervals. The 95 % interval is the usual one. The deciding interval has the
level that Holm's correction leaves to the claim, so that the figure shows the verdict: it lies inside of the region
exactly if the claim is supported, and outside exactly if it is refuted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgg_ablate.analysis.metrics import get_claim_unit, get_metric, get_shown_metric, get_shown_sign
from vgg_ablate.analysis.pairs import (
    compute_deciding_interval,
    compute_gains,
    compute_shown_difference,
    flip_interval,
)
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.formatting import numbers
from vgg_ablate.report.claims_table import select_shown_verdicts
from vgg_ablate.report.figures import canvas

_LEFT, _MIDDLE = 2.45, 3.35  # inches: claims, intervals; verdicts take the rest of the width
_GAP, _HEAD, _FOOT = 0.15, 0.08, 0.5  # inches
_LINE_HEIGHT = 0.155  # inches per line of text
_TICKS_BELOW, _TICK, _TICKS_ROOM = 5.5, 3.5, 9.0  # points: distance to the interval, length of one, room for all
_MARKERS = {"supported": "o", "refuted": "s", "no difference": "D", "inconclusive": "o"}


@dataclass(frozen=True)
class ForestRow:
    """The difference a - b of one claim with its intervals, in the unit of the claim's metric."""

    name: str
    text: str
    metric: str
    unit: str
    word: str  # the verdict
    region: tuple[float, float]
    outside: bool  # True: the claim states that the difference lies outside of the region
    smallest: float  # half the width of the band of differences that do not matter; 0 without one
    mean: float
    low: float
    high: float
    deciding: tuple[float, float]  # the interval at the level that Holm's correction leaves
    seeds: tuple[float, ...]  # one difference per seed


def collect_forest_rows(report: Report) -> list[ForestRow]:
    """Return one row per claim on a metric that varies with the seed; empty where no claim has an estimate."""
    return build_forest_rows(select_shown_verdicts(report), report.frame)


def build_forest_rows(verdicts: Sequence[Verdict], frame: pd.DataFrame) -> list[ForestRow]:
    """Return the rows of these verdicts; `frame` has one row per run."""
    rows = [_build_row(verdict, frame) for verdict in verdicts if not verdict.is_exact]
    return rows if any(not isnan(row.mean) for row in rows) else []


def _build_row(verdict: Verdict, frame: pd.DataFrame) -> ForestRow:
    metric, difference = verdict.claim.metric, compute_shown_difference(verdict)
    sign = get_shown_sign(metric)
    return ForestRow(
        name=verdict.claim.id,
        text=verdict.claim.text,
        metric=get_shown_metric(metric),
        unit=get_claim_unit(verdict.claim),
        word=verdict.verdict,
        region=flip_interval(verdict.claim.region, sign),
        outside=verdict.claim.kind == "different",
        mean=difference.mean,
        low=difference.low,
        high=difference.high,
        smallest=verdict.claim.smallest_effect or 0.0,
        deciding=flip_interval(compute_deciding_interval(verdict), sign),
        seeds=tuple(sign * gain for gain in compute_gains(verdict, frame).values()),
    )


def get_axis_key(row: ForestRow) -> tuple[str, str]:
    """Return metric and unit: rows with the same key share an axis."""
    return row.metric, row.unit


def compute_forest_limits(rows: Sequence[ForestRow]) -> tuple[float, float]:
    """Return axis limits that include every interval, every seed, every margin, every smallest effect and 0."""
    ends = [
        end
        for row in rows
        for end in (*row.deciding, *row.seeds, *row.region, row.mean, row.smallest, -row.smallest, 0.0)
        if isfinite(end)
    ]
    low, high = canvas.compute_limits(ends, 0.06)
    return min(low, -0.1 * (high - low)), max(high, 0.1 * (high - low))


def compute_bands(row: ForestRow, limits: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the intervals, cut at the limits, in which the claim states that the difference lies."""
    low, high = (min(max(edge, limits[0]), limits[1]) for edge in row.region)
    return [(limits[0], low), (high, limits[1])] if row.outside else [(low, high)]


def plot_forest(rows: Sequence[ForestRow]) -> Figure:
    """Draw one block of rows per metric and unit, each with its own axis."""
    keys = dict.fromkeys(map(get_axis_key, rows))
    blocks = [[row for row in rows if get_axis_key(row) == key] for key in keys]
    heights = [_HEAD + sum(_compute_row_height(row) for row in block) + _FOOT for block in blocks]
    figure = canvas.create_figure(canvas.WIDTH, sum(heights))
    top = 0.0
    for block, height in zip(blocks, heights, strict=True):
        _draw_block(figure, block, top)
        top += height
    return figure


def _draw_block(figure: Figure, rows: Sequence[ForestRow], top: float) -> None:
    metric, unit = get_axis_key(rows[0])
    heights = [_compute_row_height(row) for row in rows]
    axes = canvas.add_axes(figure, _LEFT + _GAP, top + _HEAD, _MIDDLE, sum(heights))
    axes.set_xlim(*compute_forest_limits(rows))
    axes.set_ylim(sum(heights), 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    canvas.set_plain_ticks(axes.xaxis)
    axes.set_xlabel(_write_axis_label(metric, unit))
    axes.axvline(0, color=canvas.SOFT, alpha=0.55, linewidth=0.8, zorder=1)
    y = 0.0
    for row, height in zip(rows, heights, strict=True):
        _draw_row(axes, row, y + height / 2, height)
        _write_texts(figure, row, top + _HEAD + y + height / 2)
        y += height


def _write_axis_label(metric: str, unit: str) -> str:
    noun, ending = get_metric(metric).noun, f", {unit}" if unit else ""
    if " per " in unit:
        return f"slope of {noun}{ending}"
    side = "right" if get_metric(metric).higher_is_better else "left"
    return f"{noun} of a {numbers.MINUS} b{ending}  ({side} of 0: a is better)"


def _draw_row(axes: Axes, row: ForestRow, y: float, height: float) -> None:
    color, half = canvas.VERDICT_COLORS[row.word], height / 2 - 0.045
    for low, high in compute_bands(row, axes.get_xlim()):
        axes.fill_betweenx([y - half, y + half], low, high, color=canvas.BAND, linewidth=0, zorder=0)
    for edge in row.region:
        if isfinite(edge) and edge != 0:  # the edge at 0 is the axis line already
            axes.plot([edge, edge], [y - half, y + half], color=canvas.SOFT, linewidth=0.8, dashes=(2, 2), zorder=1)
    if row.smallest:
        band = (-row.smallest, row.smallest)
        axes.fill_betweenx([y - half, y + half], *band, color=canvas.RULE, alpha=0.45, linewidth=0, zorder=0.5)
    canvas.draw_strokes(axes, _build_seed_ticks(row, y), canvas.INK)
    if isnan(row.mean):
        return
    if not isnan(row.low):
        axes.plot(row.deciding, [y, y], color=color, linewidth=1.0, zorder=3)
        axes.plot(row.deciding, [y, y], "|", color=color, markersize=6, markeredgewidth=1.0, zorder=3)
        axes.plot([row.low, row.high], [y, y], color=color, linewidth=3.2, zorder=3)
    face = canvas.PAPER if row.word == "inconclusive" else color
    axes.plot([row.mean], [y], _MARKERS[row.word], color=color, markerfacecolor=face, markersize=7, zorder=4)


def _build_seed_ticks(row: ForestRow, y: float) -> list[canvas.Stroke]:
    """Return one tick per seed below the interval; ticks of equal gains are stacked."""
    counts = canvas.count_values(row.seeds)
    pitch = min(_TICK + 1, _TICKS_ROOM / max(counts.values(), default=1))
    return [
        canvas.Stroke((value, y), (0, -_TICKS_BELOW - index * pitch), (0, -_TICKS_BELOW - index * pitch - 0.75 * pitch))
        for value, count in counts.items()
        for index in range(count)
    ]


def _write_texts(figure: Figure, row: ForestRow, middle: float) -> None:
    """Write name and text on the left and the verdict on the right, centred `middle` inches from the top."""
    width, height = figure.get_size_inches()
    lines = _wrap_claim(row)
    first = middle - _LINE_HEIGHT * len(lines) / 2
    for index, line in enumerate(lines):
        y = 1 - (first + _LINE_HEIGHT * index) / height
        figure.text(0.02 / width, y, line, va="top", color=canvas.SOFT if index else canvas.INK, **_get_font(index))
    x = (_LEFT + _MIDDLE + 2 * _GAP) / width
    color, y = canvas.VERDICT_COLORS[row.word], 1 - (middle - _LINE_HEIGHT / 2) / height
    figure.text(x, y, row.word, va="top", color=color, **_get_font(0))


def _get_font(line: int) -> dict[str, Any]:
    return {"fontsize": canvas.SMALL_FONT_SIZE} if line else {"fontsize": canvas.FONT_SIZE, "fontweight": "bold"}


def _wrap_claim(row: ForestRow) -> list[str]:
    # The name is bold, and bold letters are about 8 % wider than the regular ones that wrap_text measures.
    name = canvas.wrap_text(row.name, _LEFT, canvas.FONT_SIZE * 1.08, 1)
    return [*name, *canvas.wrap_text(row.text, _LEFT, canvas.SMALL_FONT_SIZE)]


def _compute_row_height(row: ForestRow) -> float:
    return max(0.5, _LINE_HEIGHT * len(_wrap_claim(row)) + 0.2)

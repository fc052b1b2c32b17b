"""Test error against what a variant costs, with the line that no variant betters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgg_ablate.analysis.summary import Report
from vgg_ablate.report.figures import canvas, labels, scales

COST_LABELS = {"macs": "MACs for one example", "params": "trained parameters"}
_ROOM = 8.5  # inches: with longer names in all, or more points, only the line and the base are named
_MOST = 24


@dataclass(frozen=True)
class CostPoint:
    """A variant: its costs, its mean test error in percent and the standard deviation over seeds (0 for one)."""

    name: str
    is_base: bool
    costs: dict[str, int]
    mean: float
    sd: float


def collect_cost_points(report: Report) -> list[CostPoint]:
    """The variants that have a finished run and costs, and no stalled run: the line ranks them."""
    return [
        CostPoint(row.name, row.is_base, dict(row.costs), row.error.mean, row.error.sd if row.n > 1 else 0.0)
        for row in report.rows
        if row.n and not row.stalled and all(cost in row.costs for cost in COST_LABELS)
    ]


def find_front_points(found: Sequence[CostPoint], cost: str) -> list[CostPoint]:
    """The points that no other point betters in both cost and error, from cheap to dear."""
    best: list[CostPoint] = []
    for point in sorted(found, key=lambda point: (point.costs[cost], point.mean)):
        if not best or point.mean < best[-1].mean:
            best.append(point)
    return best


def plot_cost_error(found: Sequence[CostPoint], error: str = "test error, %") -> Figure:
    """MACs at the left, parameters at the right; one scale of errors."""
    figure = canvas.create_figure(canvas.WIDTH, 3.3)
    limits = canvas.compute_error_limits([point.mean + sign * point.sd for point in found for sign in (-1, 1)], 0.12)
    for index, cost in enumerate(COST_LABELS):
        axes = canvas.add_axes(figure, 0.6 + index * 3.33, 0.15, 3.05, 2.6)
        axes.set_ylim(*limits)
        _panel(axes, found, cost)
        canvas.set_plain_ticks(axes.yaxis)
        if index:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(error)
    return figure


def _panel(axes: Axes, found: Sequence[CostPoint], cost: str) -> None:
    scales.set_cost_scale(axes, [point.costs[cost] for point in found])
    axes.set_xlabel(COST_LABELS[cost])
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    best = find_front_points(found, cost)
    right = axes.get_xlim()[1]
    line = _steps([(point.costs[cost], point.mean) for point in best], right)
    axes.plot(*zip(*line, strict=True), color=canvas.SOFT, linewidth=1.0, zorder=2)
    few = len(found) <= _MOST
    brief = few and sum(canvas.measure_text_inches(point.name, canvas.SMALL_FONT_SIZE) for point in found) <= _ROOM
    shown = found if few else [point for point in found if point.is_base or point in best]
    crowd = [] if few else [point for point in found if point not in shown]
    canvas.draw_strokes(axes, [canvas.Stroke((p.costs[cost], p.mean), (0, 0), (0, 0)) for p in crowd], canvas.SOFT, 3)
    for point in shown:
        x = point.costs[cost]
        if few:
            axes.plot(
                [x, x], [point.mean - point.sd, point.mean + point.sd], color=canvas.RULE, linewidth=1.2, zorder=1
            )
        colour = canvas.ACCENT if point.is_base else canvas.INK
        face = colour if point in best else canvas.PAPER
        size, mark = (7.5, "D") if point.is_base else (6, "o") if few else (3.5, "o")
        axes.plot([x], [point.mean], mark, color=colour, markerfacecolor=face, markersize=size, zorder=4)
    named = [point for point in found if brief or point.is_base or point in best]
    named.sort(key=lambda point: (not point.is_base, point not in best, point.mean, point.name))
    labels.name_points(
        axes,
        [point.name for point in named],
        [(point.costs[cost], point.mean) for point in named],
        bold=[point.name for point in named if point.is_base],
        line=line,
    )


def _steps(corners: Sequence[tuple[float, float]], right: float) -> list[tuple[float, float]]:
    """From point to point, first along the cost, then down."""
    line = [corners[0]]
    for x, y in corners[1:]:
        line += [(x, line[-1][1]), (x, y)]
    return [*line, (right, line[-1][1])]

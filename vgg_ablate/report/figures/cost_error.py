"""The figure of test error against cost, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgg_ablate.analysis.summary import Report
from vgg_ablate.report.design_tables import select_pareto_front
from vgg_ablate.report.figures import canvas, labels, scales

COST_LABELS = {"macs": "MACs for one example", "params": "trained parameters"}
# A panel with more or longer names than this has no free place for most of them: then only the base and the front
# are named, and with more than _MAX_MARKED points only they have large marks and whiskers.
_MAX_NAME_INCHES = 8.5  # sum over all names
_MAX_MARKED = 24


@dataclass(frozen=True)
class CostPoint:
    """A variant with its costs, its mean error in percent, and the standard deviation over seeds (0 for one seed)."""

    name: str
    is_base: bool
    costs: dict[str, int]
    mean: float
    sd: float


def collect_cost_points(report: Report) -> list[CostPoint]:
    """Return the variants with a finished run and known costs; none with a stalled run, as the front ranks variants."""
    return [
        CostPoint(row.name, row.is_base, dict(row.costs), row.error.mean, row.error.sd if row.n > 1 else 0.0)
        for row in report.rows
        if row.n and not row.stalled and all(cost in row.costs for cost in COST_LABELS)
    ]


def find_front_points(points: Sequence[CostPoint], cost: str) -> list[CostPoint]:
    """Return the points that no other point beats in both cost and error, sorted by cost."""
    return select_pareto_front(points, [(point.costs[cost], point.mean) for point in points])


def plot_cost_error(points: Sequence[CostPoint], error: str = "test error, %") -> Figure:
    """Draw the error against MACs (left) and parameters (right); both panels share the scale of errors."""
    figure = canvas.create_figure(canvas.WIDTH, 3.3)
    limits = canvas.compute_error_limits([point.mean + sign * point.sd for point in points for sign in (-1, 1)], 0.12)
    for index, cost in enumerate(COST_LABELS):
        axes = canvas.add_axes(figure, 0.6 + index * 3.33, 0.15, 3.05, 2.6)
        axes.set_ylim(*limits)
        _draw_panel(axes, points, cost)
        canvas.set_plain_ticks(axes.yaxis)
        if index:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(error)
    return figure


def _draw_panel(axes: Axes, points: Sequence[CostPoint], cost: str) -> None:
    # The scale comes first: names are placed by the positions of points on the finished axes.
    scales.set_cost_scale(axes, [point.costs[cost] for point in points])
    axes.set_xlabel(COST_LABELS[cost])
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    front = find_front_points(points, cost)
    line = _build_stairs([(point.costs[cost], point.mean) for point in front], axes.get_xlim()[1])
    axes.plot(*zip(*line, strict=True), color=canvas.SOFT, linewidth=1.0, zorder=2)
    _draw_marks(axes, points, front, cost)
    name_inches = sum(canvas.measure_text_inches(point.name, canvas.SMALL_FONT_SIZE) for point in points)
    name_all = len(points) <= _MAX_MARKED and name_inches <= _MAX_NAME_INCHES
    named = [point for point in points if name_all or point.is_base or point in front]
    # Names are placed greedily, so the ones that must not be lost come first.
    named.sort(key=lambda point: (not point.is_base, point not in front, point.mean, point.name))
    labels.name_points(
        axes,
        [point.name for point in named],
        [(point.costs[cost], point.mean) for point in named],
        bold=[point.name for point in named if point.is_base],
        line=line,
    )


def _draw_marks(axes: Axes, points: Sequence[CostPoint], front: Sequence[CostPoint], cost: str) -> None:
    mark_all = len(points) <= _MAX_MARKED
    marked = points if mark_all else [point for point in points if point.is_base or point in front]
    others = [] if mark_all else [point for point in points if point not in marked]
    # One path for all other points: a search has thousands, and a marker each makes an SVG of megabytes.
    dots = [canvas.Stroke((point.costs[cost], point.mean), (0, 0), (0, 0)) for point in others]
    canvas.draw_strokes(axes, dots, canvas.SOFT, 3)
    for point in marked:
        x = point.costs[cost]
        if mark_all:
            whisker = [point.mean - point.sd, point.mean + point.sd]
            axes.plot([x, x], whisker, color=canvas.RULE, linewidth=1.2, zorder=1)
        color = canvas.ACCENT if point.is_base else canvas.INK
        face = color if point in front else canvas.PAPER
        size, marker = (7.5, "D") if point.is_base else (6, "o") if mark_all else (3.5, "o")
        axes.plot([x], [point.mean], marker, color=color, markerfacecolor=face, markersize=size, zorder=4)


def _build_stairs(corners: Sequence[tuple[float, float]], right: float) -> list[tuple[float, float]]:
    """Return the line through the corners that first goes along the cost and then down, up to the right edge."""
    line = [corners[0]]
    for x, y in corners[1:]:
        line += [(x, line[-1][1]), (x, y)]
    return [*line, (right, line[-1][1])]

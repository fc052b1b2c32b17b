"""The figures of a report, in order, each with a title and a caption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vgg_ablate.report.figures import budget, canvas, curves, forest
from vgg_ablate.report.model import Report


@dataclass(frozen=True)
class Picture:
    """One figure as SVG, with the words that belong to it."""

    name: str  # of its file, without the ending
    title: str
    caption: str
    svg: str


def pictures(report: Report) -> tuple[Picture, ...]:
    """Every figure that the records can fill."""
    return tuple(_drawn(report))


def _drawn(report: Report) -> Iterator[Picture]:
    rows = forest.intervals(report)
    if rows:
        yield Picture("forest", "The verdicts as intervals", _FOREST, canvas.svg(lambda: forest.drawn(rows)))
    points = budget.points(report)
    if points:
        yield Picture("budget", "Error and what it costs", _BUDGET, canvas.svg(lambda: budget.drawn(points)))
    found = curves.curves(report)
    if found:
        left_out = len(report.rows) - len(found)
        more = f" {left_out} more variants are not drawn." if left_out else ""
        yield Picture("curves", "Learning curves", _CURVES + more, canvas.svg(lambda: curves.drawn(found)))


_FOREST = (
    "Each claim's gain, paired by seed, with its 95 % interval (thick) and the interval that decides after Holm's "
    "correction (thin). The claim says that the true gain lies in the shaded band: with the thin interval inside it, "
    "the claim is supported (disc); outside, refuted (square); across an edge, inconclusive (ring). Ticks: one a seed, "
    "equal ones below each other."
)
_BUDGET = (
    "Mean test error against costs; whiskers: ± the standard deviation over seeds. The line joins the variants that no "
    "other betters in both (filled); diamond: the base."
)
_CURVES = (
    "Validation error after every epoch: thin, one line a seed (the first 20 seeds); thick, the mean over all; dashed, "
    "the base's mean for comparison."
)

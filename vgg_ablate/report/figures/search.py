"""A search: the validation error of every proposal, in the order in which they were made, and the best until then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan, nan

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vgg_ablate.analysis.summary import Report
from vgg_ablate.report.figures import canvas
from vgg_ablate.report.figures.cost_error import CostPoint


@dataclass(frozen=True)
class SearchProposal:
    """A variant that a search proposed: its validation error in percent, NaN where runs did not finish or stalled."""

    name: str
    error: float


def collect_proposals(report: Report) -> list[SearchProposal]:
    """In the order in which they were made."""
    return [
        SearchProposal(
            row.name, row.metrics["val_error"].mean if "val_error" in row.metrics and not row.stalled else nan
        )
        for row in report.proposed
    ]


def collect_proposal_points(report: Report) -> list[CostPoint]:
    """What was proposed, and the base, for the figure of errors and costs."""
    return [
        CostPoint(row.name, row.is_base, dict(row.costs), row.metrics["val_error"].mean, 0.0)
        for row in (report.base, *report.proposed)
        if "val_error" in row.metrics and not row.stalled and {"params", "macs"} <= row.costs.keys()
    ]


def plot_search(found: Sequence[SearchProposal]) -> Figure:
    """Discs for proposals, crosses at the upper edge for those without an error, a line for the best until then."""
    figure = canvas.create_figure(canvas.WIDTH, 2.9)
    axes = canvas.add_axes(figure, 0.55, 0.15, 6.5, 2.25)
    errors = [one.error for one in found if not isnan(one.error)]
    low, high = canvas.compute_error_limits(errors or [0.0, 100.0])
    axes.set_ylim(low, high)
    axes.set_xlim(0.5, max(len(found), 2) + 0.5)
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    best, line = inf, []
    for number, one in enumerate(found, start=1):
        best = best if isnan(one.error) else min(best, one.error)
        line.append((number, nan if best == inf else best))
    axes.step(*zip(*line, strict=True), where="post", color=canvas.ACCENT, linewidth=1.4, zorder=2)
    ended = [(number, one.error) for number, one in enumerate(found, start=1) if not isnan(one.error)]
    if ended:
        axes.plot(*zip(*ended, strict=True), "o", color=canvas.INK, markersize=4, alpha=0.75, zorder=3)
    cut = [number for number, one in enumerate(found, start=1) if isnan(one.error)]
    axes.plot(cut, [high - 0.03 * (high - low)] * len(cut), "x", color=canvas.REFUTED_COLOR, markersize=5, zorder=3)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    canvas.set_plain_ticks(axes.yaxis)
    axes.set_xlabel("proposal")
    axes.set_ylabel("validation error, %")
    return figure

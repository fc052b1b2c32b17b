"""The figure of a search: the validation error of every proposal in order, and the lowest error so far."""

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
    """A variant that a search proposed, with its validation error in percent; NaN if runs did not finish or stalled."""

    name: str
    error: float


def collect_proposals(report: Report) -> list[SearchProposal]:
    """Return the proposals of a search, in the order in which they were made."""
    return [
        SearchProposal(
            row.name, row.metrics["val_error"].mean if "val_error" in row.metrics and not row.stalled else nan
        )
        for row in report.proposed
    ]


def collect_proposal_points(report: Report) -> list[CostPoint]:
    """Return costs and validation error of the base and the proposals, without those that stalled or lack costs."""
    return [
        CostPoint(row.name, row.is_base, dict(row.costs), row.metrics["val_error"].mean, 0.0)
        for row in (report.base, *report.proposed)
        if "val_error" in row.metrics and not row.stalled and {"params", "macs"} <= row.costs.keys()
    ]


def plot_search(proposals: Sequence[SearchProposal]) -> Figure:
    """Draw a disc per proposal, a cross at the upper edge if it has no error, and a line for the lowest so far."""
    figure = canvas.create_figure(canvas.WIDTH, 2.9)
    axes = canvas.add_axes(figure, 0.55, 0.15, 6.5, 2.25)
    low, high = canvas.compute_error_limits(
        [proposal.error for proposal in proposals if not isnan(proposal.error)] or [0.0, 100.0]
    )
    axes.set_ylim(low, high)
    axes.set_xlim(0.5, max(len(proposals), 2) + 0.5)
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    best = inf
    lowest, finished, unfinished = [], [], []
    for number, proposal in enumerate(proposals, start=1):
        if isnan(proposal.error):
            unfinished.append(number)
        else:
            finished.append((number, proposal.error))
            best = min(best, proposal.error)
        lowest.append((number, nan if best == inf else best))
    axes.step(*zip(*lowest, strict=True), where="post", color=canvas.ACCENT, linewidth=1.4, zorder=2)
    if finished:
        axes.plot(*zip(*finished, strict=True), "o", color=canvas.INK, markersize=4, alpha=0.75, zorder=3)
    cross_height = high - 0.03 * (high - low)
    axes.plot(unfinished, [cross_height] * len(unfinished), "x", color=canvas.REFUTED_COLOR, markersize=5, zorder=3)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    canvas.set_plain_ticks(axes.yaxis)
    axes.set_xlabel("proposal")
    axes.set_ylabel("validation error, %")
    return figure

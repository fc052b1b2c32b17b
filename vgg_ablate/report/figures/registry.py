"""The figures of a report, in order, each with a title and a caption."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from vgg_ablate.analysis.effects import compute_effects
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.tuning import collect_trials, expect_best
from vgg_ablate.formatting import numbers
from vgg_ablate.report.figures import (
    canvas,
    cost_error,
    curves,
    dot_plot,
    factor_levels,
    forest,
    interactions,
    nets,
    search,
    tuning_budget,
)


@dataclass(frozen=True)
class FigureSpec:
    """One figure that can be drawn, with the words that belong to it."""

    name: str  # of its file, without the ending
    title: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class RenderedFigure:
    """One figure as SVG."""

    name: str
    title: str
    caption: str
    svg: str


def render_figures(report: Report) -> tuple[RenderedFigure, ...]:
    """Every figure that the records can fill."""
    return tuple(
        RenderedFigure(one.name, one.title, one.caption, canvas.render_svg(one.draw))
        for one in build_figure_specs(report)
    )


def build_figure_specs(report: Report) -> Iterator[FigureSpec]:
    """The same, not yet drawn."""
    claims = forest.collect_forest_rows(report)
    if claims:
        yield FigureSpec("forest", "The verdicts as intervals", _FOREST, lambda: forest.plot_forest(claims))
    yield from _by_design(report)
    points = cost_error.collect_cost_points(report)
    if points:
        stalled = [row.name for row in report.rows if row.stalled]
        more = f" Not drawn, since runs stalled at chance level: {', '.join(stalled)}." if stalled else ""
        yield FigureSpec(
            "budget", "Error and what it costs", _BUDGET + more, lambda: cost_error.plot_cost_error(points)
        )
    trains = nets.collect_nets(report)
    if trains:
        yield FigureSpec("nets", "The nets", _NETS, lambda: nets.plot_nets(trains))
    found = curves.collect_curves(report)
    if found:
        left_out = len(report.rows) - len(found)
        more = f" {numbers.format_count(left_out)} more variants are not drawn." if left_out else ""
        yield FigureSpec("curves", "Learning curves", _CURVES + more, lambda: curves.plot_curves(found))
    yield from _tuning(report)


def _tuning(report: Report) -> Iterator[FigureSpec]:
    expected = {one.variant: expect_best(one.first_rung) for one in collect_trials(report) if one.first_rung}
    if not expected or report.study.tune is None or report.study.tune.trials < 2:
        return
    epochs = report.study.tune.epochs[0]
    left_out = len(expected) - tuning_budget.MOST_LINES
    more = f" {numbers.format_count(left_out)} more variants are not drawn." if left_out > 0 else ""
    yield FigureSpec("tuning", "Tuning", _TUNING + more, lambda: tuning_budget.plot_tuning_budget(expected, epochs))


def _by_design(report: Report) -> Iterator[FigureSpec]:
    """What the study's design asks for."""
    if not any(row.n for row in report.rows):
        return
    kind: str = report.study.design.kind
    if kind == "one_factor_at_a_time":
        factors = factor_levels.collect_factor_levels(report)
        yield FigureSpec("levels", "One factor at a time", _LEVELS, lambda: factor_levels.plot_factor_levels(factors))
    elif kind == "leave_one_out":
        parts = dot_plot.collect_differences(report)
        label = f"test error minus {report.base.name}, pp  (right of 0: worse)"
        yield FigureSpec("parts", "Without each part", _PARTS, lambda: dot_plot.plot_dots(parts, label, zero=True))
    elif kind == "cumulative":
        road = dot_plot.collect_steps(report)
        yield FigureSpec("road", "Step by step", _ROAD, lambda: dot_plot.plot_dots(road, "test error, %", joined=True))
    elif kind == "factorial":
        yield from _factorial(report)
    elif kind == "search":
        yield from _searched(report)


def _factorial(report: Report) -> Iterator[FigureSpec]:
    found = compute_effects(report)
    if not found.seeds:
        return
    factors = factor_levels.average_factor_levels(found, report.base.variant.levels)
    yield FigureSpec("levels", "Main effects", _LEVELS + _AVERAGED, lambda: factor_levels.plot_factor_levels(factors))
    pairs = interactions.collect_pair_means(report, found)
    yield FigureSpec("interactions", "Interactions", _INTERACTIONS, lambda: interactions.plot_interactions(pairs))
    largest = max(pairs, key=lambda cells: len(cells.means))
    averaged = _AVERAGED if len(found.factors) > 2 else ""
    yield FigureSpec("heat", "The grid", _HEAT + averaged, lambda: interactions.plot_heat_map(largest))


def _searched(report: Report) -> Iterator[FigureSpec]:
    proposals = search.collect_proposals(report)
    if not proposals:
        return
    yield FigureSpec("history", "The search", _HISTORY, lambda: search.plot_search(proposals))
    points = search.collect_proposal_points(report)
    if points:
        yield FigureSpec(
            "front", "The front", _FRONT, lambda: cost_error.plot_cost_error(points, "validation error, %")
        )


_FOREST = (
    "Each claim's gain, paired by seed, with its 95 % interval (thick) and the interval that decides after Holm's "
    "correction (thin). The claim says that the true gain lies in the shaded band: with the thin interval inside it, "
    "the claim is supported (disc); outside, refuted (square); across an edge, inconclusive (ring). Ticks: one a seed, "
    "equal ones below each other."
)
_BUDGET = (
    "Mean test error against costs; whiskers: ± the standard deviation over seeds. The line joins the variants that no "
    "other betters in both (filled); diamond: the base. Points without a name are in the table."
)
_CURVES = (
    "Validation error after every epoch: thin, one line a seed (the first 20 seeds); thick, the mean over all; dashed, "
    "the base's mean for comparison."
)
_NETS = (
    "Layer by layer: kernel or fc above, channels or features below; a stroke is a pooling (blue: another than the "
    "base's), an underlined box has no activation after it. Filled: differs from the base in itself or in what follows "
    "it; dashed: the base's layer is gone. Under each name, what was changed."
)
_TUNING = (
    "Expected lowest validation error of so many trials, drawn from those of the tuning's first rung (Dodge et al. "
    "2019); a trial that diverged counts as 100 %. A line that still falls at the right: more trials would help."
)
_LEVELS = (
    "Test error at every level: thin lines, one a seed; marks and bars, mean ± standard deviation over seeds; diamond: "
    "the base."
)
_AVERAGED = " Averaged over the other factors."
_INTERACTIONS = (
    "Mean test error, ± the standard deviation over seeds, at every pair of levels. Parallel lines: no interaction."
)
_HEAT = "Mean test error in percent; the darker, the more."
_PARTS = "Each variant minus the base, paired by seed, with its 95 % interval; the greatest loss first."
_ROAD = (
    "Test error, mean ± standard deviation over seeds, from the base (diamond) step by step. At the right: the "
    "difference to the step before, paired by seed, with its 95 % interval, in percentage points."
)
_HISTORY = (
    "Validation error of every proposal, in order; the line is the best until then; crosses did not finish (pruned, "
    "diverged, out of memory or failed) or stalled at chance level."
)
_FRONT = (
    "Mean validation error of every proposal against its costs. The line joins those that no other betters in both "
    "(filled); diamond: the base."
)

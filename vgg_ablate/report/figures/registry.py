"""Registry of the report's figures: one entry per figure, in the order of the report.

To add a figure, add a `FigureEntry` to FIGURES: its file name, its title, its caption, and a function that turns a
report into a function that draws the figure, or into None where the records do not have the data for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from matplotlib.figure import Figure

from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.tuning import collect_trials, compute_expected_best
from vgg_ablate.formatting import numbers
from vgg_ablate.report.figures import (
    canvas,
    confusion,
    cost_error,
    curves,
    dot_plot,
    factor_levels,
    forest,
    interactions,
    level_effects,
    nets,
    search,
    tuning_budget,
)

Draw = Callable[[], Figure]
_Rows = TypeVar("_Rows", bound=Sized)


@dataclass(frozen=True)
class FigureEntry:
    """One kind of figure that a report can have."""

    name: str  # of the file, without the suffix; designs that exclude each other may share one
    title: str
    caption: str
    prepare: Callable[[Report], Draw | None]  # None: the records have no data for this figure
    designs: frozenset[str] = frozenset()  # kinds of design that have the figure; empty: all
    extend_caption: Callable[[Report], str] = lambda report: ""  # a sentence that depends on the report


@dataclass(frozen=True)
class FigureSpec:
    """A figure of one report that is not drawn yet."""

    name: str
    title: str
    caption: str
    draw: Draw


@dataclass(frozen=True)
class RenderedFigure:
    """A figure of one report as SVG text."""

    name: str
    title: str
    caption: str
    svg: str


def render_figures(report: Report) -> tuple[RenderedFigure, ...]:
    """Draw every figure that the records have data for."""
    specs = build_figure_specs(report)
    return tuple(RenderedFigure(spec.name, spec.title, spec.caption, canvas.render_svg(spec.draw)) for spec in specs)


def build_figure_specs(report: Report) -> Iterator[FigureSpec]:
    """Yield every figure that the records have data for, not yet drawn."""
    has_results = any(row.n for row in report.rows)
    for entry in FIGURES:
        if entry.designs and (report.study.design.kind not in entry.designs or not has_results):
            continue
        draw = entry.prepare(report)
        if draw is not None:
            caption = f"{entry.caption} {entry.extend_caption(report)}".rstrip()
            yield FigureSpec(entry.name, entry.title, caption, draw)


def _draw_rows(collect: Callable[[Report], _Rows], plot: Callable[[_Rows], Figure]) -> Callable[[Report], Draw | None]:
    """Return the `prepare` of a figure that is drawn from `collect(report)` unless that is empty."""

    def prepare(report: Report) -> Draw | None:
        rows = collect(report)
        return partial(plot, rows) if rows else None

    return prepare


def _prepare_parts(report: Report) -> Draw:
    label = f"test error minus {report.base.name}, points  (right of 0: worse)"
    return partial(dot_plot.plot_dots, dot_plot.collect_differences(report), label, zero=True)


def _prepare_steps(report: Report) -> Draw:
    return partial(dot_plot.plot_dots, dot_plot.collect_steps(report), "test error, %", joined=True)


def _prepare_main_effects(report: Report) -> Draw | None:
    effects = report.factorial_effects
    if not effects.seeds:
        return None
    levels = factor_levels.average_factor_levels(effects, report.base.variant.levels)
    return partial(factor_levels.plot_factor_levels, levels)


def _prepare_interactions(report: Report) -> Draw | None:
    effects = report.factorial_effects
    if not effects.seeds:
        return None
    return partial(interactions.plot_interactions, interactions.collect_pair_means(report, effects))


def _prepare_heat_map(report: Report) -> Draw | None:
    effects = report.factorial_effects
    if not effects.seeds:
        return None
    # One heat map takes as much room as four panels of lines: the pair with most cells needs it most.
    largest = max(interactions.collect_pair_means(report, effects), key=lambda pair: len(pair.means))
    return partial(interactions.plot_heat_map, largest)


def _prepare_level_effects(report: Report) -> Draw | None:
    panels = level_effects.collect_effect_panels(report)
    label = report.study.horizon_path.removeprefix("train.")
    return partial(level_effects.plot_level_effects, panels, label) if panels else None


def _prepare_tuning(report: Report) -> Draw | None:
    trials = {tuned.variant: tuned.first_rung for tuned in collect_trials(report) if tuned.first_rung}
    if not trials or report.study.tune is None or report.study.tune.trials < 2:
        return None
    expected = {variant: compute_expected_best(rung) for variant, rung in trials.items()}
    return partial(tuning_budget.plot_tuning_budget, expected, report.study.tune.epochs[0])


def _prepare_confusion(report: Report) -> Draw | None:
    matrix = confusion.collect_confusion(report)
    return None if matrix is None else partial(confusion.plot_confusion, matrix)


def _describe_stalled(report: Report) -> str:
    stalled = [row.name for row in report.rows if row.stalled]
    return f"Not drawn because runs stalled at chance level: {', '.join(stalled)}." if stalled else ""


def _describe_averaging(report: Report) -> str:
    """Describe the means of a heat map: with two factors, every cell is one variant and nothing is averaged."""
    return _AVERAGED if len(report.factorial_effects.factors) > 2 else ""


def _describe_omitted_curves(report: Report) -> str:
    return _describe_omitted(len(report.rows) - len(curves.collect_curves(report)))


def _describe_omitted_tuning(report: Report) -> str:
    variants = sum(bool(tuned.first_rung) for tuned in collect_trials(report))
    return _describe_omitted(variants - tuning_budget.MOST_LINES)


def _describe_omitted(count: int) -> str:
    return f"{numbers.format_count(count)} more variants are not drawn." if count > 0 else ""


_AVERAGED = "Averaged over the other factors."
_FACTORIAL = frozenset({"factorial"})
_SEARCH = frozenset({"search"})

FIGURES: tuple[FigureEntry, ...] = (
    FigureEntry(
        "forest",
        "The verdicts as intervals",
        "The difference of side a minus side b of each claim, paired by seed, with its 95 % interval (thick) and the "
        "interval that decides after Holm's correction (thin). The claim states that the true difference lies in the "
        "shaded band: it is supported (disc) if the thin interval lies inside the band, refuted (square) if it lies "
        "outside. Otherwise there is no difference that matters (diamond) if the corrected interval lies within the "
        "smallest effect (darker band), or the claim is inconclusive (ring). Ticks: one per seed; equal differences "
        "are stacked.",
        _draw_rows(forest.collect_forest_rows, forest.plot_forest),
    ),
    FigureEntry(
        "effects",
        "Effects against the training length",
        "Difference of side a minus side b of each claim, paired by seed, at every level of the horizons, with its "
        "95 % interval; below 0, a has less error. Band: the smallest effect that matters. Red: where the difference "
        "changes its sign, with the 95 % confidence set of that level.",
        _prepare_level_effects,
    ),
    FigureEntry(
        "levels",
        "One factor at a time",
        "Test error at every level: thin lines, one per seed; marks and bars, mean ± standard deviation over seeds; "
        "diamond: the base.",
        _draw_rows(factor_levels.collect_factor_levels, factor_levels.plot_factor_levels),
        designs=frozenset({"one_factor_at_a_time"}),
    ),
    FigureEntry(
        "parts",
        "Without each part",
        "Each variant minus the base, paired by seed, with its 95 % interval; sorted by loss.",
        _prepare_parts,
        designs=frozenset({"leave_one_out"}),
    ),
    FigureEntry(
        "road",
        "Step by step",
        "Test error, mean ± standard deviation over seeds, from the base (diamond) step by step. On the right: the "
        "difference to the previous step, paired by seed, with its 95 % interval, in percentage points.",
        _prepare_steps,
        designs=frozenset({"cumulative"}),
    ),
    FigureEntry(
        "levels",
        "Main effects",
        "Test error at every level: thin lines, one per seed; marks and bars, mean ± standard deviation over seeds; "
        f"diamond: the base. {_AVERAGED}",
        _prepare_main_effects,
        designs=_FACTORIAL,
    ),
    FigureEntry(
        "interactions",
        "Interactions",
        "Mean test error ± the standard deviation over seeds at every pair of levels. Parallel lines: no interaction.",
        _prepare_interactions,
        designs=_FACTORIAL,
    ),
    FigureEntry(
        "heat",
        "The grid",
        "Mean test error in percent; darker cells have a higher error.",
        _prepare_heat_map,
        designs=_FACTORIAL,
        extend_caption=_describe_averaging,
    ),
    FigureEntry(
        "history",
        "The search",
        "Validation error of every proposal, in order; the line is the lowest error so far; crosses did not finish "
        "(pruned, diverged, out of memory or failed) or stalled at chance level.",
        _draw_rows(search.collect_proposals, search.plot_search),
        designs=_SEARCH,
    ),
    FigureEntry(
        "front",
        "The front",
        "Mean validation error of every proposal against its costs. The line joins the Pareto front (filled): no other "
        "proposal is better in both error and cost. Diamond: the base.",
        _draw_rows(
            lambda report: search.collect_proposal_points(report) if report.proposed else [],
            partial(cost_error.plot_cost_error, error="validation error, %"),
        ),
        designs=_SEARCH,
    ),
    FigureEntry(
        "budget",
        "Error and cost",
        "Mean test error against costs; whiskers: ± the standard deviation over seeds. The line joins the Pareto front "
        "(filled): no other variant is better in both error and cost. Diamond: the base. The table names the points "
        "that have no label.",
        _draw_rows(cost_error.collect_cost_points, cost_error.plot_cost_error),
        extend_caption=_describe_stalled,
    ),
    FigureEntry(
        "nets",
        "The nets",
        "Layer by layer: kernel or fc above, channels or features below; a stroke is a pooling layer (blue: it differs "
        "from the base's), an underlined box has no activation after it. Filled: the layer, or what follows it, "
        "differs from the base; dashed: a layer of the base that is missing. Under each name: what was changed.",
        _draw_rows(nets.collect_nets, nets.plot_nets),
    ),
    FigureEntry(
        "curves",
        "Learning curves",
        f"Validation error after every epoch: thin, one line per seed (the first {curves.MAX_LINES} seeds); thick, the "
        "mean over all seeds; dashed, the base's mean for comparison.",
        _draw_rows(curves.collect_curves, curves.plot_curves),
        extend_caption=_describe_omitted_curves,
    ),
    FigureEntry(
        "tuning",
        "Tuning",
        "Expected lowest validation error of a number of trials, estimated from the trials of the first rung (Dodge et "
        "al. 2019); a diverged trial counts as 100 %. A line that still falls at its right end: more trials would "
        "help.",
        _prepare_tuning,
        extend_caption=_describe_omitted_tuning,
    ),
    FigureEntry(
        "confusion",
        "Which classes the base confuses",
        "Wrong answers on the test sets of all seeds together: rows are the true classes, columns the predicted ones; "
        "darker: a larger share of the class. Right answers are not drawn.",
        _prepare_confusion,
    ),
)

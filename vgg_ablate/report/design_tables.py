"""Tables that depend on the kind of design: the comparison, factor levels, effects, ANOVA, and a search's front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isnan, nan
from typing import TypeVar

from vgg_ablate.analysis.anova import AnovaRow
from vgg_ablate.analysis.effects import Effect, FactorialEffects
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.stats import ALPHA
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.variant_rows import PRIMARY_METRIC, MetricSummary, VariantRow, compute_paired_difference
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS
from vgg_ablate.config.study_file import ReportColumn
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import CountCell, DifferenceCell, MeanCell, QuantityCell, TableCell, TextCell, TickCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.report.answer import format_level
from vgg_ablate.report.comparison import (
    Block,
    ExtraColumn,
    build_comparison_table,
    build_difference_cell,
    format_outcomes,
)
from vgg_ablate.space.pareto import find_pareto_rows

_MAX_PROPOSALS = 30  # in the table of a search's history
_PROPOSAL_COLUMNS = (
    Column("proposal", "left"),
    Column("changes", "left"),
    Column("n"),
    Column("validation error, %"),
    Column("params"),
    Column("MACs"),
)
_Item = TypeVar("_Item")


def build_design_tables(report: Report, columns: Sequence[ReportColumn] = ()) -> list[Table]:
    """Build the comparison of variants in the layout of the study's design, and the tables that only it has.

    `columns` select the columns of the comparison, in place of those that the study selects.
    """
    match report.study.design.kind:
        case "one_factor_at_a_time":
            return [_build_factor_comparison(report, columns)]
        case "leave_one_out":
            return [_build_part_comparison(report, columns)]
        case "cumulative":
            return [_build_step_comparison(report, columns)]
        case "factorial":
            return _build_factorial_tables(report.factorial_effects, _build_plain_comparison(report, columns))
        case "search":
            searched = [_build_front_table(report), _build_history_table(report)] if report.proposed else []
            return [_build_plain_comparison(report, columns), *searched]
        case _:
            return [_build_plain_comparison(report, columns)]


def find_pareto_variants(rows: Sequence[VariantRow], metric: str = PRIMARY_METRIC) -> list[VariantRow]:
    """Return the Pareto front of metric and MACs, by MACs; stalled variants and unknown costs are left out."""
    known = [
        (row, (row.costs["macs"], summary.mean))
        for row in rows
        if "macs" in row.costs and not row.stalled and (summary := _get_metric(row, metric))
    ]
    return select_pareto_front([row for row, _ in known], [position for _, position in known])


def select_pareto_front(items: Sequence[_Item], positions: Sequence[tuple[float, float]]) -> list[_Item]:
    """Return the items that no other item beats in both coordinates of its position, sorted by the first coordinate."""
    return [items[index] for index in sorted(find_pareto_rows(positions), key=lambda index: positions[index])]


def _get_metric(row: VariantRow, metric: str) -> MetricSummary | None:
    if metric == PRIMARY_METRIC:
        return row.error if row.n else None
    return row.metrics.get(metric)


def _build_plain_comparison(report: Report, columns: Sequence[ReportColumn]) -> Table:
    return build_comparison_table(report, _build_caption(report), [(None, report.rows)], columns=columns)


def _build_caption(report: Report, ending: str = "") -> str:
    if not report.is_recorded:
        return "Variants, not run yet"
    at_level = "" if report.level is None else f" at {format_level(report, report.level)}"
    return f"Test error of every variant{at_level}, in percent{ending}"


def _build_factor_comparison(report: Report, columns: Sequence[ReportColumn]) -> Table:
    """Build a comparison with one block per factor; variants of no factor are in the base's block."""
    factors = list(dict.fromkeys(factor for row in report.rows for factor in row.variant.levels))
    no_factor = [row for row in report.rows if row.is_base or not row.variant.levels]
    blocks: list[Block] = [(None, no_factor)]
    for factor in factors:
        rows = [row for row in report.rows if factor in row.variant.levels and not row.is_base]
        base_level = report.base.variant.levels.get(factor)
        blocks.append((f"{factor} (base: {base_level})" if base_level else factor, rows))
    return build_comparison_table(report, _build_caption(report, ", one factor at a time"), blocks, columns=columns)


def _build_part_comparison(report: Report, columns: Sequence[ReportColumn]) -> Table:
    """Build an ablation table of variants without one part each, the largest loss first."""
    parts = [row for row in report.rows if "without" in row.variant.levels]
    ordered = sorted(parts, key=lambda row: (isnan(row.to_base.mean), -row.to_base.mean))
    others = [row for row in report.rows if "without" not in row.variant.levels]
    names = [row.variant.levels["without"] for row in parts]
    ticks = {row.name: {name: name != row.variant.levels["without"] for name in names} for row in parts}
    ticks[report.base.name] = dict.fromkeys(names, True)
    caption = _build_caption(report, ", with one part left out; sorted by loss")
    return build_comparison_table(
        report,
        caption,
        [(None, [*others, *ordered])],
        titles={row.name: f"{numbers.DASH} {row.variant.levels['without']}" for row in parts},
        extra=_build_tick_columns(names, ticks),
        without=("changes",),
        is_sorted=False,
        columns=columns,
    )


def _build_step_comparison(report: Report, columns: Sequence[ReportColumn]) -> Table:
    """Build an ablation table of steps from the base, with the difference of each step to the previous one."""
    steps = [row for row in report.rows if row.is_base or "step" in row.variant.levels]
    others = [row for row in report.rows if row not in steps]
    errors = collect_by_seed(report.frame, PRIMARY_METRIC)
    differences: dict[str, TableCell] = {}
    for previous, row in pairwise(steps):
        difference = compute_paired_difference(errors.get(row.name, {}), errors.get(previous.name, {}))
        differences[row.name] = build_difference_cell(difference)
    names = [row.variant.levels["step"] for row in steps if not row.is_base]
    ticks = {row.name: {name: at < index for at, name in enumerate(names)} for index, row in enumerate(steps)}
    to_previous = ExtraColumn(Column("to the previous step [95 %]", rank=4), differences, "difference")
    blocks: list[Block] = [(None, steps)]
    if others:
        blocks.append(("other variants", others))
    return build_comparison_table(
        report,
        _build_caption(report, ", step by step; every step keeps the previous ones"),
        blocks,
        titles={row.name: f"+ {row.variant.levels['step']}" for row in steps if not row.is_base},
        extra=[*_build_tick_columns(names, ticks), to_previous],
        without=("changes",),
        is_sorted=False,
        columns=columns,
    )


def _build_tick_columns(names: Sequence[str], ticks: Mapping[str, Mapping[str, bool]]) -> list[ExtraColumn]:
    """Build one column per component; `ticks` holds, by variant and component, whether the variant has it."""
    return [
        ExtraColumn(Column(name, "left"), {variant: TickCell(has[name]) for variant, has in ticks.items()})
        for name in names
    ]


def _build_factorial_tables(effects: FactorialEffects, comparison: Table) -> list[Table]:
    """Return the tables of a factorial design, the effects first, since they are its purpose."""
    if not effects.seeds:
        return [comparison]
    # There is no analysis of variance if a cell or a second seed is missing, or if all errors are equal.
    variance = [_build_variance_table(effects)] if effects.sources else []
    return [_build_effect_table(effects), comparison, _build_level_table(effects), *variance]


def _build_level_table(effects: FactorialEffects) -> Table:
    columns = (
        Column("factor", "left"),
        Column("level", "left"),
        Column("test error, %"),
    )
    rows = []
    for (factor, level), values in effects.means.items():
        mean = sum(values) / len(values) if values else nan
        rows.append(TableRow((TextCell(factor), TextCell(level), MeanCell(mean, _compute_sd(values), len(values)))))
    note = (
        f"Means over all variants at the level, then over {len(effects.seeds)} seeds; ± is the standard deviation over "
        "seeds."
    )
    return Table("levels", "Test error by level of each factor", columns, tuple(rows), (note,))


def _build_effect_table(effects: FactorialEffects) -> Table:
    columns = (
        Column("effect", "left"),
        Column("Δ test error, points [95 %]"),
        Column("n"),
        Column("p"),
        Column("q"),
    )
    rows: list[TableRow] = []
    for heading, group in (("main effects", effects.main), ("interactions", effects.interactions)):
        rows.append(TableRow((TextCell(heading),), "block"))
        rows += [_build_effect_row(effect) for effect in group]
    notes = (
        "Contrasts per seed over the seeds that every variant has finished; a negative difference is less error.",
        "q: Holm's p over the effects of the same kind. Bold: q ≤ 0.05.",
    )
    return Table("effects", "Main effects and interactions on the test error", columns, tuple(rows), notes)


def _build_effect_row(effect: Effect) -> TableRow:
    difference = effect.difference
    cells = (
        TextCell(effect.label),
        DifferenceCell(difference.mean, difference.sd, difference.n, difference.low, difference.high),
        CountCell(difference.n),
        QuantityCell(effect.p, "p"),
        QuantityCell(effect.q, "p"),
    )
    # The same two conditions as for a verdict: q at most 0.05 and at least three seeds.
    is_significant = effect.q <= ALPHA and difference.n >= FEWEST_SEEDS
    return TableRow(cells, bold=frozenset({1}) if is_significant else frozenset())


def _build_variance_table(effects: FactorialEffects) -> Table:
    columns = (
        Column("source", "left"),
        Column("df"),
        Column("sum of squares"),
        Column("F"),
        Column("p"),
        Column("ω²"),
    )
    rows = tuple(_build_variance_row(source) for source in effects.sources)
    notes = (
        f"Over {len(effects.seeds)} seeds, with the seed as a block; the residual is the interaction of seed and "
        "factors.",
        "ω²: the share of the variance of the test error that the source explains.",
    )
    return Table("variance", "Analysis of variance of the test error (percent)", columns, rows, notes)


def _build_variance_row(source: AnovaRow) -> TableRow:
    return TableRow(
        (
            TextCell(source.name),
            CountCell(source.dof),
            QuantityCell(source.sum_of_squares, "fixed"),
            QuantityCell(source.f, "fixed"),
            QuantityCell(source.p, "p"),
            QuantityCell(source.omega_squared, "percentage"),
        )
    )


def _build_front_table(report: Report) -> Table:
    front = find_pareto_variants(report.proposed, metric="val_error")
    caption = "Pareto front of the proposals: no other proposal has both a lower validation error and fewer MACs"
    note = (
        "The lowest error of many proposals is low by chance too: claims compare the winners, which are trained again "
        "on the study's seeds."
    )
    return Table("front", caption, _PROPOSAL_COLUMNS, tuple(_build_proposal_row(row) for row in front), (note,))


def _build_history_table(report: Report) -> Table:
    """Build the table of the best _MAX_PROPOSALS proposals; those without an error come last."""

    def get_rank(row: VariantRow) -> tuple[bool, bool, float, str]:
        validation = _get_validation(row)
        # A mean of NaN in the key would leave the list unsorted, as every comparison with it is false.
        return not validation.n, bool(row.stalled), validation.mean if validation.n else 0.0, row.name

    ordered = sorted(report.proposed, key=get_rank)
    rows = tuple(_build_proposal_row(row) for row in ordered[:_MAX_PROPOSALS])
    note = f"{len(report.proposed)} variants were proposed; runs.csv has all of their runs."
    return Table("history", f"The search: its best {len(rows)} proposals", _PROPOSAL_COLUMNS, rows, (note,))


def _build_proposal_row(row: VariantRow) -> TableRow:
    validation = _get_validation(row)
    changes = ", ".join(
        f"{path.rsplit('.', 1)[-1]} {_format_level(value)}" for path, value in row.variant.changes.items()
    )
    error: TableCell = TextCell(format_outcomes(row) or numbers.DASH)
    if validation.n:
        error = MeanCell(validation.mean, validation.sd, validation.n)
    return TableRow(
        (
            TextCell(row.name),
            TextCell(changes or numbers.DASH),
            CountCell(validation.n),
            error,
            CountCell(row.costs.get("params")),
            CountCell(row.costs.get("macs")),
        )
    )


def _format_level(value: object) -> str:
    return numbers.format_compact(value, 4) if isinstance(value, float) else str(value)


def _get_validation(row: VariantRow) -> MetricSummary:
    return row.metrics.get("val_error", MetricSummary(0))


def _compute_sd(values: Sequence[float]) -> float:
    if len(values) < 2:
        return nan
    mean = sum(values) / len(values)
    return float((sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5)

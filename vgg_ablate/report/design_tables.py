"""The table that each design deserves: blocks of factors, parts left out, the road, effects, the search's front."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isnan, nan

from vgg_ablate.analysis.anova import AnovaRow
from vgg_ablate.analysis.effects import Effect, FactorialEffects, compute_effects
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.summary import PRIMARY_METRIC, MetricSummary, Report, VariantRow, compute_paired_difference
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.table import (
    Column,
    CountCell,
    DifferenceCell,
    MeanCell,
    QuantityCell,
    Table,
    TableCell,
    TextCell,
)
from vgg_ablate.formatting.table import TableRow as Line
from vgg_ablate.report.tables import build_comparison_table, build_difference_cell, format_outcomes

_MOST = 30  # proposals in a table
_PROPOSED = (
    Column("proposal", "proposal", "left"),
    Column("changes", "changes", "left"),
    Column("n", "n"),
    Column("validation error, %", "val_error"),
    Column("params", "params"),
    Column("MACs", "macs"),
)
_COMPARED = "Test error of every variant, in percent"


def build_design_tables(report: Report) -> list[Table]:
    """The comparison, laid out as the design asks, and what else it needs."""
    kind: str = report.study.design.kind
    if kind == "one_factor_at_a_time":
        return [_blocks(report)]
    if kind == "leave_one_out":
        return [_parts(report)]
    if kind == "cumulative":
        return [_road(report)]
    if kind == "factorial":
        found = compute_effects(report)
        return [_plain(report), _levels(found), _effects(found), *([_variance(found)] if found.sources else [])]
    if kind == "search":
        return [_plain(report), _front(report), _history(report)]
    return [_plain(report)]


def find_pareto_variants(
    rows: Sequence[VariantRow], cost: str = "macs", metric: str = PRIMARY_METRIC
) -> list[VariantRow]:
    """The rows that no other row beats on both the metric and the cost, from the cheapest on: the Pareto front."""
    known = [
        (row.costs[cost], found.mean, row)
        for row in rows
        if cost in row.costs and not row.stalled and (found := _metric(row, metric))
    ]
    best: list[tuple[float, VariantRow]] = []
    for _, mean, row in sorted(known, key=lambda one: one[:2]):
        if not best or mean < best[-1][0]:
            best.append((mean, row))
    return [row for _, row in best]


def _metric(row: VariantRow, metric: str) -> MetricSummary | None:
    if metric == PRIMARY_METRIC:
        return row.error if row.n else None
    return row.metrics.get(metric)


def _plain(report: Report) -> Table:
    return build_comparison_table(report, "comparison", _COMPARED, [(None, report.rows)])


def _blocks(report: Report) -> Table:
    """A block for every factor; a variant of no factor stands beside the base."""
    factors = list(dict.fromkeys(factor for row in report.rows for factor in row.variant.levels))
    loose = [row for row in report.rows if row.is_base or not row.variant.levels]
    blocks: list[tuple[str | None, list[VariantRow]]] = [(None, loose)]
    for factor in factors:
        rows = [row for row in report.rows if factor in row.variant.levels and not row.is_base]
        at_base = report.base.variant.levels.get(factor)
        blocks.append((f"{factor} (base: {at_base})" if at_base else factor, rows))
    return build_comparison_table(report, "comparison", _COMPARED + ", one factor at a time", blocks)


def _parts(report: Report) -> Table:
    """Without one part each: what costs most to leave out comes first."""
    parts = [row for row in report.rows if "without" in row.variant.levels]
    ordered = sorted(parts, key=lambda row: (isnan(row.to_base.mean), -row.to_base.mean))
    others = [row for row in report.rows if "without" not in row.variant.levels]
    titles = {row.name: f"{numbers.DASH} {row.variant.levels['without']}" for row in parts}
    caption = _COMPARED + ", with one part left out; sorted by effect"
    return build_comparison_table(report, "comparison", caption, [(None, [*others, *ordered])], titles=titles)


def _road(report: Report) -> Table:
    """Step by step from the base: what each step adds to the one before."""
    steps = [row for row in report.rows if row.is_base or "step" in row.variant.levels]
    others = [row for row in report.rows if row not in steps]
    seeds = collect_by_seed(report.frame, PRIMARY_METRIC)
    extra: dict[str, TableCell] = {row.name: TextCell(numbers.DASH) for row in [report.base, *others]}
    for before, row in pairwise(steps):
        extra[row.name] = build_difference_cell(
            compute_paired_difference(seeds.get(row.name, {}), seeds.get(before.name, {}))
        )
    titles = {row.name: f"+ {row.variant.levels['step']}" for row in steps if not row.is_base}
    column = Column("Δ to the step before, pp [95 %]", "step")
    blocks: list[tuple[str | None, list[VariantRow]]] = [(None, [*steps])]
    if others:
        blocks.append(("beside the road", others))
    caption = _COMPARED + ", step by step; every step keeps those before it"
    return build_comparison_table(report, "comparison", caption, blocks, titles=titles, extra=(column, extra))


def _levels(found: FactorialEffects) -> Table:
    columns = (
        Column("factor", "factor", "left"),
        Column("level", "level", "left"),
        Column("test error, %", PRIMARY_METRIC),
    )
    lines = []
    for (factor, level), values in found.means.items():
        sd = _sd(values)
        mean = sum(values) / len(values) if values else nan
        lines.append(Line((TextCell(factor), TextCell(level), MeanCell(mean, sd, len(values)))))
    notes = [f"Means over all variants at the level, then over {len(found.seeds)} seeds; ± is the sd over seeds."]
    return Table("levels", "Test error by level of each factor", columns, tuple(lines), tuple(notes))


def _effects(found: FactorialEffects) -> Table:
    columns = (
        Column("effect", "effect", "left"),
        Column("Δ test error, pp [95 %]", "difference"),
        Column("n", "n"),
        Column("p", "p"),
        Column("q", "q"),
    )
    lines: list[Line] = []
    for heading, group in (("main effects", found.main), ("interactions", found.interactions)):
        lines.append(Line((TextCell(heading),), "block"))
        lines += [_effect(effect) for effect in group]
    notes = (
        "Contrasts per seed over the seeds that every variant has finished; negative is less error.",
        "q: Holm's p over the effects of the same kind. Bold: q ≤ 0.05.",
    )
    return Table("effects", "Main effects and interactions on the test error", columns, tuple(lines), notes)


def _effect(effect: Effect) -> Line:
    d = effect.difference
    cells = (
        TextCell(effect.label),
        DifferenceCell(d.mean, d.sd, d.n, d.low, d.high),
        CountCell(d.n),
        QuantityCell(effect.p, "p"),
        QuantityCell(effect.q, "p"),
    )
    return Line(cells, "", frozenset({1}) if effect.q <= 0.05 and d.n >= 3 else frozenset())


def _variance(found: FactorialEffects) -> Table:
    columns = (
        Column("source", "source", "left"),
        Column("df", "df"),
        Column("sum of squares", "sum_of_squares"),
        Column("F", "f"),
        Column("p", "p"),
        Column("ω²", "omega_squared"),
    )
    lines = tuple(_source(source) for source in found.sources)
    notes = (
        f"Over {len(found.seeds)} seeds, the seed as a block; the rest is what seed and factors do together.",
        "ω²: the share of the variance of the test error that the source explains.",
    )
    return Table("variance", "Analysis of variance of the test error (percent)", columns, lines, notes)


def _source(source: AnovaRow) -> Line:
    return Line(
        (
            TextCell(source.name),
            CountCell(source.dof),
            QuantityCell(source.sum_of_squares, "fixed"),
            QuantityCell(source.f, "fixed"),
            QuantityCell(source.p, "p"),
            QuantityCell(source.omega_squared, "percentage"),
        )
    )


def _front(report: Report) -> Table:
    """The proposals that nothing else beats on both validation error and MACs."""
    best = find_pareto_variants(report.proposed, metric="val_error")
    caption = "What nothing else that was proposed beats on both validation error and MACs"
    notes = (
        "The best of many is better by chance too: claims are about the winners, trained again on the study's seeds.",
    )
    return Table("front", caption, _PROPOSED, tuple(_proposal(row) for row in best), notes)


def _history(report: Report) -> Table:
    """The proposals, the best first; not more than a reader reads."""
    ended = sorted(report.proposed, key=lambda row: (bool(row.stalled), _validation(row).mean, row.name))
    shown = [row for row in ended if _validation(row).n] + [row for row in ended if not _validation(row).n]
    notes = [f"{len(report.proposed)} variants were proposed; runs.csv has all of their runs."]
    lines = tuple(_proposal(row) for row in shown[:_MOST])
    return Table("history", f"The search: its best {len(lines)} proposals", _PROPOSED, lines, tuple(notes))


def _proposal(row: VariantRow) -> Line:
    validation = _validation(row)
    changes = ", ".join(f"{path.rsplit('.', 1)[-1]} {_level(value)}" for path, value in row.variant.changes.items())
    return Line(
        (
            TextCell(row.name),
            TextCell(changes or numbers.DASH),
            CountCell(validation.n),
            MeanCell(validation.mean, validation.sd, validation.n)
            if validation.n
            else TextCell(format_outcomes(row) or numbers.DASH),
            CountCell(row.costs.get("params")),
            CountCell(row.costs.get("macs")),
        )
    )


def _level(value: object) -> str:
    return numbers.format_compact(value, 4) if isinstance(value, float) else str(value)


def _validation(row: VariantRow) -> MetricSummary:
    return row.metrics.get("val_error", MetricSummary(0))


def _sd(values: Sequence[float]) -> float:
    if len(values) < 2:
        return nan
    mean = sum(values) / len(values)
    return float((sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5)

"""The table of pairwise decisions at every level of the horizons, compared with those at the last level."""

from __future__ import annotations

from vgg_ablate.analysis.stability import Crossing, PairDecisions, compare_levels
from vgg_ablate.analysis.summary import Report
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import QuantityCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.report.answer import format_level


def build_level_table(report: Report) -> Table | None:
    """Build the table; None for a study without two levels that finished every seed of two variants."""
    compared = compare_levels(report.study, report.frame)
    if not compared:
        return None
    columns = (
        Column("level", "left"),
        Column("pairs told apart"),
        Column("same order at the last"),
        Column("opposite order"),
        Column("rank correlation"),
    )
    rows = tuple(TableRow(_build_cells(report, decisions)) for decisions in compared)
    last = format_level(report, report.study.horizon_levels[-1])
    notes = (
        "Told apart: pairs of variants that paired t-tests separate at 5 %, Holm-corrected over all pairs. Same and "
        f"opposite order: those of them that are told apart at {last}, too. Rank correlation: Kendall's tau of the "
        f"mean test errors with those at {last}.",
        *describe_crossings(report),
    )
    return Table("horizons", f"What a shorter training shows of {last}", columns, rows, notes)


def describe_crossings(report: Report) -> list[str]:
    """Return a sentence per claim whose effect changes its sign between two levels."""
    return [
        f"{effects.verdict.claim.id}: the difference changes its sign at "
        f"{format_level(report, round(effects.crossing.level, 1))} "
        f"[{_format_set(effects.crossing, min(effects.differences), max(effects.differences))}]."
        for effects in report.claim_effects
        if effects.crossing
    ]


def _build_cells(report: Report, decisions: PairDecisions) -> tuple[TextCell | QuantityCell, ...]:
    return (
        TextCell(format_level(report, decisions.level)),
        TextCell(f"{decisions.decided} of {decisions.pairs}"),
        TextCell(_format_share(decisions.held, decisions.decided)),
        TextCell(_format_share(decisions.reversed, decisions.decided)),
        QuantityCell(decisions.correlation, "plain"),
    )


def _format_share(count: int, total: int) -> str:
    return f"{count} of {total}" if total else numbers.DASH


def _format_set(crossing: Crossing, lowest: float, highest: float) -> str:
    """Format a confidence set; an end at the lowest or highest level may lie beyond it."""
    low, high = (numbers.format_compact(round(end, 1)) for end in (crossing.low, crossing.high))
    low = f"≤ {low}" if crossing.low <= lowest else low
    high = f"≥ {high}" if crossing.high >= highest else high
    return f"{low}, {high}"

"""The first table of a report: one row per claim: both errors, their difference with its interval, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Literal

import pandas as pd

from vgg_ablate.analysis.metrics import get_claim_unit, get_metric, get_shown_metric
from vgg_ablate.analysis.pairs import compute_shown_difference, compute_sides
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.variant_rows import MetricSummary
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import DifferenceCell, SideCell, TableCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.formatting.text import count_noun
from vgg_ablate.report import wording
from vgg_ablate.report.answer import format_level

_MOST_DECIMALS = 9
_MAIN_METRIC = "test_error"  # named once, in the caption


def select_shown_verdicts(report: Report) -> tuple[Verdict, ...]:
    """Return the verdicts that the first table and the forest plot show: those of `report.claims`, or all."""
    chosen = report.study.report.claims
    if not chosen:
        return report.shown_verdicts
    by_id = {verdict.claim.id: verdict for verdict in report.shown_verdicts}
    return tuple(by_id[name] for name in chosen if name in by_id)


def build_claims_table(report: Report) -> Table | None:
    """Build the table of claims; None for a study without claims."""
    verdicts = select_shown_verdicts(report)
    if not verdicts:
        return None
    return build_verdict_table(verdicts, report.frame, _build_caption(report), _list_notes(verdicts, report))


def build_verdict_table(
    verdicts: Sequence[Verdict],
    frame: pd.DataFrame,
    caption: str,
    notes: Sequence[str],
    *,
    metric: str = _MAIN_METRIC,
    unit: str = "points",
) -> Table:
    """Build the table of these verdicts; `frame` has one row per run.

    `metric` is the one that the caption names, and `unit` that of its differences; rows of other metrics name theirs.
    """
    columns = (
        Column("claim", "left"),
        Column("a", wraps=True),
        Column("b", wraps=True),
        Column(f"a − b{f', {unit}' if unit else ''} [95 %]"),
        Column("verdict", "left"),
    )
    rows = tuple(_build_row(verdict, frame, metric) for verdict in verdicts)
    return Table("claims", caption, columns, rows, tuple(notes))


def _build_caption(report: Report) -> str:
    if not report.is_recorded:
        return "Claims, not run yet"
    if report.level is None:
        return "Claims: test errors of both sides in percent"
    at_level = f"Claims at {format_level(report, report.level)}: test errors of both sides in percent"
    return at_level if report.is_last_level else f"{at_level}; {_format_last_level(report)} decide and are not run yet"


def _format_last_level(report: Report) -> str:
    return format_level(report, report.study.horizon_levels[-1])


def _list_notes(verdicts: Sequence[Verdict], report: Report) -> list[str]:
    notes = ["a − b is paired by seed; negative: a has less error. "]
    claims = [verdict.claim for verdict in verdicts if verdict.claim.smallest_effect]
    if sizes := sorted({(claim.smallest_effect or 0.0, get_claim_unit(claim)) for claim in claims}):
        listed = " or ".join(count_noun(numbers.format_compact(size), unit) for size, unit in sizes)
        notes[0] += f"No difference: the interval, corrected for all claims, lies within {listed}. "
    notes[0] = f"{notes[0]}Supported and refuted: at 5 %, with Holm's correction."
    if which := wording.describe_shown_interval(verdicts):
        notes.append(which)
    if len(report.study.looks) > 1:
        looks = ", ".join(str(look) for look in report.study.looks)
        notes.append(f"Looks after {looks} seeds share the 5 %; an interval has the level of the look that it is from.")
    if any(verdict.is_stable is False for verdict in verdicts):
        notes.append("Moving: the two longest horizons disagree.")
    if omitted := len(report.shown_verdicts) - len(verdicts):
        rest = "1 more claim was judged; its" if omitted == 1 else f"{omitted} more claims were judged; their"
        notes.append(f"{rest} numbers are below.")
    return notes


def _build_row(verdict: Verdict, frame: pd.DataFrame, main_metric: str) -> TableRow:
    cells: tuple[TableCell, ...] = (
        TextCell(_describe_claim(verdict, main_metric), f"#claim-{verdict.claim.id}"),
        *_build_side_cells(verdict, frame),
        build_claim_difference_cell(verdict),
        TextCell(_format_word(verdict)),
    )
    return TableRow(cells, bold=frozenset() if verdict.verdict == "inconclusive" else frozenset({4}))


def _describe_claim(verdict: Verdict, main_metric: str) -> str:
    """Return the claim's text, with what is compared where that is not the main metric."""
    metric, unit = get_shown_metric(verdict.claim.metric), get_claim_unit(verdict.claim)
    noun, per = get_metric(metric).noun, unit.removeprefix("points").strip()
    if metric == main_metric and " per " not in f" {per}":
        return verdict.claim.text
    # "(test error per layer)", "(validation error)", "(params)", "(training seconds, s)"
    what = f"{noun} {per}" if per.startswith("per ") else ", ".join(part for part in (noun, per) if part)
    return f"{verdict.claim.text} ({what})"


def _build_side_cells(verdict: Verdict, frame: pd.DataFrame) -> tuple[TableCell, TableCell]:
    claim = verdict.claim
    if claim.trend is not None:
        return TextCell(numbers.DASH), TextCell(numbers.DASH)
    a, b = wording.describe_side(claim.a), wording.describe_side(claim.b)
    if verdict.counts is not None:
        trained_a, runs_a, trained_b, runs_b = verdict.counts
        return TextCell(f"{a} {trained_a}/{runs_a}"), TextCell(f"{b} {trained_b}/{runs_b}")
    how: Literal["count", "mean"] = "count" if verdict.is_exact else "mean"
    sides = compute_sides(verdict, frame) or (MetricSummary(0), MetricSummary(0))
    # Errors in percent have two decimals at most; other metrics, of any size, as many as their spread allows.
    most = numbers.DEFAULT_DECIMALS if get_metric(claim.metric).scale != 1 else _MOST_DECIMALS
    cells = [SideCell(name, side.mean, side.sd, side.n, how, most) for name, side in zip((a, b), sides, strict=True)]
    return cells[0], cells[1]


def build_claim_difference_cell(verdict: Verdict) -> TableCell:
    """Return the cell of the difference a - b with its interval, in the unit of the claim."""
    difference = compute_shown_difference(verdict)
    if isnan(difference.mean):
        return TextCell(numbers.DASH)
    if verdict.is_exact:
        return TextCell(numbers.format_count(difference.mean, signed=True))
    return DifferenceCell(difference.mean, verdict.sd, verdict.n, difference.low, difference.high)


def _format_word(verdict: Verdict) -> str:
    if not verdict.is_complete and not verdict.n:
        return "not run yet"
    word = wording.format_verdict(verdict)
    return f"{word}, moving" if verdict.is_stable is False else word

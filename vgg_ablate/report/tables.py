"""The tables that every report has: the comparison of variants, and claims with their verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Literal

from vgg_ablate.analysis.detectable import DetectableEffect
from vgg_ablate.analysis.metrics import EXACT_METRICS, METRICS, TIMED_METRICS, get_claim_unit, get_unit
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.variant_rows import PairedDifference, VariantRow
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.table import (
    Column,
    CountCell,
    DifferenceCell,
    MeanCell,
    QuantityCell,
    RangeCell,
    Table,
    TableCell,
    TableRow,
    TextCell,
)
from vgg_ablate.report import wording

_ERROR_COLUMN = 2  # index of the test error among the comparison's columns
# Metrics that the comparison always shows, or that do not vary with the seed.
_SHOWN_METRICS = frozenset({"trained", "test_error", "test_accuracy", "params", "macs", "images_per_second"})


def build_comparison_table(
    report: Report,
    name: str,
    caption: str,
    blocks: Sequence[tuple[str | None, Sequence[VariantRow]]],
    *,
    titles: Mapping[str, str] | None = None,
    extra: tuple[Column, Mapping[str, TableCell]] | None = None,
) -> Table:
    """Build a table with one row per variant: n, test error, difference to the base, costs and speed.

    `blocks` are pairs of a heading, or None, and the rows below it. `titles` replace the names of variants. `extra` is
    one more column, with a cell per variant, after the difference to the base.
    """
    metrics = [
        metric
        for metric in _list_claimed_metrics(report)
        if any(metric in row.metrics or metric in row.times for row in report.rows)
    ]
    columns = (
        Column("variant", "variant", "left"),
        Column("n", "n"),
        Column("test error, %", "test_error"),
        Column(f"Δ to {report.base.name}, pp [95 %]", "difference"),
        *((extra[0],) if extra else ()),
        *(Column(_format_heading(metric), metric) for metric in metrics),
        Column("params", "params"),
        Column("MACs", "macs"),
        Column("images/s", "images_per_second"),
    )
    rows: list[TableRow] = []
    for heading, variants in blocks:
        if heading is not None:
            rows.append(TableRow((TextCell(heading),), "block"))
        for row in variants:
            title = (titles or {}).get(row.name, row.name)
            rows.append(_build_variant_row(row, title, metrics, extra[1][row.name] if extra else None))
    return Table(name, caption, columns, tuple(rows), _list_notes(report))


def build_verdict_table(report: Report) -> Table:
    """Build a table with one row per claim."""
    columns = (
        Column("claim", "claim", "left"),
        Column("verdict", "verdict", "left"),
        Column("hypothesis", "hypothesis", "left"),
        Column("gain [95 %]", "gain", "right"),
        Column("n", "n"),
        Column("q", "q"),
        Column("P(as claimed)", "probability"),
        Column("wins", "wins"),
        Column("detectable", "detectable"),
        Column("seeds to decide", "seeds_to_decide"),
    )
    notes = [
        "Gains are paired by seed and positive where the first side is better; pp: percentage points.",
        "q: Holm's p over the claims on one metric; supported or refuted at q ≤ 0.05 with at least 3 seeds.",
        "Detectable: the smallest difference that has 80 % power at this spread, before Holm's correction.",
    ]
    if len(report.study.looks) > 1:
        looks = ", ".join(str(look) for look in report.study.looks)
        notes.append(
            f"Looks after {looks} seeds: they share the error rate of 5 %, and intervals are widened accordingly."
        )
    rows = tuple(_build_verdict_row(verdict) for verdict in report.verdicts)
    return Table("verdicts", "Claims and verdicts", columns, rows, tuple(notes))


def build_difference_cell(difference: PairedDifference) -> TableCell:
    """Build the cell of a difference: a dash if no seed has both values."""
    if not difference.n:
        return TextCell(numbers.DASH)
    return DifferenceCell(difference.mean, difference.sd, difference.n, difference.low, difference.high)


def format_outcomes(row: VariantRow) -> str:
    """Format the counts of runs that means leave out, such as `stalled 3/5, diverged 2/5`; empty if there are none."""
    counts = {**row.outcomes, "stalled": len(row.stalled)}
    return ", ".join(_format_outcome(row, name, count) for name, count in sorted(counts.items()) if count)


def _format_outcome(row: VariantRow, outcome: str, count: int) -> str:
    return f"{outcome.replace('_', ' ')} {count}/{row.planned}"


def _list_claimed_metrics(report: Report) -> list[str]:
    """Return the metrics that claims are about and that have no column of their own."""
    claimed = dict.fromkeys(claim.metric for claim in report.study.claims)
    return [metric for metric in claimed if metric not in _SHOWN_METRICS]


def _format_heading(metric: str) -> str:
    # The values of a metric are in percent, and only their differences in percentage points.
    shown = {"pp": "%"}.get(get_unit(metric), get_unit(metric))
    # A duration has its unit in the cell: it can be seconds, minutes or hours.
    return f"{METRICS[metric].noun}, {shown}" if shown and metric != "train_seconds" else METRICS[metric].noun


def _build_variant_row(row: VariantRow, title: str, metrics: Sequence[str], extra: TableCell | None) -> TableRow:
    unfinished = ", ".join(_format_outcome(row, name, count) for name, count in sorted(row.outcomes.items()))
    state = ", ".join(part for part in (unfinished, row.training_state) if part)
    error: TableCell = TextCell(format_outcomes(row) or numbers.DASH)
    if row.n:
        error = MeanCell(row.error.mean, row.error.sd, row.error.n)
    cells: tuple[TableCell, ...] = (
        TextCell(f"{title} ({state})" if state else title, f"#runs-{row.name}"),
        CountCell(row.n),
        error,
        TextCell("base") if row.is_base else build_difference_cell(row.to_base),
        *(() if extra is None else (extra,)),
        *(_build_metric_cell(row, metric) for metric in metrics),
        CountCell(row.costs.get("params")),
        CountCell(row.costs.get("macs")),
        _build_time_cell(row, "images_per_second"),
    )
    bold = frozenset({_ERROR_COLUMN}) if row.best else frozenset[int]()
    return TableRow(cells, "base" if row.is_base else "", bold)


def _build_time_cell(row: VariantRow, metric: str) -> TableCell:
    times = row.times.get(metric)
    how: Literal["rate", "seconds"] = "rate" if metric == "images_per_second" else "seconds"
    return RangeCell(times.median, times.low, times.high, how) if times else RangeCell(nan, nan, nan, how)


def _build_metric_cell(row: VariantRow, metric: str) -> TableCell:
    if metric in TIMED_METRICS:
        return _build_time_cell(row, metric)
    summary = row.metrics.get(metric)
    return MeanCell(summary.mean, summary.sd, summary.n) if summary else TextCell(numbers.DASH)


def _list_notes(report: Report) -> tuple[str, ...]:
    devices = sorted({device for row in report.rows for device in row.devices if device})
    sd_note = "± is the standard deviation over seeds, not the standard error of the mean."
    notes = [f"n: seeds that finished. {sd_note}"]
    if any(row.stalled for row in report.rows):
        notes = [
            "n: seeds that finished above chance level; means leave out the others, and a variant with a stalled run "
            f"is never in bold. {sd_note}"
        ]
    notes.append(f"Δ: minus {report.base.name}, paired by seed, with Student's 95 % interval; negative is better.")
    if any(row.best for row in report.rows):
        notes.append("Bold: the lowest mean and all means that paired t-tests (Holm, 5 %) do not distinguish from it.")
    notes += [
        f"MACs: multiply-accumulates of convolutions and dense layers for one example{_describe_audit(report)}",
        f"images/s: in training, median and range of undisturbed runs, on {', '.join(devices) or 'an unknown device'}.",
    ]
    if disturbed := sum(row.disturbed for row in report.rows):
        finished = int((report.frame["outcome"] == "finished").sum())
        notes.append(
            f"Disturbed: {disturbed} of {finished} runs took more than 1.2 times their CPU time, or their CPU time was "
            "not recorded; their images/s and seconds are left out."
        )
    if len(devices) > 1:
        notes.append("Runs were trained on several devices: their images/s and seconds cannot be compared.")
    return tuple(notes)


def _describe_audit(report: Report) -> str:
    """Describe how MACs were counted: validation rejects records in which closed form and fvcore differ."""
    finished = report.frame[report.frame["outcome"] == "finished"]
    if len(finished) and bool(finished[["params_audited", "macs_audited"]].notna().all(axis=None)):
        return ", equal by closed form and fvcore."
    return ", by closed form; not every record has fvcore's count."


def _build_verdict_row(verdict: Verdict) -> TableRow:
    has_statistics = verdict.n >= 2 and not verdict.exact
    cells: tuple[TableCell, ...] = (
        TextCell(verdict.claim.id, f"#claim-{verdict.claim.id}"),
        TextCell(verdict.verdict),
        TextCell(wording.describe_hypothesis(verdict.claim)),
        TextCell(wording.format_estimate(verdict)),
        TextCell("exact") if verdict.exact else CountCell(verdict.n),
        QuantityCell(verdict.q, "p"),
        QuantityCell(verdict.probability if has_statistics else nan, "percentage"),
        TextCell(f"{verdict.wins}/{verdict.n}" if has_statistics else numbers.DASH),
        QuantityCell(verdict.detectable if has_statistics else nan, "fixed"),
        TextCell(wording.format_seeds_needed(verdict)),
    )
    return TableRow(cells, bold=frozenset() if verdict.verdict == "inconclusive" else frozenset({1}))


def build_detectable_table(effects: Sequence[DetectableEffect]) -> Table:
    """Build the table of the smallest difference that each claim can detect, one row per claim."""
    columns = (
        Column("claim", "claim", "left"),
        Column("metric", "metric", "left"),
        Column("seeds", "seeds"),
        Column("detectable", "detectable"),
        Column("sd", "sd"),
        Column("where the sd comes from", "source", "left"),
    )
    rows = tuple(_build_detectable_row(effect) for effect in effects)
    note = (
        "With 80 % power, at the level of the claim's interval, before Holm's correction; "
        "sd: of the claim's difference between seeds."
    )
    return Table("foresight", "The smallest effect that each claim can detect", columns, rows, (note,))


def _build_detectable_row(effect: DetectableEffect) -> TableRow:
    metric, detectable = effect.claim.metric, effect.detectable
    exact, claim_unit = metric in EXACT_METRICS, get_claim_unit(effect.claim)
    shown = numbers.DASH if detectable is None else f"{numbers.format_compact(detectable)} {claim_unit}"
    return TableRow(
        (
            TextCell(effect.claim.id),
            TextCell(METRICS[metric].noun),
            CountCell(effect.seeds),
            TextCell("any" if exact else shown),
            QuantityCell(nan if effect.sd is None or exact else effect.sd, "plain"),
            TextCell(effect.source),
        )
    )

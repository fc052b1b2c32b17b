"""The tables of a report: variants beside each other, and claims with their verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Literal

from vgg_ablate.analysis.detectable import DetectableEffect
from vgg_ablate.analysis.metrics import EXACT_METRICS, NOUNS, TIMED_METRICS, unit, unit_of
from vgg_ablate.analysis.summary import PairedDifference, Report, VariantRow
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
from vgg_ablate.formatting.table import TableRow as Line
from vgg_ablate.report import wording

_ERROR = 2  # the index of the test error among the comparison's columns


def build_comparison_table(
    report: Report,
    name: str,
    caption: str,
    blocks: Sequence[tuple[str | None, Sequence[VariantRow]]],
    *,
    titles: Mapping[str, str] | None = None,
    extra: tuple[Column, Mapping[str, TableCell]] | None = None,
) -> Table:
    """One row a variant: n, test error, difference to the base, costs, speed; in blocks that may have a heading.

    `titles` are shown for variants' names; `extra` is one more column after the difference to the base.
    """
    others = [
        metric for metric in _claimed(report) if any(metric in {**row.metrics, **row.times} for row in report.rows)
    ]
    columns = (
        Column("variant", "variant", "left"),
        Column("n", "n"),
        Column("test error, %", "test_error"),
        Column(f"Δ to {report.base.name}, pp [95 %]", "difference"),
        *((extra[0],) if extra else ()),
        *(Column(_heading(metric), metric) for metric in others),
        Column("params", "params"),
        Column("MACs", "macs"),
        Column("images/s", "images_per_second"),
    )
    lines: list[Line] = []
    for heading, rows in blocks:
        if heading is not None:
            lines.append(Line((TextCell(heading),), "block"))
        for row in rows:
            title = (titles or {}).get(row.name, row.name)
            lines.append(_line(row, title, others, extra[1][row.name] if extra else None))
    return Table(name, caption, columns, tuple(lines), _notes(report))


def build_verdict_table(report: Report) -> Table:
    """One row a claim."""
    columns = (
        Column("claim", "claim", "left"),
        Column("verdict", "verdict", "left"),
        Column("hypothesis", "hypothesis", "left"),
        Column("gain [95 %]", "gain", "right"),
        Column("n", "n"),
        Column("q", "q"),
        Column("P(as claimed)", "probability"),
        Column("wins", "wins"),
        Column("could see", "detectable"),
        Column("seeds to decide", "seeds_to_decide"),
    )
    notes = [
        "Gains are paired by seed and positive where the first side is better; pp: percentage points.",
        "q: Holm's p over the claims on one metric; supported or refuted at q ≤ 0.05 with at least 3 seeds.",
        "Could see: the difference found with 80 % power at this spread, before Holm.",
    ]
    if len(report.study.looks) > 1:
        steps = ", ".join(str(look) for look in report.study.looks)
        notes.append(f"Looked at after {steps} seeds; the 5 % are spent over the looks, and intervals widened for it.")
    lines = tuple(_claim(verdict) for verdict in report.verdicts)
    return Table("verdicts", "Claims and verdicts", columns, lines, tuple(notes))


def build_difference_cell(found: PairedDifference) -> TableCell:
    """A cell for a difference; a dash where there is none."""
    return DifferenceCell(found.mean, found.sd, found.n, found.low, found.high) if found.n else TextCell(numbers.DASH)


def _claimed(report: Report) -> list[str]:
    """Stochastic metrics that a claim is about and that have no column yet."""
    shown = {"trained", "test_error", "test_accuracy", "params", "macs", "images_per_second"}
    return [m for m in dict.fromkeys(claim.metric for claim in report.study.claims) if m not in shown]


def _heading(metric: str) -> str:
    shown = {"pp": "%"}.get(unit(metric), unit(metric))
    return f"{NOUNS[metric]}, {shown}" if shown and metric != "train_seconds" else NOUNS[metric]


def _line(row: VariantRow, title: str, others: Sequence[str], extra: TableCell | None) -> Line:
    error: TableCell = MeanCell(row.error.mean, row.error.sd, row.error.n)
    ended = ", ".join(f"{name.replace('_', ' ')} {count}/{row.planned}" for name, count in sorted(row.outcomes.items()))
    state = ", ".join(words for words in (ended, row.training_state) if words)
    cells: tuple[TableCell, ...] = (
        TextCell(f"{title} ({state})" if state else title, f"#runs-{row.name}"),
        CountCell(row.n),
        error if row.n else TextCell(format_outcomes(row) or numbers.DASH),
        TextCell("base") if row.is_base else build_difference_cell(row.to_base),
        *(() if extra is None else (extra,)),
        *(_other(row, metric) for metric in others),
        CountCell(row.costs.get("params")),
        CountCell(row.costs.get("macs")),
        _time(row, "images_per_second"),
    )
    return Line(cells, "base" if row.is_base else "", frozenset({_ERROR}) if row.best else frozenset())


def format_outcomes(row: VariantRow) -> str:
    """`stalled 3/5, diverged 2/5`: what became of the runs that no mean has; empty where there are none."""
    counts = {**row.outcomes, "stalled": len(row.stalled)}
    told = (f"{name.replace('_', ' ')} {count}/{row.planned}" for name, count in sorted(counts.items()) if count)
    return ", ".join(told)


def _time(row: VariantRow, metric: str) -> TableCell:
    found = row.times.get(metric)
    how: Literal["rate", "seconds"] = "rate" if metric == "images_per_second" else "seconds"
    return RangeCell(found.median, found.low, found.high, how) if found else RangeCell(nan, nan, nan, how)


def _other(row: VariantRow, metric: str) -> TableCell:
    if metric in TIMED_METRICS:
        return _time(row, metric)
    found = row.metrics.get(metric)
    return MeanCell(found.mean, found.sd, found.n) if found else TextCell(numbers.DASH)


def _notes(report: Report) -> tuple[str, ...]:
    devices = sorted({device for row in report.rows for device in row.devices if device})
    notes = [
        "n: seeds that finished. ± is the standard deviation over seeds, not an error of the mean.",
        f"Δ: minus {report.base.name}, paired by seed, with Student's 95 % interval; negative is better.",
        "MACs: multiply-accumulates of convolutions and dense layers for one example" + _counted_twice(report),
        f"images/s: in training, median and range of undisturbed runs, on {', '.join(devices) or 'an unknown device'}.",
    ]
    if any(row.stalled for row in report.rows):
        notes[0] = (
            "n: seeds that finished above chance level; means leave the others out, and a variant with one is never in "
            "bold. ± is the standard deviation over seeds, not an error of the mean."
        )
    if count := sum(row.disturbed for row in report.rows):
        finished = int((report.frame["outcome"] == "finished").sum())
        notes.append(
            f"Disturbed: {count} of {finished} runs took more than 1.2 times their CPU time, or it was not recorded; "
            "their images/s and seconds are left out."
        )
    if any(row.best for row in report.rows):
        notes.insert(2, "Bold: the lowest mean and all that paired t-tests (Holm, 5 %) cannot tell from it.")
    if len(devices) > 1:
        notes.append("Runs were made on several devices: their images/s and seconds cannot be compared.")
    return tuple(notes)


def _counted_twice(report: Report) -> str:
    """Records in which the two counts differ are damaged; in the others they agree, where both are there."""
    finished = report.frame[report.frame["outcome"] == "finished"]
    if len(finished) and bool(finished[["params_audited", "macs_audited"]].notna().all(axis=None)):
        return ", equal by closed form and fvcore."
    return ", by closed form; not every record has fvcore's count."


def _claim(verdict: Verdict) -> Line:
    known = verdict.n >= 2 and not verdict.exact
    cells: tuple[TableCell, ...] = (
        TextCell(verdict.claim.id, f"#claim-{verdict.claim.id}"),
        TextCell(verdict.verdict),
        TextCell(wording.describe_hypothesis(verdict.claim)),
        TextCell(wording.format_estimate(verdict)),
        TextCell("exact") if verdict.exact else CountCell(verdict.n),
        QuantityCell(verdict.q, "p"),
        QuantityCell(verdict.probability if known else nan, "percentage"),
        TextCell(f"{verdict.wins}/{verdict.n}" if known else numbers.DASH),
        QuantityCell(verdict.detectable if known else nan, "fixed"),
        TextCell(wording.format_seeds_needed(verdict)),
    )
    return Line(cells, "", frozenset() if verdict.verdict == "inconclusive" else frozenset({1}))


def build_detectable_table(effects: Sequence[DetectableEffect]) -> Table:
    """Build the table of the smallest difference that each claim can detect, one row per claim."""
    columns = (
        Column("claim", "claim", "left"),
        Column("metric", "metric", "left"),
        Column("seeds", "seeds"),
        Column("could see", "detectable"),
        Column("sd", "sd"),
        Column("where the sd comes from", "source", "left"),
    )
    rows = tuple(_build_detectable_row(effect) for effect in effects)
    note = (
        "With 80 % power, at the level of the claim's interval, before Holm's correction; "
        "sd: of the claim's difference between seeds."
    )
    return Table("foresight", "The smallest effect that each claim could see", columns, rows, (note,))


def _build_detectable_row(effect: DetectableEffect) -> TableRow:
    metric, detectable = effect.claim.metric, effect.detectable
    exact, claim_unit = metric in EXACT_METRICS, unit_of(effect.claim)
    shown = numbers.DASH if detectable is None else f"{numbers.format_compact(detectable)} {claim_unit}"
    return TableRow(
        (
            TextCell(effect.claim.id),
            TextCell(NOUNS[metric]),
            CountCell(effect.seeds),
            TextCell("any" if exact else shown),
            QuantityCell(nan if effect.sd is None or exact else effect.sd, "plain"),
            TextCell(effect.source),
        )
    )

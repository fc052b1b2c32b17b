"""A judgement as tables, sentences and JSON."""

from __future__ import annotations

import json
from math import isnan

from vgg_ablate.analysis.metrics import collect_by_seed, get_metric
from vgg_ablate.analysis.pairs import compute_sides
from vgg_ablate.analysis.variant_rows import MetricSummary, summarize_values
from vgg_ablate.external.judging import Judgement
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import CountCell, MeanCell, TableCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.formatting.text import count_noun
from vgg_ablate.report import wording
from vgg_ablate.report.answer import describe_verdicts
from vgg_ablate.report.claims_table import build_verdict_table
from vgg_ablate.report.write import serialize_verdict


def describe_judgement(judgement: Judgement) -> str:
    """Describe the verdicts in one sentence."""
    with judgement.use_metrics():
        return describe_verdicts(judgement.verdicts, judgement.frame)


def build_tables(judgement: Judgement) -> list[Table]:
    """Return the table of claims and that of the compared variants."""
    with judgement.use_metrics():
        return [_build_claims_table(judgement), _build_variants_table(judgement)]


def _build_claims_table(judgement: Judgement) -> Table:
    metrics = judgement.claims_file.metrics
    main = next(iter(metrics))
    units = {metric.unit for metric in metrics.values()}
    unit = units.pop() if len(units) == 1 else ""
    better = "more" if metrics[main].higher_is_better else "less"
    notes = ["Supported and refuted: at 5 %, with Holm's correction over the claims on a metric."]
    if any(not verdict.method and not verdict.is_exact for verdict in judgement.verdicts):
        notes.insert(0, "a − b is paired by seed.")
    if counts := _list_pair_counts(judgement):
        notes.insert(1, f"Where a run has no partner, a and b include it and a − b does not: {', '.join(counts)}.")
    if any(verdict.claim.smallest_effect for verdict in judgement.verdicts):
        notes.append("No difference: the interval, corrected for all claims, lies within the smallest effect.")
    caption = f"Claims on {main}{f', {unit}' if unit else ''}: {better} is better" if len(metrics) == 1 else "Claims"
    shown = main if len(metrics) == 1 else ""
    return build_verdict_table(judgement.verdicts, judgement.frame, caption, [" ".join(notes)], metric=shown, unit=unit)


def _list_pair_counts(judgement: Judgement) -> list[str]:
    """Return the pairs of every paired claim of which a side has further runs, such as `dropout-helps has 5 pairs`."""
    counts = []
    for verdict in judgement.verdicts:
        sides = None if verdict.method or verdict.is_exact else compute_sides(verdict, judgement.frame)
        if sides is not None and any(side.n != verdict.n for side in sides):
            counts.append(f"{verdict.claim.id} has {count_noun(verdict.n, 'pairs')}")
    return counts


def _build_variants_table(judgement: Judgement) -> Table:
    names = list(dict.fromkeys(name for verdict in judgement.verdicts for name in verdict.weights))
    metrics = list(judgement.claims_file.metrics)
    values = {metric: collect_by_seed(judgement.frame, metric) for metric in metrics}
    counts = judgement.frame["variant"].value_counts()
    columns = (
        Column("variant", "left"),
        Column("runs"),
        *(Column(", ".join(filter(None, (metric, get_metric(metric).unit)))) for metric in metrics),
    )
    rows = []
    for name in names:
        summaries = [summarize_values(list(values[metric].get(name, {}).values())) for metric in metrics]
        cells = [_build_cell(metric, summary) for metric, summary in zip(metrics, summaries, strict=True)]
        rows.append(TableRow((TextCell(name), CountCell(int(counts.get(name, 0))), *cells)))
    notes = ("± is the standard deviation over runs (their number).",)
    return Table("variants", "The compared variants", columns, tuple(rows), notes)


def _build_cell(metric: str, summary: MetricSummary) -> TableCell:
    if get_metric(metric).is_exact and summary.n:
        return TextCell(numbers.format_compact(summary.mean))
    return MeanCell(summary.mean, summary.sd, summary.n, shows_n=True)


def explain_verdicts(judgement: Judgement) -> list[tuple[str, list[str]]]:
    """Return the id of every claim with the sentences on its verdict."""
    with judgement.use_metrics():
        return [(verdict.claim.id, wording.explain_verdict(verdict)) for verdict in judgement.verdicts]


def serialize_judgement(judgement: Judgement) -> str:
    """Return the judgement as one JSON document: question, answer, claims as in `report --json`, variants, notes."""
    with judgement.use_metrics():
        variants = []
        for metric in judgement.claims_file.metrics:
            for name, seeds in collect_by_seed(judgement.frame, metric).items():
                summary = summarize_values(list(seeds.values()))
                sd = None if isnan(summary.sd) else summary.sd
                variants.append({"name": name, "metric": metric, "n": summary.n, "mean": summary.mean, "sd": sd})
        document = {
            "question": judgement.claims_file.question,
            "answer": describe_verdicts(judgement.verdicts, judgement.frame),
            "source": judgement.source,
            "variants": variants,
            "claims": [serialize_verdict(verdict) for verdict in judgement.verdicts],
            "notes": list(judgement.notes),
        }
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)

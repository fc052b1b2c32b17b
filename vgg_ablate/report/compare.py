"""Comparison of two or more studies: the same variants with other data, another recipe or on another machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isnan, sqrt
from typing import Any

import numpy as np

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.variant_rows import PRIMARY_METRIC, PairedDifference, VariantRow
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import CountCell, MeanCell, TableCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.report import markdown, wording
from vgg_ablate.report.comparison import build_difference_cell


@dataclass(frozen=True)
class StudyComparison:
    """Several reports with the tables that compare them, and one sentence per difference in how they were run."""

    reports: tuple[Report, ...]
    tables: tuple[Table, ...]
    differences: tuple[str, ...]


def compare_reports(reports: Sequence[Report]) -> StudyComparison:
    """Compare reports by their common variants. Raises SpecError if they have none."""
    titles = _choose_titles(reports)
    common = _find_common_variants(reports)
    tables = [_build_variant_table(reports, titles, common)]
    if any(report.verdicts for report in reports):
        tables.append(_build_claim_table(reports, titles))
    return StudyComparison(tuple(reports), tuple(tables), tuple(_list_differences(reports, titles)))


def serialize_comparison(comparison: StudyComparison) -> str:
    """Return a comparison as a JSON document: means in percent, null if unknown."""
    reports = comparison.reports
    rows_by_variant = {name: _get_rows(reports, name) for name in _find_common_variants(reports)}
    document = {
        "studies": _choose_titles(reports),
        "variants": [
            {
                "name": name,
                "means": [None if isnan(row.error.mean) else row.error.mean for row in rows],
                "n": [row.n for row in rows],
            }
            for name, rows in rows_by_variant.items()
        ],
        "differences": list(comparison.differences),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def estimate_unpaired_difference(one: Sequence[float], other: Sequence[float]) -> PairedDifference:
    """Estimate the mean of `one` minus the mean of `other` with Welch's 95 % interval.

    `n` of the result is the smaller number of seeds, and `sd` is such that sd / sqrt(n) is Welch's standard error: with
    both, tables round the difference as they round paired ones.
    """
    n = min(len(one), len(other))
    if not n:
        return PairedDifference(0)
    if n < 2:
        return PairedDifference(n, float(np.mean(one) - np.mean(other)))
    estimate = stats.estimate_welch([one, other], [1, -1])
    low, high = estimate.interval()
    return PairedDifference(n, float(estimate.mean), float(estimate.se) * sqrt(n), float(low), float(high))


def _choose_titles(reports: Sequence[Report]) -> list[str]:
    """Return a distinct title per report: the study's name, the folder's name, or the folder's path."""
    names = [report.study.name for report in reports]
    if len(set(names)) < len(names):
        names = [report.folder.name for report in reports]
    return names if len(set(names)) == len(names) else [str(report.folder) for report in reports]


def _find_common_variants(reports: Sequence[Report]) -> list[str]:
    common = set.intersection(*({row.name for row in report.rows} for report in reports))
    if not common:
        rule = "no common variant; studies are compared by the variants that all of them have"
        raise SpecError(Problem(rule, location=" and ".join(str(report.folder) for report in reports)))
    return [row.name for row in reports[0].rows if row.name in common]


def _get_rows(reports: Sequence[Report], variant: str) -> list[VariantRow]:
    return [next(row for row in report.rows if row.name == variant) for report in reports]


def _build_variant_table(reports: Sequence[Report], titles: Sequence[str], common: Sequence[str]) -> Table:
    columns = [Column("variant", "variant", "left")]
    for title in titles:
        columns += [
            Column("n", f"{title}_n"),
            Column(f"{title}, %", title),
            Column("Δ to base, points [95 %]", f"{title}_diff"),
        ]
    if len(reports) == 2:
        columns.append(Column(f"{titles[1]} {numbers.MINUS} {titles[0]}, points [95 %]", "between"))
    errors = [collect_by_seed(report.frame, PRIMARY_METRIC) for report in reports]
    shared = [name for name in common if _share_records(reports, name)]
    rows = []
    for name in common:
        variant_rows = _get_rows(reports, name)
        cells: list[TableCell] = [TextCell(name), *chain.from_iterable(map(_build_study_cells, variant_rows))]
        if len(reports) == 2:
            first, second = (list(by_variant.get(name, {}).values()) for by_variant in errors)
            difference = build_difference_cell(estimate_unpaired_difference(second, first))
            cells.append(TextCell("same runs") if name in shared else difference)
        bold = frozenset(2 + 3 * index for index, row in enumerate(variant_rows) if row.best)
        rows.append(TableRow(tuple(cells), "base" if variant_rows[0].is_base else "", bold))
    notes = tuple(_list_notes(reports, common, shared))
    return Table("beside", "Test error, in percent", tuple(columns), tuple(rows), notes)


def _build_study_cells(row: VariantRow) -> list[TableCell]:
    difference = TextCell("base") if row.is_base else build_difference_cell(row.to_base)
    return [CountCell(row.n), MeanCell(row.error.mean, row.error.sd, row.n), difference]


def _list_notes(reports: Sequence[Report], common: Sequence[str], shared: Sequence[str]) -> Iterator[str]:
    yield (
        "n: seeds that finished. ± is the standard deviation over seeds. Bold: the lowest mean and all means that are "
        "not distinguished from it."
    )
    yield "Differences within a study are paired by seed; differences between studies are not (Welch's 95 % interval)."
    if shared:
        yield f"Both studies have the same records of {', '.join(shared)}: no difference between them is shown."
    stalled = [f"{row.name} ({row.training_state})" for report in reports for row in report.rows if row.stalled]
    if stalled:
        yield f"Runs at chance level are left out of n and of means: {', '.join(stalled)}."
    left_out = sorted({row.name for report in reports for row in report.rows} - set(common))
    if left_out:
        yield f"Left out because not every study has them: {', '.join(left_out)}."


def _share_records(reports: Sequence[Report], variant: str) -> bool:
    """Return whether two studies have a record of a variant in common: one run has one record in all studies."""
    keys = [set(report.frame.loc[report.frame["variant"] == variant, "key"]) for report in reports]
    return len(reports) == 2 and bool(keys[0] & keys[1])


def _build_claim_table(reports: Sequence[Report], titles: Sequence[str]) -> Table:
    columns = (
        Column("claim", "claim", "left"),
        *chain.from_iterable((Column(title, title, "left"), Column("gain", f"{title}_gain")) for title in titles),
    )
    verdicts_by_claim = [{verdict.claim.id: verdict for verdict in report.verdicts} for report in reports]
    rows = []
    for claim in dict.fromkeys(chain.from_iterable(verdicts_by_claim)):
        cells = [TextCell(claim)]
        for verdicts in verdicts_by_claim:
            verdict = verdicts.get(claim)
            cells.append(TextCell(verdict.verdict if verdict else numbers.DASH))
            cells.append(TextCell(wording.format_estimate(verdict) if verdict else numbers.DASH))
        rows.append(TableRow(tuple(cells)))
    return Table("beside-claims", "Claims and verdicts", columns, tuple(rows))


def _list_differences(reports: Sequence[Report], titles: Sequence[str]) -> list[str]:
    """List the settings and the provenance in which the studies differ, as `path: title value; title value`."""
    settings = [_collect_settings(report) for report in reports]
    differing = [
        path for path in sorted(set(chain.from_iterable(settings))) if len({own.get(path) for own in settings}) > 1
    ]
    return [
        f"{path}: "
        + "; ".join(f"{title} {own.get(path, numbers.DASH)}" for title, own in zip(titles, settings, strict=True))
        for path in differing
    ]


def _collect_settings(report: Report) -> dict[str, str]:
    """Return everything that can differ between two studies of the same variants, by path."""
    base = report.study.base
    provenance = {
        name: value for name, value in report.provenance.items() if name not in ("history", "at", "looks", "answer")
    }
    # The command as it can be typed, not as the list of arguments in the manifest.
    provenance |= {name: value for name, value in markdown.list_provenance(report) if name == "command"}
    # A study without looks has its number of seeds as the only look, which `seeds` shows already.
    provenance |= {"looks": report.study.looks} if len(report.study.looks) > 1 else {}
    settings = {
        "arch": base.arch.model_dump(mode="json"),
        "data": base.data.model_dump(mode="json"),
        "train": base.train.model_dump(mode="json"),
        "provenance": provenance,
        "devices": sorted({device for row in report.rows for device in row.devices}),
    }
    return dict(_flatten(settings))


def _flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, inner in value.items():
        path = f"{prefix}{key}"
        flat += _flatten(inner, f"{path}.") if isinstance(inner, Mapping) else [(path, _format_yaml(inner))]
    return flat


def _format_yaml(value: object) -> str:
    """Format a value as a study file has it, such as `none` and `true`; items of a list are separated by commas."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_format_yaml, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)

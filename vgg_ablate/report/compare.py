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
from vgg_ablate.config.horizons import get_full_name
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import CountCell, MeanCell, TableCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.report import markdown, wording
from vgg_ablate.report.comparison import build_difference_cell

# Parts of a study's provenance that differ between any two studies, or that its claims and settings show already.
_NOT_COMPARED = frozenset({"history", "at", "folder", "looks", "answer", "registration"})


@dataclass(frozen=True)
class StudyComparison:
    """Several reports with the tables that compare them, and one sentence per difference in how they were run."""

    reports: tuple[Report, ...]
    tables: tuple[Table, ...]
    differences: tuple[str, ...]


def compare_reports(reports: Sequence[Report]) -> StudyComparison:
    """Compare reports by their common variants: those of one name, and those of one net and recipe under other names.

    Raises SpecError if they have none.
    """
    titles = _choose_titles(reports)
    common = _match_variants(reports)
    tables = [_build_variant_table(reports, titles, common)]
    if any(report.verdicts for report in reports):
        tables.append(_build_claim_table(reports, titles))
    return StudyComparison(tuple(reports), tuple(tables), tuple(_list_differences(reports, titles)))


def serialize_comparison(comparison: StudyComparison) -> str:
    """Return a comparison as a JSON document: means in percent, null if unknown."""
    reports = comparison.reports
    document = {
        "studies": _choose_titles(reports),
        "variants": [
            {
                "name": name,
                "means": [None if isnan(row.error.mean) else row.error.mean for row in rows],
                "n": [row.n for row in rows],
            }
            for name, rows in _match_variants(reports).items()
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
    low, high = estimate.compute_interval()
    return PairedDifference(n, float(estimate.mean), float(estimate.se) * sqrt(n), float(low), float(high))


def _choose_titles(reports: Sequence[Report]) -> list[str]:
    """Return a distinct title per report: the study's name, the folder's name, or the folder's path."""
    names = [report.study.name for report in reports]
    if len(set(names)) < len(names):
        names = [report.folder.name for report in reports]
    return names if len(set(names)) == len(names) else [str(report.folder) for report in reports]


def _match_variants(reports: Sequence[Report]) -> dict[str, tuple[VariantRow, ...]]:
    """Return the rows of every common variant, by its name; by `five = pair5` where its names differ."""
    by_name = [{get_full_name(row.name): row for row in report.rows} for report in reports]  # levels may differ
    shared_names = set.intersection(*(set(rows) for rows in by_name))
    by_content = [
        {_get_content(row): row for row in report.rows if get_full_name(row.name) not in shared_names}
        for report in reports
    ]
    matched: dict[str, tuple[VariantRow, ...]] = {}
    for row in reports[0].rows:
        name, content = get_full_name(row.name), _get_content(row)
        if name in shared_names:
            matched[name] = tuple(rows[name] for rows in by_name)
        elif all(content in rows for rows in by_content):
            same = tuple(rows[content] for rows in by_content)
            matched[" = ".join(dict.fromkeys(get_full_name(other.name) for other in same))] = same
    if not matched:
        rule = "no common variant; studies are compared by the variants that all of them have"
        raise SpecError(Problem(rule, location=" and ".join(str(report.folder) for report in reports)))
    return matched


def _get_content(row: VariantRow) -> str:
    """Return the net of a variant and its changes of the recipe. The base's data and recipe are not part of it."""
    arch = row.variant.arch
    net = arch if arch.match is not None else arch.to_normal_form()
    recipe = {path: value for path, value in row.variant.changes.items() if not path.startswith("arch")}
    return net.model_dump_json() + json.dumps(recipe, sort_keys=True)


def _build_variant_table(
    reports: Sequence[Report], titles: Sequence[str], common: Mapping[str, tuple[VariantRow, ...]]
) -> Table:
    columns = [Column("variant", "left")]
    for title in titles:
        columns += [
            Column("n"),
            Column(f"{title}, %"),
            Column("Δ to base, points [95 %]"),
        ]
    if len(reports) == 2:
        columns.append(Column(f"{titles[1]} {numbers.MINUS} {titles[0]}, points [95 %]"))
    errors = [collect_by_seed(report.frame, PRIMARY_METRIC) for report in reports]
    shared = [name for name, variant_rows in common.items() if _share_records(reports, variant_rows)]
    rows = []
    for name, variant_rows in common.items():
        cells: list[TableCell] = [TextCell(name), *chain.from_iterable(map(_build_study_cells, variant_rows))]
        if len(reports) == 2:
            first, second = (
                list(by_variant.get(row.name, {}).values())
                for by_variant, row in zip(errors, variant_rows, strict=True)
            )
            difference = build_difference_cell(estimate_unpaired_difference(second, first))
            cells.append(TextCell("same runs") if name in shared else difference)
        bold = frozenset(2 + 3 * index for index, row in enumerate(variant_rows) if row.is_best)
        rows.append(TableRow(tuple(cells), "base" if variant_rows[0].is_base else "", bold))
    notes = tuple(_list_notes(reports, common, shared))
    return Table("beside", "Test error, in percent", tuple(columns), tuple(rows), notes)


def _build_study_cells(row: VariantRow) -> list[TableCell]:
    difference = TextCell("base") if row.is_base else build_difference_cell(row.to_base)
    return [CountCell(row.n), MeanCell(row.error.mean, row.error.sd, row.n), difference]


def _list_notes(
    reports: Sequence[Report], common: Mapping[str, tuple[VariantRow, ...]], shared: Sequence[str]
) -> Iterator[str]:
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
    compared = {row.name for rows in common.values() for row in rows}
    left_out = sorted({row.name for report in reports for row in report.rows} - compared)
    if left_out:
        yield f"Left out because not every study has them: {', '.join(left_out)}."


def _share_records(reports: Sequence[Report], rows: Sequence[VariantRow]) -> bool:
    """Return whether two studies have a record of a variant in common: one run has one record in all studies."""
    keys = [
        set(report.frame.loc[report.frame["variant"] == row.name, "key"])
        for report, row in zip(reports, rows, strict=True)
    ]
    return len(reports) == 2 and bool(keys[0] & keys[1])


def _build_claim_table(reports: Sequence[Report], titles: Sequence[str]) -> Table:
    columns = (
        Column("claim", "left"),
        *chain.from_iterable((Column(title, "left"), Column("a − b [95 %]")) for title in titles),
    )
    verdicts_by_claim = [{verdict.claim.id: verdict for verdict in report.shown_verdicts} for report in reports]
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
    provenance = {name: value for name, value in report.provenance.items() if name not in _NOT_COMPARED}
    # The command as it can be typed, not as the list of arguments in the manifest.
    provenance |= {name: value for name, value in markdown.list_provenance(report) if name == "command"}
    # A study without looks has its number of seeds as the only look, which `seeds` shows already.
    provenance |= {"looks": report.study.looks} if len(report.study.looks) > 1 else {}
    settings = {
        "arch": {**base.arch.model_dump(mode="json"), "stages": base.arch.to_notation()},
        "data": base.data.model_dump(mode="json"),
        "train": base.train.model_dump(mode="json"),
        "provenance": provenance,
        "shown level": {} if report.level is None else {report.study.horizon_path: report.level},
        "devices": sorted({device for row in report.rows for device in row.devices}),
        "precisions": markdown.collect_precisions(report),
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
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_format_yaml(inner)}' for key, inner in value.items() if inner is not None)}}}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_format_yaml, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)

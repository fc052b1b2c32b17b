"""Two or more results beside each other: the same variants with other data, another recipe or another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isnan
from typing import Any

import numpy as np

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.summary import PRIMARY_METRIC, PairedDifference, Report
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.table import Column, CountCell, MeanCell, Table, TableCell, TableRow, TextCell
from vgg_ablate.report import markdown, wording
from vgg_ablate.report import tables as report_tables


@dataclass(frozen=True)
class StudyComparison:
    """The tables, and what differs between the studies and their manifests, a sentence each."""

    reports: tuple[Report, ...]
    tables: tuple[Table, ...]
    differences: tuple[str, ...]


def compare_reports(reports: Sequence[Report]) -> StudyComparison:
    """Set reports beside each other. Raises SpecError where they share no variant."""
    titles = _titles(reports)
    shared = _shared(reports)
    tables = [_variants(reports, titles, shared)]
    if any(report.verdicts for report in reports):
        tables.append(_claims(reports, titles))
    return StudyComparison(tuple(reports), tuple(tables), tuple(_differences(reports, titles)))


def serialize_comparison(found: StudyComparison) -> str:
    """One JSON document."""
    document = {
        "studies": _titles(found.reports),
        "variants": [
            {
                "name": name,
                "means": [None if isnan(row.error.mean) else row.error.mean for row in rows],
                "n": [row.n for row in rows],
            }
            for name in _shared(found.reports)
            for rows in [[next(row for row in report.rows if row.name == name) for report in found.reports]]
        ],
        "differences": list(found.differences),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def estimate_unpaired_difference(one: Sequence[float], other: Sequence[float]) -> PairedDifference:
    """Mean of `one` minus mean of `other`, with Welch's 95 % interval; `n` is the smaller number of seeds."""
    n = min(len(one), len(other))
    if not n:
        return PairedDifference(0)
    mean = float(np.mean(one) - np.mean(other))
    if n < 2:
        return PairedDifference(n, mean)
    parts = [np.var(sample, ddof=1) / len(sample) for sample in (one, other)]
    variance = float(sum(parts))
    if variance == 0:
        return PairedDifference(n, mean, 0.0, mean, mean)
    below = sum(part**2 / (len(sample) - 1) for part, sample in zip(parts, (one, other), strict=True))
    estimate = stats.Estimate(np.asarray(mean), np.sqrt(np.asarray(variance)), np.asarray(variance**2 / below))
    low, high = estimate.interval()
    return PairedDifference(n, mean, float(np.sqrt(variance * n)), float(low), float(high))


def _titles(reports: Sequence[Report]) -> list[str]:
    """The studies' names; their folders' where two have the same."""
    names = [report.study.name for report in reports]
    if len(set(names)) < len(names):
        names = [report.folder.name for report in reports]
    return names if len(set(names)) == len(names) else [str(report.folder) for report in reports]


def _shared(reports: Sequence[Report]) -> list[str]:
    everywhere = set.intersection(*({row.name for row in report.rows} for report in reports))
    if not everywhere:
        rule = "have no variant in common; they cannot be set side by side"
        raise SpecError(Problem(rule, place=" and ".join(str(report.folder) for report in reports)))
    return [row.name for row in reports[0].rows if row.name in everywhere]


def _variants(reports: Sequence[Report], titles: Sequence[str], shared: Sequence[str]) -> Table:
    columns = [Column("variant", "variant", "left")]
    for title in titles:
        columns += [
            Column("n", f"{title}_n"),
            Column(f"{title}, %", title),
            Column("Δ to base, pp [95 %]", f"{title}_diff"),
        ]
    if len(reports) == 2:
        columns.append(Column(f"{titles[1]} {numbers.MINUS} {titles[0]}, pp [95 %]", "between"))
    seeds = [collect_by_seed(report.frame, PRIMARY_METRIC) for report in reports]
    rows, same = [], [name for name in shared if _same_runs(reports, name)]
    for name in shared:
        own = [next(row for row in report.rows if row.name == name) for report in reports]
        cells: list[TableCell] = [TextCell(name)]
        for row in own:
            error: TableCell = MeanCell(row.error.mean, row.error.sd, row.n)
            cells += [
                CountCell(row.n),
                error,
                TextCell("base") if row.is_base else report_tables.build_difference_cell(row.to_base),
            ]
        if len(reports) == 2:
            first, second = (list(table.get(name, {}).values()) for table in seeds)
            cells.append(
                TextCell("same runs")
                if name in same
                else report_tables.build_difference_cell(estimate_unpaired_difference(second, first))
            )
        bold = frozenset(2 + 3 * index for index, row in enumerate(own) if row.best)
        rows.append(TableRow(tuple(cells), "base" if own[0].is_base else "", bold))
    notes = [
        "n: seeds that finished. ± is the standard deviation over seeds. Bold: the best and its equals.",
        "Differences within a study are paired by seed, between studies they are not (Welch's 95 % interval).",
    ]
    if same:
        notes.append(f"Both studies have records of {', '.join(same)} in common: no difference between them is shown.")
    stalled = [f"{row.name} ({row.training_state})" for report in reports for row in report.rows if row.stalled]
    if stalled:
        notes.append(f"Runs at chance level are left out of n and of means: {', '.join(stalled)}.")
    left_out = sorted({row.name for report in reports for row in report.rows} - set(shared))
    if left_out:
        notes.append(f"Not in all of them, and left out: {', '.join(left_out)}.")
    return Table("beside", "Test error, in percent", tuple(columns), tuple(rows), tuple(notes))


def _same_runs(reports: Sequence[Report], name: str) -> bool:
    """Do two studies share records of a variant? A run has one record, however many studies ask for it."""
    keys = [set(report.frame.loc[report.frame["variant"] == name, "key"]) for report in reports]
    return len(reports) == 2 and bool(keys[0] & keys[1])


def _claims(reports: Sequence[Report], titles: Sequence[str]) -> Table:
    columns = (
        Column("claim", "claim", "left"),
        *chain.from_iterable((Column(title, title, "left"), Column("gain", f"{title}_gain")) for title in titles),
    )
    found = [{verdict.claim.id: verdict for verdict in report.verdicts} for report in reports]
    rows = []
    for claim in dict.fromkeys(chain.from_iterable(found)):
        cells: list[TableCell] = [TextCell(claim)]
        for verdicts in found:
            verdict = verdicts.get(claim)
            cells.append(TextCell(verdict.verdict if verdict else numbers.DASH))
            cells.append(TextCell(wording.format_estimate(verdict) if verdict else numbers.DASH))
        rows.append(TableRow(tuple(cells)))
    return Table("beside-claims", "Claims and verdicts", columns, tuple(rows))


def _differences(reports: Sequence[Report], titles: Sequence[str]) -> list[str]:
    """What differs in the studies and in how they were run, named by path."""
    told = [_told(report) for report in reports]
    paths = sorted(set(chain.from_iterable(told)))
    return [
        f"{path}: "
        + "; ".join(f"{title} {one.get(path, numbers.DASH)}" for title, one in zip(titles, told, strict=True))
        for path in paths
        if len({one.get(path) for one in told}) > 1
    ]


def _told(report: Report) -> dict[str, str]:
    base = report.study.base
    known = {name: value for name, value in report.provenance.items() if name not in ("history", "at", "looks")}
    known |= {name: told for name, told in markdown.list_provenance(report) if name == "command"}
    known |= {"looks": report.study.looks} if len(report.study.looks) > 1 else {}
    whole = {
        "arch": base.arch.model_dump(mode="json"),
        "data": base.data.model_dump(mode="json"),
        "train": base.train.model_dump(mode="json"),
        "provenance": known,
        "devices": sorted({device for row in report.rows for device in row.devices}),
    }
    return dict(_flat(whole))


def _flat(value: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, inner in value.items():
        flat += _flat(inner, f"{above}{key}.") if isinstance(inner, Mapping) else [(f"{above}{key}", _plain(inner))]
    return flat


def _plain(value: object) -> str:
    """As it stands in YAML: none, true; the parts of a list with commas between them."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)

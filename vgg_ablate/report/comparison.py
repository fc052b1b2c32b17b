"""The comparison of variants: a registry of its columns, and the table that they make.

To add a column, add a `ColumnEntry` to COLUMNS and its name to `config.study_file.ReportColumn`; a test compares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import Literal

from vgg_ablate.analysis.metrics import TIMED_METRICS, get_metric, get_unit
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.variant_rows import PairedDifference, VariantRow
from vgg_ablate.config.study_file import ReportColumn
from vgg_ablate.diagrams.table1 import format_value
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import (
    CountCell,
    DifferenceCell,
    MeanCell,
    QuantityCell,
    RangeCell,
    TableCell,
    TextCell,
)
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.report.comparison_notes import list_comparison_notes

BuildCell = Callable[[VariantRow], TableCell]
Block = tuple[str | None, Sequence[VariantRow]]  # a heading, or None, and the rows below it


@dataclass(frozen=True)
class ColumnEntry:
    """One column of the comparison."""

    name: ReportColumn
    heading: str
    build: Callable[[VariantRow, Report], TableCell]
    align: Literal["left", "right"] = "right"
    rank: int = 0  # as in formatting.table.Column
    applies: Callable[[Report], bool] = lambda report: True  # whether a report shows it that selects no columns

    def build_column(self) -> Column:
        """Return the heading, the alignment and the rank of the column."""
        return Column(self.heading, self.align, self.rank)


@dataclass(frozen=True)
class ExtraColumn:
    """A column that only one design has, with a cell per variant; it stands after the column `after`."""

    column: Column
    cells: Mapping[str, TableCell]
    after: ReportColumn = "variant"


def build_comparison_table(
    report: Report,
    caption: str,
    blocks: Sequence[Block],
    *,
    titles: Mapping[str, str] | None = None,
    extra: Sequence[ExtraColumn] = (),
    without: Sequence[ReportColumn] = (),
    is_sorted: bool = True,
    columns: Sequence[ReportColumn] = (),
) -> Table:
    """Build a table with one row per variant, sorted by error within each block unless `is_sorted` is False.

    `titles` replace the names of variants, `extra` are columns of the design, in place of those in `without`.
    `columns` select and order the columns; by default those of the study's `report.columns`, or all that apply.
    """
    selected = tuple(columns) or report.study.report.columns
    entries = [_ENTRIES[name] for name in selected] or [
        entry for entry in COLUMNS if entry.applies(report) and entry.name not in without
    ]
    arranged = _arrange_columns(entries, report, titles or {}, extra)
    if not selected:
        metrics = _list_claimed_metrics(report)
        arranged += [(Column(_format_heading(metric), rank=3), _bind_metric(metric)) for metric in metrics]
    rows: list[TableRow] = []
    for heading, variants in blocks:
        if heading is not None:
            rows.append(TableRow((TextCell(heading),), "block"))
        ordered = sorted(variants, key=_get_rank) if is_sorted else variants
        for row in ordered:
            cells = tuple(build(row) for _, build in arranged)
            rows.append(TableRow(cells, "base" if row.is_base else ""))
    shown = {entry.name for entry in entries}
    headings = tuple(column for column, _ in arranged)
    table = Table("comparison", caption, headings, tuple(rows), list_comparison_notes(report, shown))
    return replace(table, label=report.study.report.label or "")


def _arrange_columns(
    entries: Sequence[ColumnEntry], report: Report, titles: Mapping[str, str], extra: Sequence[ExtraColumn]
) -> list[tuple[Column, BuildCell]]:
    """Return the columns, each with the function that builds its cells; those of the design follow their `after`."""
    groups = [[(entry.build_column(), _bind(entry, report, titles))] for entry in entries]
    for item in reversed(extra):
        at = next((index for index, entry in enumerate(entries) if entry.name == item.after), 0)
        groups[at].insert(1, (item.column, _look_up(item)))
    return [pair for group in groups for pair in group]


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


def _bind(entry: ColumnEntry, report: Report, titles: Mapping[str, str]) -> BuildCell:
    def build(row: VariantRow) -> TableCell:
        cell = entry.build(row, report)
        if entry.name == "variant" and isinstance(cell, TextCell) and row.name in titles:
            return TextCell(cell.text.replace(row.name, titles[row.name], 1), cell.link)
        return cell

    return build


def _look_up(item: ExtraColumn) -> BuildCell:
    return lambda row: item.cells.get(row.name, TextCell(numbers.DASH))


def _bind_metric(metric: str) -> BuildCell:
    return lambda row: _build_metric_cell(row, metric)


def _get_rank(row: VariantRow) -> tuple[bool, float]:
    # A mean of NaN as the key would leave the rows unsorted, as every comparison with it is false.
    return isnan(row.error.mean), 0.0 if isnan(row.error.mean) else row.error.mean


def _build_group_cell(row: VariantRow, report: Report) -> TableCell:
    if row.group is None:
        return TextCell("")
    is_shared = sum(other.group == row.group for other in report.rows) > 1
    return TextCell(f"{'≈' * is_shared}{row.group}")


def _build_name_cell(row: VariantRow, report: Report) -> TableCell:
    unfinished = ", ".join(_format_outcome(row, name, count) for name, count in sorted(row.outcomes.items()))
    state = ", ".join(part for part in (unfinished if report.is_recorded else "", row.training_state) if part)
    return TextCell(f"{row.name} ({state})" if state else row.name, f"#runs-{row.name}")


def describe_changes(row: VariantRow) -> str:
    """Describe what a variant changes: `kernel 5, match macs base`; a dash for the base."""
    changes = [_describe_change(path, value) for path, value in row.variant.changes.items()]
    return ", ".join(changes) or numbers.DASH


def _describe_change(path: str, value: object) -> str:
    if (path, value) == ("arch.between", "none"):
        return "nothing between convs"  # "between none" would be no English
    return f"{path.removeprefix('arch.').removeprefix('train.')} {format_value(value)}"


def _build_error_cell(row: VariantRow, report: Report) -> TableCell:
    if row.n:
        return MeanCell(row.error.mean, row.error.sd, row.error.n, shows_n=True)
    return TextCell((format_outcomes(row) if report.is_recorded else "") or numbers.DASH)


def _build_base_difference(row: VariantRow, report: Report) -> TableCell:
    return TextCell(numbers.DASH) if row.is_base else build_difference_cell(row.to_base)


def _build_percent_cell(row: VariantRow, report: Report) -> TableCell:
    reference = report.base.error.mean
    known = not row.is_base and row.to_base.n and reference > 0
    return QuantityCell(row.to_base.mean / reference if known else nan, "change")


def _build_error_of(metric: str) -> Callable[[VariantRow, Report], TableCell]:
    def build(row: VariantRow, report: Report) -> TableCell:
        return QuantityCell(row.metrics[metric].mean if metric in row.metrics else nan, "fixed")

    return build


def _build_ratio_of(cost: str) -> Callable[[VariantRow, Report], TableCell]:
    def build(row: VariantRow, report: Report) -> TableCell:
        own, base = row.costs.get(cost), report.base.costs.get(cost)
        return QuantityCell(own / base if own is not None and base else nan, "fixed")

    return build


def _build_count_of(cost: str) -> Callable[[VariantRow, Report], TableCell]:
    return lambda row, report: CountCell(row.costs.get(cost))


def _build_time_of(metric: str) -> Callable[[VariantRow, Report], TableCell]:
    return lambda row, report: _build_time_cell(row, metric)


def _build_time_cell(row: VariantRow, metric: str) -> TableCell:
    times = row.times.get(metric)
    how: Literal["rate", "seconds"] = "rate" if metric == "images_per_second" else "seconds"
    return RangeCell(times.median, times.low, times.high, how) if times else RangeCell(nan, nan, nan, how)


def _build_metric_cell(row: VariantRow, metric: str) -> TableCell:
    if metric in TIMED_METRICS:
        return _build_time_cell(row, metric)
    summary = row.metrics.get(metric)
    return MeanCell(summary.mean, summary.sd, summary.n) if summary else TextCell(numbers.DASH)


def _has_changes(report: Report) -> bool:
    """Return whether variants have changes that their names lack; names in a design with factors hold all changes."""
    return any(row.variant.changes and not row.variant.levels for row in report.rows)


def _is_recorded(report: Report) -> bool:
    return report.is_recorded


def _has_undisturbed_times(report: Report) -> bool:
    """Return whether every variant's rate was measured on the same device and without another load."""
    devices = {device for row in report.rows for device in row.devices}
    return len(devices) == 1 and all(row.times and not row.disturbed for row in report.rows)


def _list_claimed_metrics(report: Report) -> list[str]:
    """Return the metrics that claims are about, that have values, and that have no column of their own."""
    claimed = dict.fromkeys(claim.metric for claim in report.study.claims)
    return [
        metric
        for metric in claimed
        if metric not in _SHOWN_METRICS and any(metric in row.metrics or metric in row.times for row in report.rows)
    ]


def _format_heading(metric: str) -> str:
    # The values of a metric are in percent, and only their differences in percentage points.
    shown = {"points": "%"}.get(get_unit(metric), get_unit(metric))
    # A duration has its unit in the cell: it can be seconds, minutes or hours.
    return f"{get_metric(metric).noun}, {shown}" if shown and metric != "train_seconds" else get_metric(metric).noun


COLUMNS: tuple[ColumnEntry, ...] = (
    ColumnEntry(
        "group",
        "group",
        _build_group_cell,
        "left",
        rank=2,
        applies=lambda report: any(row.group for row in report.rows),
    ),
    ColumnEntry("variant", "variant", _build_name_cell, "left"),
    ColumnEntry(
        "changes",
        "what it changes",
        lambda row, report: TextCell(describe_changes(row)),
        "left",
        rank=6,
        applies=_has_changes,
    ),
    ColumnEntry("error", "test error, % (n)", _build_error_cell, applies=_is_recorded),
    ColumnEntry("difference", "difference, points [95 %]", _build_base_difference, applies=_is_recorded),
    ColumnEntry("percent", "% of base", _build_percent_cell, rank=3, applies=_is_recorded),
    ColumnEntry(
        "train_error",
        "train error, %",
        _build_error_of("train_error"),
        rank=5,
        applies=lambda report: any("train_error" in row.metrics for row in report.rows),
    ),
    ColumnEntry("params_ratio", "params ×", _build_ratio_of("params"), rank=2),
    ColumnEntry("macs_ratio", "MACs ×", _build_ratio_of("macs"), rank=1),
    ColumnEntry(
        "images_per_second", "images/s", _build_time_of("images_per_second"), rank=7, applies=_has_undisturbed_times
    ),
    ColumnEntry("n", "n", lambda row, report: CountCell(row.n), applies=lambda report: False),
    ColumnEntry("val_error", "validation error, %", _build_error_of("val_error"), applies=lambda report: False),
    ColumnEntry("params", "params", _build_count_of("params"), applies=lambda report: False),
    ColumnEntry("macs", "MACs", _build_count_of("macs"), applies=lambda report: False),
    ColumnEntry("train_seconds", "training time", _build_time_of("train_seconds"), applies=lambda report: False),
)
_ENTRIES = {entry.name: entry for entry in COLUMNS}
# Metrics that have a column of their own, or that do not vary with the seed.
_SHOWN_METRICS = frozenset(
    {"trained", "test_error", "test_accuracy", "params", "macs", "activations", "images_per_second"}
)

"""The list of runs in the HTML report: one folded table per variant, each run linked to its record."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import nan
from typing import Any

import pandas as pd
from markupsafe import Markup

from vgg_ablate.analysis.frame import NOT_NEEDED
from vgg_ablate.analysis.summary import Report
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import CountCell, QuantityCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.report.html.claims import format_record_link
from vgg_ablate.report.html.words import render_template

MAX_RUNS = 250  # with more, the page would grow past 500 kB; runs.csv lists them all
_COLUMNS = (
    Column("seed"),
    Column("record", "left"),
    Column("outcome", "left"),
    Column("test error, %"),
    Column("validation error, %"),
    Column("epochs"),
    Column("training"),
    Column("images/s"),
    Column("device", "left"),
)


@dataclass(frozen=True)
class VariantRuns:
    """The runs of one variant as the template shows them; counts are formatted."""

    name: str
    finished: str
    planned: str
    table: Table


def render_runs(report: Report, most: int = MAX_RUNS) -> Markup:
    """Render the runs of every variant; from the first variant that would exceed `most` runs on, only link targets."""
    variants: list[VariantRuns] = []
    omitted: list[str] = []
    listed_runs, omitted_runs = 0, 0
    positions = report.frame.groupby("variant", sort=False).indices
    for row in (*report.rows, *report.proposed):
        own = list(positions.get(row.name, ()))
        if omitted or listed_runs + len(own) > most:
            omitted_runs += len(own)
            omitted.append(row.name)  # tables link to #runs-NAME, so the id stays in the page
        else:
            listed_runs += len(own)
            variants.append(_collect_variant_runs(row.name, report.frame.take(own)))
    left_out = numbers.format_count(omitted_runs) if omitted_runs else ""
    return render_template("runs.html", variants=variants, omitted=omitted, omitted_runs=left_out)


def _collect_variant_runs(name: str, runs: pd.DataFrame) -> VariantRuns:
    finished = int((runs["outcome"] == "finished").sum())
    rows = tuple(_build_row(run) for run in runs.to_dict("records"))
    table = Table(f"table-{name}", f"Runs of {name}", _COLUMNS, rows)
    return VariantRuns(name, numbers.format_count(finished), numbers.format_count(len(runs)), table)


def _build_row(run: dict[Hashable, Any]) -> TableRow:
    has_record = run["outcome"] not in ("missing", "damaged", NOT_NEEDED)
    outcome, reason = str(run["outcome"]).replace("_", " "), str(run["reason"])
    if outcome == "finished" and run["trained"] is False:
        outcome = "stalled"
    # The times of a run that shared its machine with another load do not describe the variant.
    disturbed = run["disturbed"] is True
    return TableRow(
        (
            CountCell(int(str(run["seed"]))),
            TextCell(str(run["key"]), format_record_link(str(run["key"])) if has_record else ""),
            TextCell(f"{outcome}: {reason}" if reason else outcome),
            QuantityCell(100 * _to_float(run["test_error"]), "fixed"),
            QuantityCell(100 * _to_float(run["val_error"]), "fixed"),
            CountCell(int(str(run["epochs"]))),
            QuantityCell(nan if disturbed else _to_float(run["train_seconds"]), "seconds"),
            QuantityCell(nan if disturbed else _to_float(run["images_per_second"]), "rate"),
            TextCell(" ".join(str(run[part]) for part in ("device", "precision") if run[part])),
        )
    )


def _to_float(value: object) -> float:
    return float(str(value))

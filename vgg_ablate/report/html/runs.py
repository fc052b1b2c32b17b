"""The runs behind the tables: a folded list a variant, every run with its key, which is the name of its record."""

from __future__ import annotations

from collections.abc import Hashable
from math import nan
from typing import Any

import pandas as pd

from vgg_ablate.analysis.summary import Report
from vgg_ablate.formatting import numbers, table
from vgg_ablate.formatting.table import Column, CountCell, QuantityCell, Table, TableRow, TextCell
from vgg_ablate.report.html.cards import format_record_link
from vgg_ablate.report.html.words import escape_text

MAX_RUNS = 250  # runs in a page; of more, runs.csv has the whole list


def render_runs(report: Report, most: int = MAX_RUNS) -> str:
    """All variants; beyond so many runs, those of the first variants, and where the others are."""
    parts, shown, left = [], 0, 0
    places = report.frame.groupby("variant", sort=False).indices
    for row in (*report.rows, *report.proposed):
        own = list(places.get(row.name, ()))
        if left or shown + len(own) > most:
            left += len(own)
            parts.append(f'<a id="runs-{escape_text(row.name)}"></a>')
        else:
            shown += len(own)
            parts.append(_variant(row.name, report.frame.take(own)))
    if left:
        parts.append(f'<p>{numbers.format_count(left)} more runs are listed in <a href="runs.csv">runs.csv</a>.</p>')
    return f'<section class="records">{"".join(parts)}</section>'


def _variant(name: str, own: pd.DataFrame) -> str:
    finished = int((own["outcome"] == "finished").sum())
    said = f"{numbers.format_count(finished)} of {numbers.format_count(len(own))} runs finished"
    return (
        f'<details id="runs-{escape_text(name)}"><summary>{escape_text(name)} <span>{said}</span></summary>'
        f'<div class="wide" tabindex="0">{table.render_html(_table(name, own))}</div></details>'
    )


def _table(name: str, own: pd.DataFrame) -> Table:
    columns = (
        Column("seed", "seed"),
        Column("record", "key", "left"),
        Column("outcome", "outcome", "left"),
        Column("test error, %", "test_error"),
        Column("validation error, %", "val_error"),
        Column("epochs", "epochs"),
        Column("training", "train_seconds"),
        Column("images/s", "images_per_second"),
        Column("device", "device", "left"),
    )
    rows = tuple(_run(run) for run in own.to_dict("records"))
    return Table(f"table-{name}", f"Runs of {name}", columns, rows)


def _run(run: dict[Hashable, Any]) -> TableRow:
    known = run["outcome"] not in ("missing", "damaged")
    outcome, reason = str(run["outcome"]).replace("_", " "), str(run["reason"])
    if outcome == "finished" and run["trained"] is False:
        outcome = "stalled"
    disturbed = run["disturbed"] is True
    return TableRow(
        (
            CountCell(int(str(run["seed"]))),
            TextCell(str(run["key"]), format_record_link(str(run["key"])) if known else ""),
            TextCell(f"{outcome}: {reason}" if reason else outcome),
            QuantityCell(100 * _number(run["test_error"]), "fixed"),
            QuantityCell(100 * _number(run["val_error"]), "fixed"),
            CountCell(int(str(run["epochs"]))),
            QuantityCell(nan if disturbed else _number(run["train_seconds"]), "seconds"),
            QuantityCell(nan if disturbed else _number(run["images_per_second"]), "rate"),
            TextCell(" ".join(str(run[part]) for part in ("device", "precision") if run[part])),
        )
    )


def _number(value: object) -> float:
    return float(str(value))

"""Judgements in Python: data frames, text, and HTML in a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vgg_ablate.external.claims_file import load_claims, parse_claims
from vgg_ablate.external.judging import Judgement, judge_runs
from vgg_ablate.external.run_table import Runs
from vgg_ablate.external.sources import read_runs
from vgg_ablate.external.tables import build_tables, describe_judgement, serialize_judgement
from vgg_ablate.external.writing import render_markdown_report, write_files
from vgg_ablate.formatting.table import render_html
from vgg_ablate.report.html.words import render_sentence


class RunsReport:
    """The verdicts on claims about runs of other programs: `claims` and `variants` as data frames.

    `str(report)` is Markdown, and `write(folder)` writes the files that `judge --out` does. In Jupyter the report
    shows its tables.
    """

    def __init__(self, judgement: Judgement) -> None:
        self._judgement = judgement

    @property
    def claims(self) -> pd.DataFrame:
        """One row per claim: id, text, kind, metric, verdict, mean, ci_low, ci_high, p, q and others."""
        return self._build_frame("claims")

    @property
    def variants(self) -> pd.DataFrame:
        """One row per variant and metric: name, metric, n, mean and sd."""
        return self._build_frame("variants")

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the runs, such as the number of rows without a value."""
        return self._judgement.notes

    def write(self, folder: str | Path) -> None:
        """Write report.md, report.html, table.tex, claims.json and the figure into a folder. Raises StorageError."""
        write_files(self._judgement, Path(folder))

    def _build_frame(self, key: str) -> pd.DataFrame:
        return pd.DataFrame(json.loads(serialize_judgement(self._judgement))[key])

    def __repr__(self) -> str:
        return f"<RunsReport of {self._judgement.source}: {len(self._judgement.verdicts)} claims>"

    def __str__(self) -> str:
        return render_markdown_report(self._judgement)

    def _repr_html_(self) -> str:
        tables = "".join(render_html(table) for table in build_tables(self._judgement))
        return f"<p><b>{render_sentence(describe_judgement(self._judgement))}</b></p>{tables}"


def judge_frame(runs: pd.DataFrame | str | Path, claims: Mapping[str, Any] | str | Path) -> RunsReport:
    """Judge the claims of a file or a mapping about runs; see `vgg_ablate.judge`."""
    claims_file = parse_claims(claims) if isinstance(claims, Mapping) else load_claims(claims)
    if isinstance(runs, pd.DataFrame):
        index = runs.index
        source = Runs(runs, lambda row: f"row {index[row]!r}", "the data frame")
    else:
        source = read_runs(str(runs))
    return RunsReport(judge_runs(source, claims_file))

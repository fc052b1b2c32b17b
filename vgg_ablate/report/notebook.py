"""The report of a results folder in Python: data frames, text, and HTML in a notebook."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgg_ablate.analysis.summary import Report
from vgg_ablate.formatting.table import render_html
from vgg_ablate.report import markdown, write
from vgg_ablate.report.head import build_head
from vgg_ablate.report.html.words import render_sentence

if TYPE_CHECKING:
    import pandas as pd


class StudyReport:
    """The report of a study: `variants`, `claims` and `runs` as data frames, and `str(report)` as Markdown.

    In Jupyter it shows its tables and notes.
    """

    def __init__(self, report: Report) -> None:
        self._report = report

    @property
    def folder(self) -> Path:
        """The results folder."""
        return self._report.folder

    @property
    def variants(self) -> pd.DataFrame:
        """One row per variant: name, n, mean and sd of the test error in percent, params, macs and others."""
        return self._build_frame("variants")

    @property
    def claims(self) -> pd.DataFrame:
        """One row per claim: id, text, kind, metric, verdict, mean, ci_low, ci_high, p, q and others."""
        return self._build_frame("claims")

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run, as in runs.csv."""
        return self._report.frame

    @cached_property
    def _document(self) -> dict[str, Any]:
        """The report as `report --json` writes it."""
        document: dict[str, Any] = json.loads(write.serialize_report(self._report))
        return document

    def _build_frame(self, key: str) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self._document[key])

    def __repr__(self) -> str:
        return f"<StudyReport of {self.folder}: {len(self.variants)} variants, {len(self.claims)} claims>"

    def __str__(self) -> str:
        return markdown.build_markdown(self._report)

    def _repr_html_(self) -> str:
        """Return the answer, the tables and the notes: Jupyter calls this."""
        head = build_head(self._report)
        tables = [render_html(table) for table in markdown.build_tables(self._report)]
        notes = [*self._report.problems, *markdown.build_notes(self._report)]
        return "\n".join(
            [
                f"<p>{render_sentence(head.question)}</p>",
                f"<p><b>{render_sentence(head.answer)}</b></p>",
                *tables,
                *(f"<p>{render_sentence(note)}</p>" for note in notes),
            ]
        )

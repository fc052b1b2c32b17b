"""A report as files: runs.csv, report.md, table.tex, and, where they are there to be drawn, figures and the page.

Files are a function of the records alone: no clock, no path, no name of this machine goes in. So `check` can say
whether a committed report is what the records say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from vgg_ablate.analysis import frame, summary
from vgg_ablate.analysis.summary import Report, VariantRow
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.files import replace_file
from vgg_ablate.formatting import table
from vgg_ablate.report import markdown
from vgg_ablate.report.figures import canvas, registry
from vgg_ablate.report.html import document


def write_report(folder: str | Path) -> Report:
    """Write the report of a results folder into it. Raises StorageFailed where there is no study, or no place."""
    report = summary.load_report(folder)
    for name, text in build_files(report).items():
        replace_file(report.folder / name, text)
    return report


def build_files(report: Report) -> dict[str, str]:
    """The report's files: name -> content."""
    pictures = registry.render_figures(report)
    return {
        "runs.csv": frame.serialize_frame(report.frame),
        "report.md": markdown.build_markdown(report, pictures),
        "table.tex": "\n".join(table.render_latex(one) for one in markdown.build_tables(report)),
        **{f"figures/{picture.name}.svg": picture.svg for picture in pictures},
        "report.html": document.render_page(report, pictures),
    }


def check_report(folder: str | Path) -> list[str]:
    """How the files of a results folder differ from what its records say; empty where they do not."""
    report = summary.load_report(folder)
    return [
        difference
        for name, text in build_files(report).items()
        if (difference := _difference(report.folder / name, text)) is not None
    ]


def serialize_report(report: Report) -> str:
    """One JSON document; means and differences of errors in percent and percentage points, null where unknown."""
    document = {
        "study": report.study.name,
        "question": report.study.question,
        "metric": summary.PRIMARY_METRIC,
        "unit": "percent",
        "variants": [_variant(row) for row in report.rows],
        "claims": [_claim(verdict) for verdict in report.verdicts],
        "problems": list(report.problems),
        "missing": report.missing,
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _difference(path: Path, text: str) -> str | None:
    try:
        there = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"{path}: is not there"
    there, text = canvas.drop_incomparable_drawings(there, text)
    if there == text:
        return None
    lines = zip(there.splitlines(), text.splitlines(), strict=False)
    for number, (old, new) in enumerate(lines, start=1):
        if old != new:
            return f"{path}:{number}: the records say {_cut(new)}, got {_cut(old)}"
    return f"{path}: the records make {len(text.splitlines())} lines, got {len(there.splitlines())}"


def _cut(line: str) -> str:
    return repr(line if len(line) <= 100 else line[:97] + "...")


def _variant(row: VariantRow) -> dict[str, Any]:
    return _finite(
        {
            "name": row.name,
            "n": row.n,
            "planned": row.planned,
            "mean": row.error.mean,
            "sd": row.error.sd,
            "difference": row.to_base.mean,
            "difference_low": row.to_base.low,
            "difference_high": row.to_base.high,
            "best": row.best,
            "params": row.costs.get("params"),
            "macs": row.costs.get("macs"),
            "outcomes": dict(row.outcomes),
            "trained": row.judged - row.untrained,
            "stalled": len(row.stalled),
        }
    )


def _claim(verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    return _finite(
        {
            "id": claim.id,
            "text": claim.text,
            "kind": claim.kind,
            "metric": claim.metric,
            "a": claim.a,
            "b": None if claim.trend is not None else claim.b,
            "trend": None if claim.trend is None else claim.trend.model_dump(mode="json"),
            "margin": claim.margin,
            "smallest_effect": claim.smallest_effect,
            "n": verdict.n,
            "mean": verdict.mean,
            "sd": verdict.sd,
            "ci_low": verdict.ci_low,
            "ci_high": verdict.ci_high,
            "level": 1 - verdict.alpha,
            "p": verdict.p,
            "q": verdict.q,
            "verdict": verdict.verdict,
            "reason": verdict.reason,
            "finer": verdict.interval_word,
            "probability": verdict.probability,
            "wins": verdict.wins,
            "hedges_g": verdict.hedges_g,
            "detectable": verdict.detectable,
            "seeds_to_decide": verdict.seeds_to_decide,
            "sensitivity": dict(verdict.sensitivity),
            "beyond": list(verdict.beyond) if verdict.beyond else None,
            "exact": verdict.exact,
            "counts": None if verdict.counts is None else verdict.counts._asdict(),
            "horizons": {level: _finite(asdict(one)) for level, one in verdict.horizons.items()},
            "stable": verdict.stable,
        }
    )


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what is not known is null."""
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in values.items()}

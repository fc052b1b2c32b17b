"""The report of a results folder as files: runs.csv, report.md, table.tex, figures/*.svg and report.html.

The files are a function of the records alone: they contain no time of writing, no path and no host name. `check_report`
relies on that when it compares committed files with the records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from vgg_ablate.analysis import frame_csv, summary
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.variant_rows import PRIMARY_METRIC, VariantRow
from vgg_ablate.analysis.verdicts import HorizonVerdict, Verdict
from vgg_ablate.config.claims import ClaimSide
from vgg_ablate.config.published import PublishedValue
from vgg_ablate.files import replace_file
from vgg_ablate.formatting import table
from vgg_ablate.formatting.text import truncate
from vgg_ablate.report import markdown
from vgg_ablate.report.figures import canvas, registry
from vgg_ablate.report.figures.registry import RenderedFigure
from vgg_ablate.report.html import document


def write_report(folder: str | Path) -> Report:
    """Write the report of a results folder into the folder, and return it.

    Raises StorageError if the folder has no study or cannot be written.
    """
    report = summary.load_report(folder)
    write_files(report)
    return report


def write_files(report: Report) -> None:
    """Write every file of a report into its results folder. Raises StorageError if the folder cannot be written."""
    for name, text in build_files(report).items():
        replace_file(report.folder / name, text)


def write_pdf_figures(report: Report) -> list[Path]:
    """Write every figure of a report as figures/NAME.pdf, and return the paths. Raises StorageError."""
    paths = []
    for spec in registry.build_figure_specs(report):
        path = report.folder / "figures" / f"{spec.name}.pdf"
        replace_file(path, canvas.render_pdf(spec.draw))
        paths.append(path)
    return paths


def build_files(report: Report) -> dict[str, str]:
    """Build the content of every file of the report, by path relative to the results folder."""
    figures = registry.render_figures(report)
    return {**_build_committed_files(report, figures), "report.html": document.render_report_page(report, figures)}


def check_report(folder: str | Path) -> list[str]:
    """Compare the files of a report with its records, and return one message per file that differs."""
    report = summary.load_report(folder)
    return compare_files(report.folder, _build_committed_files(report, registry.render_figures(report)))


def compare_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Compare the files of a report with those in a folder, and return one message per file that differs.

    report.html is not compared: it is not committed, because `write_report` makes it from the same records.
    """
    differences = (_find_difference(folder / name, text) for name, text in files.items() if name != "report.html")
    return [difference for difference in differences if difference is not None]


def serialize_report(report: Report) -> str:
    """Return the report as a JSON document: errors in percent, differences in percentage points, null if unknown."""
    document = {
        "study": report.study.name,
        "question": report.study.question,
        "metric": PRIMARY_METRIC,
        "unit": "percent",
        "variants": [_serialize_row(row) for row in report.rows],
        "claims": [serialize_verdict(verdict) for verdict in report.verdicts],
        "problems": list(report.problems),
        "missing": report.missing,
        "looks": {
            "planned": report.decisions.looks,
            "judged": report.decisions.judged_looks,
            "open": report.decisions.open_claims,
            "stopped": report.decisions.stopped,
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _build_committed_files(report: Report, figures: tuple[RenderedFigure, ...]) -> dict[str, str]:
    return {
        "runs.csv": frame_csv.serialize_frame(report.frame),
        "report.md": markdown.build_markdown(report, figures),
        "table.tex": "\n".join(table.render_latex(content) for content in markdown.build_tables(report)),
        **{f"figures/{figure.name}.svg": figure.svg for figure in figures},
    }


def _find_difference(path: Path, expected: str) -> str | None:
    try:
        actual = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"{path}: file not found"
    actual, expected = canvas.drop_incomparable_drawings(actual, expected)
    if actual == expected:
        return None
    lines = zip(actual.splitlines(), expected.splitlines(), strict=False)
    for number, (actual_line, expected_line) in enumerate(lines, start=1):
        if actual_line != expected_line:
            return f"{path}:{number}: expected {_quote(expected_line)} from the records, got {_quote(actual_line)}"
    return f"{path}: expected {len(expected.splitlines())} lines from the records, got {len(actual.splitlines())}"


def _quote(line: str) -> str:
    return repr(truncate(line, 100))


def _serialize_row(row: VariantRow) -> dict[str, Any]:
    return _replace_nan(
        {
            "name": row.name,
            "n": row.n,
            "planned": row.planned,
            "mean": row.error.mean,
            "sd": row.error.sd,
            "difference": row.to_base.mean,
            "difference_low": row.to_base.low,
            "difference_high": row.to_base.high,
            "best": row.is_best,
            "params": row.costs.get("params"),
            "macs": row.costs.get("macs"),
            "outcomes": dict(row.outcomes),
            "trained": row.judged_runs - row.untrained_runs,
            "stalled": len(row.stalled),
        }
    )


def _serialize_side(side: ClaimSide | PublishedValue) -> Any:
    return side.model_dump(mode="json") if isinstance(side, PublishedValue) else side


def serialize_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain data; numbers that cannot be computed are None."""
    claim = verdict.claim
    return _replace_nan(
        {
            "id": claim.id,
            "text": claim.text,
            "kind": claim.kind,
            "metric": claim.metric,
            "a": claim.a,
            "b": None if claim.trend is not None else _serialize_side(claim.b),
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
            # The key is older than the attribute's name; JSON field names are a file format and stay.
            "finer": verdict.interval_word,
            "probability": verdict.probability,
            "wins": verdict.wins,
            "hedges_g": verdict.hedges_g,
            "detectable": verdict.detectable,
            "excluded": verdict.excluded,
            "small": verdict.is_small,
            "seeds_needed": verdict.seeds_needed,
            "look": verdict.look,
            "power": verdict.power,
            "sensitivity": dict(verdict.sensitivity),
            "beyond": list(verdict.beyond) if verdict.beyond else None,
            "on_test_set": verdict.on_test_set,
            "exact": verdict.is_exact,
            "counts": None if verdict.counts is None else verdict.counts._asdict(),
            "horizons": {level: _serialize_horizon(judged) for level, judged in verdict.horizons.items()},
            "stable": verdict.is_stable,
            **({"method": verdict.method} if verdict.method else {}),
        }
    )


def _serialize_horizon(verdict: HorizonVerdict) -> dict[str, Any]:
    return _replace_nan(
        {
            "mean": verdict.mean,
            "ci_low": verdict.ci_low,
            "ci_high": verdict.ci_high,
            "verdict": verdict.verdict,
            "complete": verdict.is_complete,
        }
    )


def _replace_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace numbers that are not finite by None: JSON has no NaN."""
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in values.items()}

"""The scoreboard as files: claims.md and training-length.svg in results/paper, and marked parts of two documents.

The documents are README.md and docs/reproduction.md.

A marked part begins with `<!-- claims: PART -->` and ends with `<!-- claims: end -->`; the text between the markers is
generated. PART is `table` (the table of trained statements), `ranks` (the order of the nets in every training), the id
of a statement such as `E06` (its evidence), or `study NAME` (the answer, the state of training and the first table of
results/NAME).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vgg_ablate.analysis.summary import Report
from vgg_ablate.errors import StorageError
from vgg_ablate.files import replace_file
from vgg_ablate.formatting.table import render_markdown
from vgg_ablate.paper import scoreboard
from vgg_ablate.paper.rankings import build_rankings_table, collect_rankings, render_ranks
from vgg_ablate.paper.standing import ReadReport, Standing, build_report_reader, collect_standings
from vgg_ablate.paper.training_length import render_training_length
from vgg_ablate.report.figures import canvas
from vgg_ablate.report.head import build_head, render_training_markdown

END_MARKER = "<!-- claims: end -->"
# `|\Z` matches a part without its end marker, so that it is reported instead of left as it is.
_MARKED_PART = re.compile(
    rf"(<!-- claims: (?P<part>(?!end\b)[\w-]+(?: [\w-]+)?) -->\n)(?P<inside>.*?)({END_MARKER}|\Z)", re.DOTALL
)
_DOCUMENTS = ("README.md", "docs/reproduction.md")  # relative to the parent of the results folder


def write_scoreboard(results: Path) -> tuple[Standing, ...]:
    """Write claims.md and the marked parts of the documents; return the standings.

    Raises StorageError if a file cannot be read or written, or a marker is wrong.
    """
    read_report = build_report_reader(results)
    standings = collect_standings(read_report)
    for path, text in _render_files(results, standings, read_report).items():
        replace_file(path, text)
    return standings


def find_outdated_files(results: Path) -> list[str]:
    """Return the first differences between the files and what `write_scoreboard` would write, one per line."""
    read_report = build_report_reader(results)
    files = _render_files(results, collect_standings(read_report), read_report)
    return [difference for path, text in files.items() for difference in _find_differences(path, text)]


def _render_files(results: Path, standings: Sequence[Standing], read_report: ReadReport) -> dict[Path, str]:
    files = {results / "paper" / "claims.md": scoreboard.render_scoreboard(standings)}
    rankings = collect_rankings(read_report)
    rankings_table = build_rankings_table(rankings)
    drawings = {
        "training-length": render_training_length(read_report, results / "withdrawn"),
        "ranks": render_ranks(rankings),
    }
    files |= {results / "paper" / f"{name}.svg": drawing for name, drawing in drawings.items() if drawing}
    for name in _DOCUMENTS:
        path = results.absolute().parent / name
        if path.exists():
            parts = {
                "table": scoreboard.render_readme_table(standings),
                "ranks": "Not run yet.\n" if rankings_table is None else render_markdown(rankings_table),
                **{standing.statement.id: scoreboard.render_statement(standing) for standing in standings},
            }
            files[path] = _fill_marked_parts(path, path.read_text(encoding="utf-8"), parts, read_report)
    return files


def _fill_marked_parts(path: Path, text: str, parts: Mapping[str, str], read_report: ReadReport) -> str:
    def render_part(match: re.Match[str]) -> str:
        begin, part, _, end = match.groups()
        if end != END_MARKER:
            raise StorageError(f"{path}: {begin.strip()!r} has no end marker {END_MARKER!r}")
        kind, _, study = part.partition(" ")
        if part in parts:
            inside = parts[part]
        elif kind == "study" and (report := read_report(study)) is not None:
            inside = _render_answer(report)
        else:
            rule = "expected 'table', 'ranks', an id of the catalogue, or 'study' and the name of a results folder"
            raise StorageError(f"{path}: {begin.strip()!r}: {rule}")
        return f"{begin}{inside}{END_MARKER}"

    return _MARKED_PART.sub(render_part, text)


def _render_answer(report: Report) -> str:
    """Return the answer of a study, the state of its training and its table of claims in Markdown."""
    head = build_head(report)
    training = render_training_markdown(head)
    paragraphs = [f"> **{head.answer}**", *([training] if training else [])]
    table = render_markdown(head.claims) if head.claims is not None else ""
    return "\n\n".join([*paragraphs, table])


def _find_differences(path: Path, text: str) -> list[str]:
    if not path.exists():
        return [f"{path}: file not found; python -m vgg_ablate claims writes it"]
    old, new = canvas.drop_incomparable_drawings(path.read_text(encoding="utf-8"), text)
    if old == new:  # ndiff takes seconds for a drawing
        return []
    changed = [line for line in difflib.ndiff(old.splitlines(), new.splitlines()) if line.startswith(("- ", "+ "))]
    return [f"{path}: {line}" for line in changed[:2]]

"""The pages of the site: an index of all studies, the page of each study, and the scoreboard of the paper.

The site loads nothing from elsewhere, and works from a disk as well as from a server.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from vgg_ablate.analysis.frame import MISSING, NOT_NEEDED
from vgg_ablate.analysis.saved_study import read_saved_study
from vgg_ablate.analysis.summary import Report, load_report
from vgg_ablate.errors import Problem, SpecError, StorageError
from vgg_ablate.files import replace_file
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.table import Table
from vgg_ablate.formatting.text import count_noun
from vgg_ablate.paper import scoreboard
from vgg_ablate.paper.standing import build_report_reader, collect_standings
from vgg_ablate.paper.trained_table import build_trained_table
from vgg_ablate.report.answer import describe_answer
from vgg_ablate.report.figures import registry
from vgg_ablate.report.html.document import render_document, render_report_page


@dataclass(frozen=True)
class StudyEntry:
    """A study as the index shows it."""

    folder: str  # of its page, relative to the index
    name: str
    question: str
    answer: str
    state: str  # finished, unfinished, not run yet, or damaged
    progress: str
    date: str  # of the last start, YYYY-MM-DD; empty where it is unknown


def build_site(results: Path, out: Path) -> tuple[StudyEntry, ...]:
    """Write the site of every results folder in `results` into `out`; return the studies of its index.

    Raises SpecError if there is none, or `out` holds results, and StorageError if a file cannot be written. A folder
    that cannot be read is left out, and its index entry gives the reason.
    """
    entries = tuple(write_study(folder, out) for folder in list_results_folders(results, out))
    write_index(results, out, entries)
    if (results / "paper").is_dir():
        _write_scoreboard(results, out)
    return entries


def list_results_folders(results: Path, out: Path) -> list[Path]:
    """Return the results folders of a site. Raises SpecError if there is none, or `out` holds results."""
    folders = sorted(path.parent for path in results.glob("*/manifest.json"))
    if not folders:
        raise SpecError(Problem("no results folder in here", location=str(results)))
    if out.resolve() == results.resolve() or (out / "manifest.json").exists():
        raise SpecError(Problem("holds results; name another folder for the site", "--out", got=str(out)))
    return folders


def write_index(
    results: Path, out: Path, entries: tuple[StudyEntry, ...], running: frozenset[str] = frozenset()
) -> None:
    """Write the index; the studies in `running` get a link to their live page. Raises StorageError."""
    states = list(dict.fromkeys(entry.state for entry in entries))
    has_scoreboard = (results / "paper").is_dir()
    page = _render("site_index.html", entries=entries, states=states, has_scoreboard=has_scoreboard, running=running)
    replace_file(out / "index.html", page)


def render_live_page(folder: Path) -> str:
    """Return the page that follows a study while it runs. Raises StorageError, SpecError."""
    return _render("site_live.html", study=folder.name, question=read_saved_study(folder).question)


def write_study(folder: Path, out: Path) -> StudyEntry:
    """Write the pages of one results folder; return its entry in the index. Raises StorageError."""
    try:
        report = load_report(folder)
    except StorageError as error:
        return StudyEntry(folder.name, folder.name, "", f"cannot be read: {error}", "damaged", "", "")
    target = out / folder.name
    figures = registry.render_figures(report)
    replace_file(target / "index.html", render_report_page(report, figures))
    for figure in figures:
        replace_file(target / "figures" / f"{figure.name}.svg", figure.svg)
    if (folder / "records").is_dir():  # the page links them
        shutil.copytree(folder / "records", target / "records", dirs_exist_ok=True)
    return _build_entry(report, folder.name)


def _build_entry(report: Report, folder: str) -> StudyEntry:
    outcomes = report.frame["outcome"]
    asked, missing = int((outcomes != NOT_NEEDED).sum()), int((outcomes == MISSING).sum())
    state = "finished" if not missing else "not run yet" if missing == asked else "unfinished"
    history = report.provenance.get("history", [])
    date = str(history[-1].get("at", ""))[:10] if history else ""
    progress = f"{numbers.format_count(asked - missing)} of {count_noun(numbers.format_count(asked), 'runs')}"
    return StudyEntry(folder, report.study.name, report.study.question, describe_answer(report), state, progress, date)


def _write_scoreboard(results: Path, out: Path) -> None:
    standings = collect_standings(build_report_reader(results))
    trained = build_trained_table(standings)
    tables: list[Table] = [*([trained] if trained.rows else []), scoreboard.build_scoreboard_table(standings)]
    drawings = sorted((results / "paper").glob("*.svg"))
    for drawing in drawings:
        shutil.copyfile(drawing, out / drawing.name)
    names = [(drawing.name, drawing.stem.replace("-", " ")) for drawing in drawings]
    replace_file(out / "paper.html", _render("site_paper.html", tables=tables, drawings=names))


def _render(template: str, **values: object) -> str:
    return render_document(template, generator=f"vgg_ablate {version('vgg_ablate')}", **values)

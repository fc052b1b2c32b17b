"""`report STUDY`: tables and verdicts from the records; `--check` compares the written report with the records."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from vgg_ablate.cli.arguments import JSON, OUT, find_results_folder, load_study
from vgg_ablate.config.study_file import ReportColumn
from vgg_ablate.errors import CheckFailedError, Problem, SpecError, StorageError, find_nearest, format_problems

STUDIES = Annotated[
    list[Path], typer.Argument(metavar="STUDY...", help="Study files or results folders; several are compared.")
]
COLUMNS = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Columns of the printed comparison, in order, such as variant,error,params."),
]
CHECK = Annotated[
    bool, typer.Option("--check", help="Write nothing; fail where the written files do not match the records.")
]
PDF = Annotated[bool, typer.Option("--pdf", help="Write the figures as PDF too, for LaTeX.")]
METHODS = Annotated[
    bool, typer.Option("--methods", help="Print the methods and a checklist for a paper, from the records.")
]


def report(
    studies: STUDIES,
    out: OUT = None,
    check: CHECK = False,
    columns: COLUMNS = None,
    pdf: PDF = False,
    methods: METHODS = False,
    as_json: JSON = False,
) -> None:
    """Write the report of a study into its results folder and print it; print several studies side by side."""
    folders = [find_results_folder(study, out) for study in studies]
    if methods:
        _print_methods(folders)
    elif check:
        _check_reports(folders)
    elif len(folders) == 1:
        _save_texts(studies[0], folders[0])
        write_and_print_report(folders[0], as_json=as_json, columns=_parse_columns(columns), pdf=pdf)
    else:
        _compare_studies(folders, as_json=as_json)


def _print_methods(folders: list[Path]) -> None:
    from vgg_ablate.analysis import summary
    from vgg_ablate.report import methods_text

    for folder in folders:
        print(methods_text.render_methods(summary.load_report(folder)), end="")


def _save_texts(study: Path, folder: Path) -> None:
    """Copy a new answer, or new settings of the report, from the study file into the results folder."""
    from vgg_ablate.runs.results_dir import save_texts

    if study.is_file():
        save_texts(load_study(study, None), folder)


def write_and_print_report(
    folder: Path, *, as_json: bool, columns: Sequence[ReportColumn] = (), pdf: bool = False
) -> None:
    """Write the report of a results folder and print it: head, tables and notes, or one JSON document.

    `columns` select the columns of the printed comparison; the files have those that the study selects. With `pdf` the
    figures are written as PDF too. In a folder that cannot be written, JSON is printed all the same, with a note on
    stderr.

    Raises CheckFailedError, after writing, where records are damaged or contradict the study, and StorageError.
    """
    from vgg_ablate.analysis import summary
    from vgg_ablate.formatting import table
    from vgg_ablate.report import markdown, write
    from vgg_ablate.report.head import build_head, render_head_text

    written = summary.load_report(folder)
    try:
        write.write_files(written)
    except StorageError as error:
        if not as_json:
            raise
        print(f"not written: {error}", file=sys.stderr)
    if as_json:
        print(write.serialize_report(written))
    else:
        print(render_head_text(build_head(written), table.find_console_width()))
        table.print_tables(markdown.build_tables(written, columns))
        for note in markdown.build_notes(written):
            print(f"note: {note}", file=sys.stderr)
        print(f"written: {folder / 'report.md'}, {folder / 'report.html'}", file=sys.stderr)
    if written.problems:
        raise CheckFailedError(format_problems(written.problems))
    if pdf:
        paths = write.write_pdf_figures(written)
        print(f"written: {', '.join(map(str, paths)) or 'no figures: nothing is recorded'}", file=sys.stderr)


def _parse_columns(text: str | None) -> tuple[ReportColumn, ...]:
    """Return the columns of `--columns`. Raises SpecError for an unknown one."""
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    known = get_args(ReportColumn)
    problems = [
        Problem("unknown column", "--columns", "command line", name, find_nearest(name, known))
        for name in names
        if name not in known
    ]
    if problems:
        raise SpecError(problems)
    return cast("tuple[ReportColumn, ...]", names)


def _check_reports(folders: list[Path]) -> None:
    differences = [difference for folder in folders for difference in _list_differences(folder)]
    if differences:
        raise CheckFailedError(format_problems(differences))
    for folder in folders:
        print(f"{folder}: the report matches the records")


def _list_differences(folder: Path) -> list[str]:
    """Return how the files of a folder differ from its records; of results/paper, from all records beside it."""
    if (folder / "claims.md").exists():  # results/paper has no records of its own
        from vgg_ablate.paper import writing as scoreboard

        return scoreboard.find_outdated_files(folder.parent)
    from vgg_ablate.report import write

    return write.check_report(folder)


def _compare_studies(folders: list[Path], *, as_json: bool) -> None:
    from vgg_ablate.analysis import summary
    from vgg_ablate.formatting import table
    from vgg_ablate.report import compare

    reports = [summary.load_report(folder) for folder in folders]
    comparison = compare.compare_reports(reports)
    if as_json:
        print(compare.serialize_comparison(comparison))
    else:
        table.print_tables(comparison.tables)
        if comparison.differences:
            print("Differences between the studies:")
        else:
            print("The studies do not differ in anything that their files say.")
        for difference in comparison.differences:
            print(f"  {difference}")
    problems = [f"{report.folder}: {problem}" for report in reports for problem in report.problems]
    if problems:
        raise CheckFailedError(format_problems(problems))

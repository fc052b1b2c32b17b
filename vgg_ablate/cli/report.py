"""`report STUDY`: tables and verdicts from the records; `--check`: are the committed files what the records say?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vgg_ablate.cli.arguments import JSON, OUT, find_results_folder
from vgg_ablate.errors import CheckFailedError

STUDIES = Annotated[
    list[Path], typer.Argument(metavar="STUDY...", help="Study files, or results folders; two are set side by side.")
]
CHECK = Annotated[bool, typer.Option("--check", help="Write nothing; fail where the files are not what records say.")]


def report(studies: STUDIES, out: OUT = None, check: CHECK = False, as_json: JSON = False) -> None:
    """Write the report of a study's records into its results folder, and print it; of several, side by side."""
    folders = [find_results_folder(study, out) for study in studies]
    if check:
        _checked(folders)
    elif len(folders) == 1:
        write_and_print_report(folders[0], as_json=as_json)
    else:
        _beside(folders, as_json=as_json)


def write_and_print_report(folder: Path, *, as_json: bool) -> None:
    """Write the report of a results folder and print it: tables and notes, or one JSON document."""
    from vgg_ablate.formatting import table
    from vgg_ablate.report import markdown, write

    made = write.write_report(folder)
    if as_json:
        print(write.serialize_report(made))
    else:
        table.print_tables(markdown.build_tables(made))
        for note in markdown.build_notes(made):
            print(f"note: {note}", file=sys.stderr)
        print(f"written: {folder / 'report.md'}, {folder / 'report.html'}", file=sys.stderr)
    if made.problems:
        raise CheckFailedError("\n".join(made.problems))


def _checked(folders: list[Path]) -> None:
    differences = [difference for folder in folders for difference in _difference(folder)]
    if differences:
        raise CheckFailedError("\n".join(differences))
    for folder in folders:
        print(f"{folder}: the report is what the records say")


def _difference(folder: Path) -> list[str]:
    """How a folder differs from what its records say; of results/paper: from what all records beside it say."""
    if (folder / "claims.md").exists():
        from vgg_ablate.paper import writing as scoreboard

        return scoreboard.find_outdated_files(folder.parent)
    from vgg_ablate.report import write

    return write.check_report(folder)


def _beside(folders: list[Path], *, as_json: bool) -> None:
    from vgg_ablate.analysis import summary
    from vgg_ablate.formatting import table
    from vgg_ablate.report import compare

    reports = [summary.load_report(folder) for folder in folders]
    found = compare.compare_reports(reports)
    if as_json:
        print(compare.serialize_comparison(found))
    else:
        table.print_tables(found.tables)
        print(
            "What differs between the studies:" if found.differences else "The studies differ in nothing that is known."
        )
        for difference in found.differences:
            print(f"  {difference}")
    problems = [f"{report.folder}: {problem}" for report in reports for problem in report.problems]
    if problems:
        raise CheckFailedError("\n".join(problems))

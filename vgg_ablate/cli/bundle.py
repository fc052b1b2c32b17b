"""`bundle STUDY`: a study as one zip file that a reader can check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vgg_ablate.cli.arguments import OUT, RESULTS, find_results_folder


def bundle(
    study: RESULTS,
    out: OUT = None,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write; default: <study>.zip.")] = None,
) -> None:
    """Write a zip of a study: its file, records, report, methods and environment, and the command that verifies it."""
    from vgg_ablate.analysis import summary
    from vgg_ablate.formatting.numbers import format_bytes
    from vgg_ablate.report.bundle import write_bundle

    report = summary.load_report(find_results_folder(study, out))
    path = to or Path(f"{report.study.name}.zip")
    word = "replaced" if path.exists() else "written"
    count = write_bundle(report, path)
    print(f"{word}: {path}, {count} files, {format_bytes(path.stat().st_size)}")

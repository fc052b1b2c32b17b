"""`run STUDY`: train what is missing, then report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vgg_ablate.cli.arguments import JSON, OUT, OVERRIDES, STUDY, loaded
from vgg_ablate.cli.report import written

Progress = Literal["auto", "rich", "plain", "none"]


def run(
    study: STUDY,
    overrides: OVERRIDES = None,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Default: one a core, or one a GPU.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, or cuda:0,1")] = "auto",
    storage: Annotated[str | None, typer.Option(metavar="URL", help="Of the ledger; default: a file.")] = None,
    out: OUT = None,
    progress: Annotated[Progress, typer.Option(help="How to show progress, on stderr.")] = "auto",
    as_json: JSON = False,
) -> None:
    """Train every run of a study that has no record yet, then print the comparison and the verdicts."""
    from vgg_ablate.runs import driver

    asked = loaded(study, overrides)
    folder = out or Path("results") / asked.name
    options = driver.Options(workers=workers, device=device, storage=storage, progress=progress)
    finished = driver.run(asked, folder, options)
    written(folder, as_json=as_json)
    finished.raise_for_failures()

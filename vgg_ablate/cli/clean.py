"""`clean`: remove what no study asks for any more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FOLDERS = Annotated[
    list[Path] | None, typer.Argument(metavar="[RESULTS]...", help="Results folders; default: those in results/.")
]
DRY = Annotated[bool, typer.Option("--dry-run", help="Only list them.")]


def clean(folders: FOLDERS = None, dry_run: DRY = False) -> None:
    """Remove records that no study asks for, those set aside by --retry, and checkpoints of runs that have ended."""
    from vgg_ablate.runs.cleaning import removed, strays

    for folder in folders or sorted(path.parent for path in Path("results").glob("*/manifest.json")):
        for path in strays(folder):
            print(path if dry_run else f"removed {removed(path)}")

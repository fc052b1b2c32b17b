"""`clean`: set aside what no study asks for any more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vgg_ablate.errors import Problem, SpecError

FOLDERS = Annotated[
    list[Path] | None, typer.Argument(metavar="[RESULTS]...", help="Results folders; default: those in results/.")
]
DRY = Annotated[bool, typer.Option("--dry-run", help="List the files and change nothing.")]
YES = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
ASIDE = Annotated[bool, typer.Option("--aside", help="Delete records that were set aside before, too.")]


def clean(folders: FOLDERS = None, dry_run: DRY = False, yes: YES = False, aside: ASIDE = False) -> None:
    """Set aside records that no study asks for, and delete half-written files and checkpoints of recorded runs.

    Refuse while a run holds the folder. A record moves to records/aside/, from where it can be moved back.
    """
    from vgg_ablate.runs.cleanup import find_orphans, remove_orphans
    from vgg_ablate.runs.leases import hold_study_lock

    for folder in folders or sorted(path.parent for path in Path("results").glob("*/manifest.json")):
        with hold_study_lock(folder):
            orphans = find_orphans(folder, aside=aside)
            for path in orphans.paths:
                print(path)
            if dry_run or not orphans.paths or not _confirmed(folder, len(orphans.paths), yes=yes):
                continue
            for line in remove_orphans(orphans):
                print(line)
            if orphans.records:
                here = folder / "records"
                print(f"to take a record back: mv {here}/aside/KEY.0.json {here}/KEY.json")


def _confirmed(folder: Path, count: int, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        rule = f"would remove {count} files from {folder}: pass --yes to confirm, or --dry-run to list them"
        raise SpecError(Problem(rule, place="command line"))
    return typer.confirm(f"Remove these {count} files from {folder}?")

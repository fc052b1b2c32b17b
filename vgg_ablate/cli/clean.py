"""`clean`: set aside records and delete files that no study needs any more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vgg_ablate.errors import Problem, SpecError

FOLDERS = Annotated[
    list[Path] | None, typer.Argument(metavar="[RESULTS]...", help="Results folders; default: all in results/.")
]
DRY = Annotated[bool, typer.Option("--dry-run", help="List the files; change nothing.")]
YES = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
ASIDE = Annotated[bool, typer.Option("--aside", help="Also delete records that were set aside earlier.")]


def clean(folders: FOLDERS = None, dry_run: DRY = False, yes: YES = False, aside: ASIDE = False) -> None:
    """Set aside records that no study asks for; delete half-written files and checkpoints of recorded runs.

    Fail while a driver is running in the folder. Records move to records/aside/, from where they can be moved back.
    """
    from vgg_ablate.runs.cleanup import find_orphans, remove_orphans
    from vgg_ablate.runs.leases import hold_study_lock

    for folder in folders or sorted(path.parent for path in Path("results").glob("*/manifest.json")):
        # A running driver may write, at any moment, what looks like an orphan here.
        with hold_study_lock(folder):
            orphans = find_orphans(folder, aside=aside)
            for path in orphans.paths:
                print(path)
            if dry_run or not orphans.paths or not _confirm(folder, len(orphans.paths), yes=yes):
                continue
            for line in remove_orphans(orphans):
                print(line)
            if orphans.records:
                records = folder / "records"
                print(f"to restore a record: mv {records}/aside/KEY.0.json {records}/KEY.json")


def _confirm(folder: Path, count: int, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():  # nobody can answer: a script must say what it means
        rule = f"would remove {count} files from {folder}: pass --yes to confirm, or --dry-run to list them"
        raise SpecError(Problem(rule, location="command line"))
    return typer.confirm(f"Remove these {count} files from {folder}?")

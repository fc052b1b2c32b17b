"""`status STUDY`: how far it has come; `--rebuild` makes its ledger again from the records."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import JSON, OUT, RESULTS, find_results_folder, load_study

if TYPE_CHECKING:
    from vgg_ablate.runs.status import StudyStatus

REBUILD = Annotated[bool, typer.Option(help="Make the ledger again from the records.")]
STORAGE = Annotated[str | None, typer.Option(metavar="URL", help="Of the ledger, for --rebuild; default: a file.")]


def status(
    study: RESULTS, out: OUT = None, rebuild: REBUILD = False, storage: STORAGE = None, as_json: JSON = False
) -> None:
    """Say what is recorded, what is missing, what has failed, and who is at work on it. Locks and writes nothing."""
    folder = find_results_folder(study, out)
    if rebuild:
        _rebuilt(folder, storage)
        return
    found = _found(study, folder)
    if as_json:
        print(json.dumps({"folder": str(folder), **asdict(found), "missing": found.missing}, indent=1))
    else:
        _print(folder, found)


def _found(study: Path, folder: Path) -> StudyStatus:
    """Of what the study file asks for now; of a folder, or a search, of what was asked for when it ran."""
    from vgg_ablate.runs.plan import build_plan
    from vgg_ablate.runs.progress.reading import fingerprint_with_notice
    from vgg_ablate.runs.status import compute_status, read_status

    if study.is_dir() or load_study(study, None).design.kind == "search":
        return read_status(folder)
    return compute_status(build_plan(load_study(study, None), fingerprint_with_notice).planned, folder)


def _print(folder: Path, found: StudyStatus) -> None:
    print(f"{folder}: {found.recorded} of {found.asked} runs recorded, {found.missing} missing")
    if found.held_by:
        print(f"{found.held_by} is running it")
    width = max(map(len, found.variants), default=0)
    for variant, outcomes in found.variants.items():
        print(f"  {variant:{width}}  " + ", ".join(f"{count} {word}" for word, count in outcomes.items()))
    for cell, reason in found.failures.items():
        print(f"  {cell}: {reason}")


def _rebuilt(folder: Path, storage: str | None) -> None:
    from vgg_ablate.runs.progress.reading import fingerprint_with_notice
    from vgg_ablate.runs.rebuild import rebuild_ledger

    count = rebuild_ledger(load_study(folder / "study.yaml", None), folder, storage, fingerprint_with_notice)
    print(f"{folder}: the ledger was made again from the records: {count} trials")

"""`status STUDY`: the progress of a study, read from its records; `--rebuild` rebuilds its ledger from them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import JSON, OUT, RESULTS, declare_storage, find_results_folder, load_study
from vgg_ablate.formatting.text import count_noun

if TYPE_CHECKING:
    from vgg_ablate.runs.status import InterimVerdict, StudyStatus

REBUILD = Annotated[bool, typer.Option(help="Rebuild the ledger from the records.")]
STORAGE = Annotated[str | None, declare_storage(", for --rebuild; default: its file.")]


def status(
    study: RESULTS, out: OUT = None, rebuild: REBUILD = False, storage: STORAGE = None, as_json: JSON = False
) -> None:
    """Show which runs are recorded, missing or failed, and which driver is running. Takes no lock, writes nothing."""
    folder = find_results_folder(study, out)
    if rebuild:
        _rebuild_ledger(folder, storage)
        return
    current = _read_status(study, folder)
    if as_json:
        print(json.dumps({"folder": str(folder), **asdict(current), "missing": current.missing}, indent=1))
    else:
        _print_status(folder, current)


def _read_status(study: Path, folder: Path) -> StudyStatus:
    """Return the status of the runs of the study file.

    For a folder, and for a search, whose proposals only the manifest lists, return that of the runs in the manifest.
    """
    from vgg_ablate.runs.plan import build_plan
    from vgg_ablate.runs.progress.reading import DeclaredFingerprints
    from vgg_ablate.runs.status import compute_status, read_status

    if study.is_dir() or load_study(study, None).design.proposes_variants:
        return read_status(folder)
    loaded = load_study(study, None)
    return compute_status(build_plan(loaded, DeclaredFingerprints(folder)).planned, folder, loaded)


def _print_status(folder: Path, current: StudyStatus) -> None:
    more = "; the search asks for more until its hours are spent" if current.is_open_ended else ""
    spared = f", {current.spared} not needed" if current.spared else ""
    asked = count_noun(current.asked, "runs")
    print(f"{folder}: {current.recorded} of {asked} recorded, {current.missing} missing{spared}{more}")
    if current.held_by:
        print(f"{current.held_by} is running it")
    width = max(map(len, current.variants), default=0)
    for variant, outcomes in current.variants.items():
        print(f"  {variant:{width}}  " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    for cell, reason in current.failures.items():
        print(f"  {cell}: {reason}")
    if current.look:
        print(current.look)
    for claim in current.claims:
        print(f"  {claim.id}: {_describe_claim(claim)}")


def _describe_claim(claim: InterimVerdict) -> str:
    """Return the interim verdict: `supported after 3 seeds, a − b: −0.42 [−0.74, −0.10]`, or `open after ...`."""
    from vgg_ablate.analysis.metrics import get_shown_sign
    from vgg_ablate.analysis.pairs import flip_interval
    from vgg_ablate.formatting.numbers import format_difference

    state = "open" if claim.is_open else claim.verdict
    after = f" after {claim.look} seeds" if claim.look else ""
    estimate = ""
    if claim.mean is not None and claim.ci_low is not None and claim.ci_high is not None:
        sign = get_shown_sign(claim.metric)
        low, high = flip_interval((claim.ci_low, claim.ci_high), sign)
        # 4: about two t quantiles; the standard error decides the number of decimals.
        estimate = f", a − b: {format_difference(sign * claim.mean, low, high, (high - low) / 4)}"
    chance = "" if claim.power is None else f", chance of a decision by the last look {100 * claim.power:.0f} %"
    return f"{state}{after}{estimate}{chance}"


def _rebuild_ledger(folder: Path, storage: str | None) -> None:
    from vgg_ablate.runs.progress.reading import compute_fingerprint_with_notice
    from vgg_ablate.runs.rebuild import rebuild_ledger

    count = rebuild_ledger(load_study(folder / "study.yaml", None), folder, storage, compute_fingerprint_with_notice)
    print(f"{folder}: ledger rebuilt from the records: {count} trials")

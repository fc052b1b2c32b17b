"""`run STUDY`: train what is missing of a study, then write and print its report."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from vgg_ablate.cli.arguments import JSON, NAME, OUT, OVERRIDES, STUDY, declare_storage, load_study_and_folder
from vgg_ablate.cli.report import write_and_print_report
from vgg_ablate.formatting.text import count_noun
from vgg_ablate.runs.progress.tracker_names import TrackerName

Progress = Literal["auto", "rich", "plain", "none"]


class Retry(StrEnum):
    """Recorded outcomes whose runs can be repeated."""

    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"


WORKERS = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Number of workers; default: one per core, or per GPU.")
]
DEVICE = Annotated[str, typer.Option(help="Device to train on: auto, cpu, cuda, or GPUs by number: cuda:0,1.")]
RUNS_PER_GPU = Annotated[
    str,
    typer.Option("--runs-per-gpu", metavar="N|auto", help="Runs that share a GPU; auto: as many as fit, as measured."),
]
# The names of version 0.1, hidden from --help; they go in the next release.
PACKING = Annotated[str | None, typer.Option("--packing", hidden=True)]
SILENCE = Annotated[float | None, typer.Option("--silence", min=1, hidden=True)]
STORAGE = Annotated[str | None, declare_storage("; default: a file in the results folder; memory: none.")]
RETRY = Annotated[
    list[Retry] | None, typer.Option(help="Repeat runs with this recorded outcome; may be given more than once.")
]
POOL = Annotated[
    Literal["local", "ray"], typer.Option(help="Workers: processes on this machine, or tasks of a Ray cluster.")
]
ADDRESS = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Address of the Ray cluster; auto: the one on this machine.")
]
UNTIL = Annotated[
    float | None,
    typer.Option(
        metavar="LEVEL",
        help="Train only the horizons up to this level; the others stay missing, with exit status 0.",
    ),
]
HEARTBEAT_TIMEOUT = Annotated[
    float,
    typer.Option(
        "--heartbeat-timeout",
        metavar="SECONDS",
        min=1,
        help="Seconds without a heartbeat after which a run is handed out again.",
    ),
]


MAX_HOURS = Annotated[
    float | None,
    typer.Option(metavar="H", min=0, help="Warn as soon as the study is predicted to take longer; nothing is stopped."),
]
TRACK = Annotated[
    list[TrackerName] | None,
    typer.Option(help="Mirror epochs and outcomes to an experiment tracker; may be given more than once."),
]


def run(
    study: STUDY,
    overrides: OVERRIDES = None,
    workers: WORKERS = None,
    device: DEVICE = "auto",
    runs_per_gpu: RUNS_PER_GPU = "1",
    storage: STORAGE = None,
    out: OUT = None,
    name: NAME = None,
    retry: RETRY = None,
    wait: Annotated[bool, typer.Option(help="Wait while another process is running this study.")] = False,
    until: UNTIL = None,
    max_hours: MAX_HOURS = None,
    pool: POOL = "local",
    address: ADDRESS = None,
    heartbeat_timeout: HEARTBEAT_TIMEOUT = 120,
    progress: Annotated[Progress, typer.Option(help="Progress display on stderr.")] = "auto",
    track: TRACK = None,
    as_json: JSON = False,
    packing: PACKING = None,
    silence: SILENCE = None,
) -> None:
    """Train every run of a study that has no record, then write its report and print tables and verdicts."""
    from vgg_ablate.records import Outcome
    from vgg_ablate.runs import driver
    from vgg_ablate.runs.interrupts import INTERRUPTED, handle_sigterm
    from vgg_ablate.runs.leases import read_lock_holder
    from vgg_ablate.runs.resources.slots import parse_runs_per_gpu

    checked, folder = load_study_and_folder(study, overrides, out, name)
    if overrides and out is None:
        print(f"results: {folder}", file=sys.stderr)
    options = driver.RunOptions(
        workers=workers,
        device=device,
        runs_per_gpu=parse_runs_per_gpu(packing or runs_per_gpu),
        storage=storage,
        progress=progress,
        track=tuple(track or ()),
        retry=frozenset(map(Outcome, retry or ())),
        wait=wait,
        until=until,
        max_hours=max_hours,
        pool=pool,
        address=address,
        heartbeat_timeout_s=silence or heartbeat_timeout,
    )
    # Batch systems end a job with SIGTERM: it should stop the driver as cleanly as Ctrl-C does.
    handle_sigterm()
    if wait and (holder := read_lock_holder(folder)) is not None:
        print(f"{folder}: {holder} is running this study; waiting", file=sys.stderr)
    try:
        summary = driver.run(checked, folder, options)
    except KeyboardInterrupt:  # by now the workers are gone, the ledger is closed and the lock is free
        print(_describe_interruption(folder), file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if summary.left_out:
        runs = f"{summary.left_out} run{'s' * (summary.left_out != 1)}"
        levels = ", ".join(str(level) for level in checked.horizon_levels if until is not None and level > until)
        print(f"left for later: {runs} at {checked.horizon_path} {levels} (run without --until)", file=sys.stderr)
    if summary.is_complete and summary.recorded + summary.unneeded == summary.asked:
        print(_describe_complete_study(folder, summary.recorded), file=sys.stderr)
    # The report comes before the error: with some runs failed, the others can still be read.
    write_and_print_report(folder, as_json=as_json)
    summary.raise_for_failures()


def _describe_complete_study(folder: Path, count: int) -> str:
    """Return why a report was printed at once, and how to train the study all the same."""
    # A folder beside this one would not do: the driver reuses the records of sibling folders.
    remedy = f"to train it here, name a folder that does not lie beside it: --out /tmp/{folder.name}"
    return f"{folder}: everything is recorded ({count_noun(count, 'runs')}); nothing was trained; {remedy}"


def _describe_interruption(folder: Path) -> str:
    from vgg_ablate.runs.results_dir import read_manifest
    from vgg_ablate.runs.status import compute_status

    manifest = read_manifest(folder)
    if manifest is None:
        return "interrupted before anything was recorded; run again to continue"
    status = compute_status(manifest.planned, folder)
    return f"interrupted; run again to continue: {status.recorded} of {count_noun(status.asked, 'runs')} recorded"

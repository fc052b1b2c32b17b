"""`run STUDY`: train what is missing, then report."""

from __future__ import annotations

import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from vgg_ablate.cli.arguments import JSON, OUT, OVERRIDES, STUDY, load_study
from vgg_ablate.cli.report import write_and_print_report

INTERRUPTED = 130  # exit status: 128 + SIGINT, as shells count
Progress = Literal["auto", "rich", "plain", "none"]


class Retry(StrEnum):
    """Recorded outcomes that can be run again."""

    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"


WORKERS = Annotated[int | None, typer.Option(metavar="N", min=1, help="Default: one a core, or one a GPU.")]
DEVICE = Annotated[str, typer.Option(help="auto, cpu, cuda, or cuda:0,1")]
RUNS_PER_GPU = Annotated[
    str, typer.Option(metavar="auto|N", help="Runs on one GPU at once; auto: as many as are seen to fit.")
]
STORAGE = Annotated[str | None, typer.Option(metavar="URL", help="Of the ledger; default: a file. memory: none.")]
RETRY = Annotated[list[Retry] | None, typer.Option(help="Run again what has ended so; may be given more than once.")]
POOL = Annotated[Literal["local", "ray"], typer.Option(help="Worker processes here, or the tasks of a Ray cluster.")]
ADDRESS = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Of the Ray cluster; auto: the one here.")]

UNTIL = Annotated[
    float | None,
    typer.Option(
        metavar="LEVEL", help="Train only the horizons up to this level now; the others stay missing (exit status 0)."
    ),
]
HEARTBEAT_TIMEOUT = Annotated[
    float, typer.Option(metavar="SECONDS", min=1, help="Without a sign of life, after which a run is handed out again.")
]


def run(
    study: STUDY,
    overrides: OVERRIDES = None,
    workers: WORKERS = None,
    device: DEVICE = "auto",
    packing: RUNS_PER_GPU = "1",
    storage: STORAGE = None,
    out: OUT = None,
    retry: RETRY = None,
    wait: Annotated[bool, typer.Option(help="Wait for another process that is running this study.")] = False,
    until: UNTIL = None,
    pool: POOL = "local",
    address: ADDRESS = None,
    silence: HEARTBEAT_TIMEOUT = 120,
    progress: Annotated[Progress, typer.Option(help="How to show progress, on stderr.")] = "auto",
    as_json: JSON = False,
) -> None:
    """Train every run of a study that has no record yet, then print the comparison and the verdicts."""
    from vgg_ablate.records import Outcome
    from vgg_ablate.runs import driver
    from vgg_ablate.runs.leases import read_lock_holder
    from vgg_ablate.runs.resources.slots import parse_runs_per_gpu

    asked = load_study(study, overrides)
    folder = out or Path("results") / asked.name
    options = driver.RunOptions(
        workers=workers,
        device=device,
        packing=parse_runs_per_gpu(packing),
        storage=storage,
        progress=progress,
        retry=frozenset(map(Outcome, retry or ())),
        wait=wait,
        until=until,
        pool=pool,
        address=address,
        heartbeat_timeout_s=silence,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as a batch system ends a job: like Ctrl-C
    if wait and (held := read_lock_holder(folder)) is not None:
        print(f"{folder}: {held} is running this study; waiting", file=sys.stderr)
    try:
        finished = driver.run(asked, folder, options)
    except KeyboardInterrupt:  # by now its workers are gone, the ledger is closed, the lock is free
        print(_to_go_on(folder), file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if finished.left_out:
        count = f"{finished.left_out} run{'s' * (finished.left_out != 1)}"
        levels = ", ".join(str(level) for level in asked.horizon_levels if until is not None and level > until)
        print(f"left for later: {count} at {asked.horizon_path} {levels} (run without --until)", file=sys.stderr)
    if finished.complete and finished.recorded == finished.asked:
        print(_nothing_to_train(folder, finished.asked), file=sys.stderr)
    write_and_print_report(folder, as_json=as_json)
    finished.raise_for_failures()


def _nothing_to_train(folder: Path, asked: int) -> str:
    """Why a start printed a report at once. It would also use the records of folders beside it."""
    recorded = f"{folder}: everything is recorded ({asked} runs); nothing was trained"
    return f"{recorded}; to train it here, name a folder that does not lie beside it: --out /tmp/{folder.name}"


def _to_go_on(folder: Path) -> str:
    """What an interrupted study has come to."""
    from vgg_ablate.runs.results_dir import read_manifest
    from vgg_ablate.runs.status import compute_status

    told = read_manifest(folder)
    if told is None:
        return "interrupted; run again to go on: nothing is recorded"
    found = compute_status(told.planned, folder)
    return f"interrupted; run again to go on: {found.recorded} of {found.asked} runs recorded"

"""`verify STUDY VARIANT/SEED`: train a recorded run again, and compare."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import OUT, RESULTS, results_folder
from vgg_ablate.errors import CheckFailed, Problem, SpecError, nearest

if TYPE_CHECKING:
    from vgg_ablate.records import Planned, Record
    from vgg_ablate.report.results import Results

CELL = Annotated[
    str | None, typer.Argument(metavar="[VARIANT/SEED]", help="Which run; default: the base's first recorded seed.")
]
DEVICE = Annotated[str | None, typer.Option(help="Where to train: cpu, cuda:0; default: what the record says.")]


def verify(study: RESULTS, cell: CELL = None, out: OUT = None, device: DEVICE = None) -> None:
    """Train a recorded run again: bit for bit the same on the same machine, inside its seeds' interval elsewhere."""
    from vgg_ablate.report.results import read
    from vgg_ablate.report.verification import verified

    results = read(results_folder(study, out))
    chosen = _chosen(results, cell)
    stored = results.whole(chosen.key)
    siblings = [
        results.records[one.key]
        for one in results.manifest.planned
        if one.variant == chosen.variant and one.key in results.records
    ]
    name = f"{chosen.variant}/{chosen.seed}"
    print(f"training {name} again ({chosen.key})", file=sys.stderr)
    found = verified(stored, _again(stored, device), siblings)
    for difference in found.differences:
        print(difference)
    how = "bit for bit the same as" if found.exactly else "where it should be by"
    if not found.agrees:
        raise CheckFailed(f"{name}: not {how} its record")
    print(f"{name}: {how} its record")


def _chosen(results: Results, cell: str | None) -> Planned:
    cells = {f"{one.variant}/{one.seed}": one for one in results.manifest.planned if one.key in results.records}
    if not cells:
        raise CheckFailed(f"{results.folder}: there is no record to verify")
    if cell is None:
        return next(iter(cells.values()))
    if cell not in cells:
        rule = "no such recorded run; a run is VARIANT/SEED"
        raise SpecError(Problem(rule, place="command line", got=cell, nearest=nearest(cell, cells)))
    return cells[cell]


def _again(stored: Record, device: str | None) -> Record:
    from vgg_ablate.records import Epoch, Outcome, Record, Tested
    from vgg_ablate.train.device import environment
    from vgg_ablate.train.failures import Diverged, OutOfMemory
    from vgg_ablate.train.loop import train
    from vgg_ablate.train.settings import Settings

    where = device or str(stored.environment.get("device", "cpu"))
    settings = Settings(device=where, threads=int(stored.environment.get("threads", 1)))
    epochs: list[Epoch] = []
    tested: Tested | None = None
    outcome = Outcome.FINISHED
    training = train(stored.run, settings)
    try:
        while True:
            epochs.append(next(training))
            print(f"epoch {epochs[-1].epoch}/{stored.run.train.epochs}", file=sys.stderr)
    except StopIteration as stop:
        tested = stop.value
    except Diverged:
        outcome = Outcome.DIVERGED
    except OutOfMemory:
        outcome = Outcome.OUT_OF_MEMORY
    return Record(
        key=stored.key,
        run=stored.run,
        outcome=outcome,
        epochs=tuple(epochs),
        tested=tested,
        environment=environment(stored.run, settings),
    )

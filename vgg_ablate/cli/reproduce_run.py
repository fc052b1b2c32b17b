"""A recorded run, chosen and trained again: what `verify`, `export` and `describe` share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vgg_ablate.errors import CheckFailed, Problem, SpecError, StorageFailed, nearest

if TYPE_CHECKING:
    from vgg_ablate.analysis.reproduce import Verified
    from vgg_ablate.analysis.results import Results
    from vgg_ablate.records import Planned, Record, Tested


def chosen(results: Results, cell: str | None) -> Planned:
    """The recorded run that VARIANT/SEED, or VARIANT, means; None: the first. Raises SpecError, CheckFailed."""
    recorded = [one for one in results.manifest.planned if one.key in results.records]
    if not recorded:
        raise CheckFailed(f"{results.folder}: there is no record of a run")
    cells = {one.variant: one for one in reversed(recorded)}  # of a variant: its first seed
    cells |= {f"{one.variant}/{one.seed}": one for one in recorded}
    if cell is None:
        return recorded[0]
    if cell not in cells:
        rule = "no such recorded run; a run is VARIANT/SEED"
        raise SpecError(Problem(rule, place="command line", got=cell, nearest=nearest(cell, cells)))
    return cells[cell]


def of_record(path: Path) -> tuple[Results, Planned]:
    """The run of a record, and the results folder that it lies in. Raises SpecError, StorageFailed."""
    from vgg_ablate.analysis.results import read

    if not path.is_file():
        raise StorageFailed(f"{path}: No such file or directory")
    if path.parent.name != "records":
        rule = "is no record: a record is records/KEY.json of a results folder"
        raise SpecError(Problem(rule, place=str(path)))
    results = read(path.parent.parent)
    if path.stem in results.damaged:
        raise StorageFailed(f"{results.folder}/{results.damaged[path.stem]}")
    for one in results.manifest.planned:
        if one.key == path.stem:
            return results, one
    raise SpecError(Problem("is the record of no run that its study plans", place=str(path)))


def trained(results: Results, one: Planned, device: str | None, weights: Path) -> tuple[Tested, Verified]:
    """Train a recorded run anew, its weights to a file; what differs from its record goes to stderr.

    Raises CheckFailed where it ends without weights.
    """
    stored = results.whole(one.key)
    repeated = again(one, stored, device, weights)
    if repeated.tested is None:
        raise CheckFailed(f"{one.variant}/{one.seed}: {repeated.outcome}: there are no trained weights")
    found = compared(results, one, stored, repeated)
    for difference in found.differences:
        print(difference, file=sys.stderr)
    return repeated.tested, found


def judged(one: Planned, found: Verified, done: str = "") -> str:
    """The sentence on a run that was had again; `done` is what was done with it all the same. Raises CheckFailed."""
    name, how = f"{one.variant}/{one.seed}", "bit for bit the same as" if found.exactly else "where it should be by"
    if not found.agrees:
        raise CheckFailed(f"{name}: {done}not {how} its record")
    return f"{name}: {how} its record"


def compared(results: Results, one: Planned, stored: Record, repeated: Record) -> Verified:
    """Is the run that was trained again what its record says, given the records of its variant's other seeds?"""
    from vgg_ablate.analysis.reproduce import verified

    siblings = [
        results.records[other.key]
        for other in results.manifest.planned
        if other.variant == one.variant and other.key in results.records
    ]
    return verified(stored, repeated, siblings)


def again(one: Planned, stored: Record, device: str | None, weights: Path | None = None) -> Record:
    """Train a recorded run anew, where it was trained unless `device` says otherwise; its weights go to `weights`."""
    from vgg_ablate.records import Epoch, Outcome, Record
    from vgg_ablate.training.device import environment
    from vgg_ablate.training.errors import Diverged, OutOfMemory
    from vgg_ablate.training.loop import train
    from vgg_ablate.training.settings import Settings

    print(f"training {one.variant}/{one.seed} again ({stored.key})", file=sys.stderr)
    where = device or str(stored.environment.get("device", "cpu"))
    settings = Settings(device=where, threads=int(stored.environment.get("threads", 1)), weights=weights)
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

"""A recorded run, chosen and trained again: what `verify`, `export` and `describe` share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vgg_ablate.errors import CheckFailedError, Problem, SpecError, StorageError, find_nearest

if TYPE_CHECKING:
    from vgg_ablate.analysis.reproduce import Reproduction
    from vgg_ablate.analysis.results import Results
    from vgg_ablate.records import FinalMetrics, PlannedRun, Record


def choose_run(results: Results, cell: str | None) -> PlannedRun:
    """The recorded run that VARIANT/SEED, or VARIANT, means; None: the first. Raises SpecError, CheckFailed."""
    recorded = [one for one in results.manifest.planned if one.key in results.records]
    if not recorded:
        raise CheckFailedError(f"{results.folder}: there is no record of a run")
    cells = {one.variant: one for one in reversed(recorded)}  # of a variant: its first seed
    cells |= {f"{one.variant}/{one.seed}": one for one in recorded}
    if cell is None:
        return recorded[0]
    if cell not in cells:
        rule = "no such recorded run; a run is VARIANT/SEED"
        raise SpecError(Problem(rule, place="command line", got=cell, nearest=find_nearest(cell, cells)))
    return cells[cell]


def find_recorded_run(path: Path) -> tuple[Results, PlannedRun]:
    """The run of a record, and the results folder that it lies in. Raises SpecError, StorageFailed."""
    from vgg_ablate.analysis.results import read_results

    if not path.is_file():
        raise StorageError(f"{path}: No such file or directory")
    if path.parent.name != "records":
        rule = "is no record: a record is records/KEY.json of a results folder"
        raise SpecError(Problem(rule, place=str(path)))
    results = read_results(path.parent.parent)
    if path.stem in results.damaged:
        raise StorageError(f"{results.folder}/{results.damaged[path.stem]}")
    for one in results.manifest.planned:
        if one.key == path.stem:
            return results, one
    raise SpecError(Problem("is the record of no run that its study plans", place=str(path)))


def retrain_with_weights(
    results: Results, one: PlannedRun, device: str | None, weights: Path
) -> tuple[FinalMetrics, Reproduction]:
    """Train a recorded run anew, its weights to a file; what differs from its record goes to stderr.

    Raises CheckFailed where it ends without weights.
    """
    stored = results.whole(one.key)
    repeated = retrain_run(one, stored, device, weights)
    if repeated.tested is None:
        raise CheckFailedError(f"{one.variant}/{one.seed}: {repeated.outcome}: there are no trained weights")
    found = compare_with_record(results, one, stored, repeated)
    for difference in found.differences:
        print(difference, file=sys.stderr)
    return repeated.tested, found


def describe_agreement(one: PlannedRun, found: Reproduction, done: str = "") -> str:
    """The sentence on a run that was had again; `done` is what was done with it all the same. Raises CheckFailed."""
    name, how = f"{one.variant}/{one.seed}", "bit for bit the same as" if found.exactly else "where it should be by"
    if not found.agrees:
        raise CheckFailedError(f"{name}: {done}not {how} its record")
    return f"{name}: {how} its record"


def compare_with_record(results: Results, one: PlannedRun, stored: Record, repeated: Record) -> Reproduction:
    """Is the run that was trained again what its record says, given the records of its variant's other seeds?"""
    from vgg_ablate.analysis.reproduce import compare_reproduction

    siblings = [
        results.records[other.key]
        for other in results.manifest.planned
        if other.variant == one.variant and other.key in results.records
    ]
    return compare_reproduction(stored, repeated, siblings)


def retrain_run(one: PlannedRun, stored: Record, device: str | None, weights: Path | None = None) -> Record:
    """Train a recorded run anew, where it was trained unless `device` says otherwise; its weights go to `weights`."""
    from vgg_ablate.records import Epoch, Outcome, Record
    from vgg_ablate.training.device import describe_environment
    from vgg_ablate.training.errors import DivergedError, OutOfMemoryError
    from vgg_ablate.training.loop import train
    from vgg_ablate.training.settings import TrainingSettings

    print(f"training {one.variant}/{one.seed} again ({stored.key})", file=sys.stderr)
    where = device or str(stored.environment.get("device", "cpu"))
    settings = TrainingSettings(device=where, threads=int(stored.environment.get("threads", 1)), weights=weights)
    epochs: list[Epoch] = []
    tested: FinalMetrics | None = None
    outcome = Outcome.FINISHED
    training = train(stored.run, settings)
    try:
        while True:
            epochs.append(next(training))
            print(f"epoch {epochs[-1].epoch}/{stored.run.train.epochs}", file=sys.stderr)
    except StopIteration as stop:
        tested = stop.value
    except DivergedError:
        outcome = Outcome.DIVERGED
    except OutOfMemoryError:
        outcome = Outcome.OUT_OF_MEMORY
    return Record(
        key=stored.key,
        run=stored.run,
        outcome=outcome,
        epochs=tuple(epochs),
        tested=tested,
        environment=describe_environment(stored.run, settings),
    )

"""Choosing a recorded run and training it again, for `verify`, `export` and `describe`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vgg_ablate.errors import CheckFailedError, Problem, SpecError, StorageError, find_nearest

if TYPE_CHECKING:
    from vgg_ablate.analysis.reproduce import Reproduction
    from vgg_ablate.analysis.results import Results
    from vgg_ablate.manifest import PlannedRun
    from vgg_ablate.records import Epoch, FinalMetrics, Outcome, Record, Run
    from vgg_ablate.training.settings import TrainingSettings


def choose_run(results: Results, cell: str | None) -> PlannedRun:
    """Return the recorded run named VARIANT/SEED, or VARIANT for its first recorded seed; None: the first run.

    Raises SpecError where there is no such run, CheckFailedError where none is recorded.
    """
    recorded = [planned for planned in results.manifest.planned if planned.key in results.records]
    if not recorded:
        raise CheckFailedError(f"{results.folder}: no recorded run")
    if cell is None:
        return recorded[0]
    by_name = {planned.variant: planned for planned in reversed(recorded)}  # reversed: the first seed stays
    by_name |= {planned.name: planned for planned in recorded}
    if cell not in by_name:
        rule = "no such recorded run; a run is VARIANT/SEED"
        raise SpecError(Problem(rule, location="command line", got=cell, nearest=find_nearest(cell, by_name)))
    return by_name[cell]


def find_recorded_run(path: Path) -> tuple[Results, PlannedRun]:
    """Return the run of a record file, and the results that it belongs to. Raises SpecError, StorageError."""
    from vgg_ablate.analysis.results import read_results

    if not path.is_file():
        raise StorageError(f"{path}: No such file or directory")
    if path.parent.name != "records":
        rule = "is not a record: a record is records/KEY.json of a results folder"
        raise SpecError(Problem(rule, location=str(path)))
    results = read_results(path.parent.parent)
    if path.stem in results.damaged:
        raise StorageError(f"{results.folder}/{results.damaged[path.stem]}")
    for planned in results.manifest.planned:
        if planned.key == path.stem:
            return results, planned
    raise SpecError(Problem("is the record of no run that its study plans", location=str(path)))


def retrain_with_weights(
    results: Results, planned: PlannedRun, device: str | None, weights: Path
) -> tuple[FinalMetrics, Reproduction]:
    """Train a recorded run again and write its weights to a file; print what differs from its record to stderr.

    Raises CheckFailedError where the training diverges or does not fit into memory.
    """
    stored = results.read_record(planned.key)
    retrained = retrain_run(planned, stored, device, weights)
    if retrained.tested is None:
        raise CheckFailedError(f"{planned.name}: {retrained.outcome}: there are no trained weights")
    reproduction = compare_with_record(results, planned, stored, retrained)
    for difference in reproduction.differences:
        print(difference, file=sys.stderr)
    return retrained.tested, reproduction


def describe_agreement(planned: PlannedRun, reproduction: Reproduction, caveat: str = "") -> str:
    """Return the line on a run that agrees with its record.

    Raises CheckFailedError where it does not; `caveat` says what was done with the weights all the same, such as
    `exported, but `.
    """
    agreement = "bit for bit the same as" if reproduction.is_bitwise else "consistent with"
    if not reproduction.agrees:
        raise CheckFailedError(f"{planned.name}: {caveat}not {agreement} its record")
    return f"{planned.name}: {agreement} its record"


def compare_with_record(results: Results, planned: PlannedRun, stored: Record, retrained: Record) -> Reproduction:
    """Compare a run that was trained again with its record, given the records of all seeds of its variant."""
    from vgg_ablate.analysis.reproduce import compare_reproduction

    return compare_reproduction(stored, retrained, results.list_recorded_seeds(planned.variant))


def retrain_run(planned: PlannedRun, stored: Record, device: str | None, weights: Path | None = None) -> Record:
    """Train a recorded run again and return its new record, which is not stored.

    It is trained on the record's device unless `device` is given, with the record's number of threads. Its weights go
    to `weights`.
    """
    from vgg_ablate.records import Record
    from vgg_ablate.training.device import describe_environment
    from vgg_ablate.training.settings import TrainingSettings

    # The record's threads: another number of threads sums in another order, and changes the last bits.
    print(f"training {planned.name} again ({stored.key})", file=sys.stderr)
    settings = TrainingSettings(
        device=device or str(stored.environment.get("device", "cpu")),
        threads=int(stored.environment.get("threads", 1)),
        weights=weights,
    )
    epochs: list[Epoch] = []
    outcome, tested = _train(stored.run, settings, epochs)
    return Record(
        key=stored.key,
        run=stored.run,
        outcome=outcome,
        epochs=tuple(epochs),
        tested=tested,
        environment=describe_environment(stored.run, settings),
    )


def _train(run: Run, settings: TrainingSettings, epochs: list[Epoch]) -> tuple[Outcome, FinalMetrics | None]:
    """Train a run and add its epochs to `epochs`; return the outcome, and the test metrics if it finished."""
    from vgg_ablate.records import Outcome
    from vgg_ablate.training.errors import DivergedError, OutOfMemoryError
    from vgg_ablate.training.loop import train

    training = train(run, settings)
    try:
        while True:  # a generator of epochs that returns the test's metrics
            epochs.append(next(training))
            print(f"epoch {epochs[-1].epoch}/{run.train.epochs}", file=sys.stderr)
    except StopIteration as stop:
        return Outcome.FINISHED, stop.value
    except DivergedError:
        return Outcome.DIVERGED, None
    except OutOfMemoryError:
        return Outcome.OUT_OF_MEMORY, None

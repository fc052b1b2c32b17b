"""Predicted cost of a study before it starts: time, memory, disk. Arithmetic on records of this machine.

Training takes a + b x macs seconds per example: a is what every example costs, b what a multiply-accumulate costs. Both
are fitted to finished runs of this machine, or to a short probe of it.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import linear_regression, median

from vgg_ablate.errors import StorageError
from vgg_ablate.records import Outcome, Record, RecordStore
from vgg_ablate.runs.averaging import find_kept_predictions
from vgg_ablate.runs.plan import Plan, StudyCell
from vgg_ablate.runs.recorded import find_sibling_records, locate_predictions
from vgg_ablate.runs.resources import dataset_size, memory_fit
from vgg_ablate.runs.resources.memory_fit import DeviceMemory
from vgg_ablate.runs.resources.slots import Slot

_FORWARD_SHARE = 1 / 3  # of a training step; the backward pass costs twice the forward pass
_STARTUP_S = 4.0  # until a new worker process trains: it imports torch first
_SAMPLE_SIZE = 40  # records read per folder; a median needs no more, and a folder can hold thousands
# Bytes of a record, by least squares over the committed results: a constant part and one per epoch.
_RECORD_BYTES, _EPOCH_BYTES = 4000, 310


@dataclass(frozen=True, slots=True)
class TimeModel:
    """Seconds of training per example, as a line over MACs: a part of `StudyCost`, with names that stay."""

    fixed: float
    a_mac: float
    records: int  # to which it was fitted

    def predict_seconds(self, macs: int) -> float:
        """Return the seconds per example of a net with this many MACs."""
        return self.fixed + self.a_mac * macs


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantCost:
    """The predicted cost of one variant."""

    variant: str
    params: int
    macs: int
    runs: int
    missing: int
    seconds: float | None  # of one run; None: nothing is known about this machine, or about the data set's size
    peak_bytes: int  # of one run while it trains
    hindrance: str | None  # the reason why a run does not fit into memory; None: it fits


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCost:
    """The predicted cost of a study. Its fields are keys of `plan --json`, so their names stay."""

    variants: tuple[VariantCost, ...]
    slots: int
    room: DeviceMemory  # of the device with the least memory
    pace: TimeModel | None
    seconds: float | None  # of wall time until everything is recorded
    disk_bytes: int
    adopted: int  # runs that are recorded by other studies in the same folder of results
    trainings: int = 0  # that the missing runs need: runs that differ only in `data.evaluate` share one
    averages: int = 0  # ensembles that need no training: the predictions of their nets are stored
    dropped: tuple[str, ...] = ()  # titles of runs that would not end within the hours given
    tuning_runs: int = 0  # trials that are still to be trained, before everything else
    tuning_seconds: float | None = 0.0  # of wall time; part of `seconds`


def estimate_study_cost(
    plan: Plan,
    store: RecordStore,
    records: Sequence[Record],
    slots: Sequence[Slot],
    max_hours: float | None = None,
    trials: Sequence[StudyCell] = (),
) -> StudyCost:
    """Return the predicted cost of what is not recorded.

    `records` are runs of this machine, of any study. `trials` are the runs of the tuning that are still to be trained,
    before those of the plan.
    """
    model, (recorded, reused, with_predictions) = fit_time_model(records), _find_stored_runs(plan, store)
    trainings, averages = plan.divide(recorded, with_predictions)
    durations = {cell.key: _predict_seconds(cell, model, records) for cell in trainings}
    kept, dropped = _split_by_hours(trainings, durations, len(slots), max_hours)
    memory = memory_fit.find_smallest_device(slots, records)
    cells: dict[str, list[StudyCell]] = {variant.name: [] for variant in plan.study.all_variants}
    for cell in plan.cells:
        cells[cell.variant].append(cell)
    tuning_seconds = _predict_total([_predict_seconds(cell, model, records) for cell in trials], len(slots))
    is_known = None not in durations.values()
    plan_seconds = _predict_total([durations[cell.key] for cell in kept], len(slots)) if is_known else None
    return StudyCost(
        variants=tuple(_estimate_variant(name, runs, recorded, model, records, memory) for name, runs in cells.items()),
        slots=len(slots),
        room=memory,
        pace=model,
        seconds=None if plan_seconds is None or tuning_seconds is None else plan_seconds + tuning_seconds,
        disk_bytes=_predict_disk_bytes([*plan.list_missing(recorded), *trials]),
        adopted=len(reused),
        trainings=len(trainings),
        averages=len(averages),
        dropped=tuple(run.title for cell in dropped for run in (cell, *cell.shares)),
        tuning_runs=len(trials),
        tuning_seconds=tuning_seconds,
    )


def _find_stored_runs(plan: Plan, store: RecordStore) -> tuple[set[str], set[str], set[str]]:
    """Return the keys of all records, of those that other studies have, and of stored predictions."""
    # Records of this study and of those beside it: what another study has trained is linked and not trained again.
    own = store.keys()
    reused = find_sibling_records(store, {cell.key for cell in plan.cells} - own)
    with_predictions = find_kept_predictions(store.folder.parent / "predictions", own)
    with_predictions |= {key for key, path in reused.items() if locate_predictions(path, key).exists()}
    return own | reused.keys(), set(reused), with_predictions


def _predict_disk_bytes(cells: Iterable[StudyCell]) -> int:
    return sum(_RECORD_BYTES + _EPOCH_BYTES * cell.run.train.epochs for cell in cells)


def fit_time_model(records: Iterable[Record]) -> TimeModel | None:
    """Return a line through the median seconds per example of each net, over its MACs; None without timed records.

    The line goes through the origin where there is a single net, or where a fitted line would have a negative slope or
    intercept, as it can on nets of nearly equal cost.
    """
    by_macs: dict[int, list[float]] = {}
    for record in records:
        if record.images_per_second > 0 and record.costs.get("macs"):
            by_macs.setdefault(record.costs["macs"], []).append(_measure_seconds_per_example(record))
    if not by_macs:
        return None
    macs = list(by_macs)
    seconds = [median(measured) for measured in by_macs.values()]
    count = sum(map(len, by_macs.values()))
    if len(macs) > 1:
        slope, intercept = linear_regression(macs, seconds)
        if slope > 0 and intercept >= 0:
            return TimeModel(intercept, slope, count)
    return TimeModel(0.0, sum(seconds) / sum(macs), count)


def predict_wall_time(durations: Iterable[float], slots: int) -> float:
    """Return the seconds until the last run ends, each given to the first free slot in this order; 0 without runs."""
    return max(_simulate_slots(durations, slots), default=0.0)


def _simulate_slots(durations: Iterable[float], slots: int) -> Iterator[float]:
    """Yield the seconds until all runs so far have ended, run by run, where the first free slot takes each run.

    The scheduler, too, hands the next run to whichever slot is free first.
    """
    ends = [_STARTUP_S] * slots
    for duration in durations:
        heapq.heapreplace(ends, ends[0] + duration)
        yield max(ends)


def read_machine_records(folders: Iterable[Path], device: str) -> list[Record]:
    """Return finished runs on this kind of device, a sample from each folder of records; damaged ones are left out."""
    records: list[Record] = []
    for folder in folders:
        store = RecordStore(folder)
        with contextlib.suppress(StorageError):  # another study's folder may be another user's
            for key in islice(sorted(store.keys()), _SAMPLE_SIZE):
                with contextlib.suppress(StorageError):  # `report` names them
                    records.append(store.get(key))
    return [
        record
        for record in records
        if record.outcome is Outcome.FINISHED and record.environment.get("device") == device
    ]


def _measure_seconds_per_example(record: Record) -> float:
    """Return the seconds of training per example: CPU time on one CPU thread, else wall time.

    The wall time of a run that had to wait for the processor is longer than on a quiet machine. With
    several threads, CPU time is a sum over them and not a duration.
    """
    is_single_thread = record.environment.get("device") == "cpu" and record.environment.get("threads") == 1
    measured = [
        epoch.cpu_seconds / (epoch.images_per_second * epoch.seconds)
        for epoch in record.epochs
        if epoch.cpu_seconds and epoch.images_per_second and epoch.seconds
    ]
    return median(measured) if is_single_thread and measured else 1 / record.images_per_second


def _estimate_variant(
    name: str,
    cells: Sequence[StudyCell],
    recorded: set[str],
    model: TimeModel | None,
    records: Sequence[Record],
    memory: DeviceMemory,
) -> VariantCost:
    cell = cells[0]  # seeds cost the same
    peak_bytes = memory.predict_peak(cell.run)
    return VariantCost(
        variant=name,
        params=cell.costs["params"],
        macs=cell.costs["macs"],
        runs=len(cells),
        missing=sum(cell.key not in recorded for cell in cells),
        seconds=_predict_seconds(cell, model, records),
        peak_bytes=peak_bytes,
        hindrance=memory.find_hindrance(cell.run, peak_bytes),
    )


def _predict_seconds(cell: StudyCell, model: TimeModel | None, records: Sequence[Record]) -> float | None:
    """Return the seconds of one run; None where nothing is known about the machine, or about the data set's size."""
    count = dataset_size.count_training_examples(cell.run.data, records, cell.run.fingerprint)
    if model is None or count is None:
        return None
    # Every epoch ends with a forward pass over the validation examples. `count` is without them.
    fraction = cell.run.data.validation_fraction
    passes = cell.run.train.epochs * (1 + _FORWARD_SHARE * fraction / (1 - fraction))
    return model.predict_seconds(cell.costs["macs"]) * count * passes


def _predict_total(durations: Sequence[float | None], slots: int) -> float | None:
    known = [duration for duration in durations if duration is not None]
    return predict_wall_time(known, slots) if len(known) == len(durations) else None


def _split_by_hours(
    cells: Sequence[StudyCell], durations: dict[str, float | None], slots: int, max_hours: float | None
) -> tuple[Sequence[StudyCell], Sequence[StudyCell]]:
    """Return the cells that end within the hours, in the order of the plan, and the rest."""
    if max_hours is None:
        return cells, ()
    ends = _simulate_slots((durations[cell.key] or 0.0 for cell in cells), slots)
    count = sum(end <= 3600 * max_hours for end in ends)  # ends never fall from one run to the next
    return cells[:count], cells[count:]

"""What a study will cost before it starts: time, memory, disk. Arithmetic on what this machine has shown so far.

An example costs a + b x macs seconds: a is what every example costs, b what a multiply-accumulate does. Both are read
off finished runs, or off a short probe. Where CPU time was recorded it is used, for a run that had to wait for the
processor says nothing of how long a run takes on a quiet one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import linear_regression, median

from vgg_ablate.records import Outcome, Record, RecordStore
from vgg_ablate.runs.averaging import find_kept_predictions
from vgg_ablate.runs.plan import Plan, StudyCell
from vgg_ablate.runs.recorded import find_sibling_records, locate_predictions
from vgg_ablate.runs.resources import dataset_size, memory_fit
from vgg_ablate.runs.resources.memory_fit import DeviceMemory
from vgg_ablate.runs.resources.slots import Slot

_FORWARD = 1 / 3  # of a training step's cost: the forward pass alone (backward: twice as much)
_START = 4.0  # seconds until a worker process trains
_SAMPLE = 40  # records that are read of each folder


@dataclass(frozen=True, slots=True)
class TimeModel:
    """Seconds of training an example."""

    fixed: float
    a_mac: float
    records: int  # that it was read off

    def seconds(self, macs: int) -> float:
        """For one example of a net."""
        return self.fixed + self.a_mac * macs


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantCost:
    """Of one variant."""

    variant: str
    params: int
    macs: int
    runs: int
    missing: int
    seconds: float | None  # of one run; None: nothing is known of this machine, or of the data set's size
    peak_bytes: int  # of one run while it trains, predicted
    hindrance: str | None  # why it does not fit into memory


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCost:
    """Of a study."""

    variants: tuple[VariantCost, ...]
    slots: int
    room: DeviceMemory  # of one device
    pace: TimeModel | None
    seconds: float | None  # of wall time, until everything is recorded
    disk_bytes: int
    adopted: int  # runs that other studies beside this one have recorded
    trainings: int = 0  # that the missing runs need: runs that differ only in `data.evaluate` share one
    averages: int = 0  # ensembles that need none: the predictions of their nets are kept
    dropped: tuple[str, ...] = ()  # cells that do not fit into the hours given
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
    """The price of what is not recorded; `records` are runs of this machine, of any study.

    `trials` are the runs of the tuning that are still to be trained, before those of the plan.
    """
    paced, own = fit_time_model(records), store.keys()
    adopted = find_sibling_records(store, {cell.key for cell in plan.cells} - own)
    recorded = own | adopted.keys()
    stored = find_kept_predictions(store.folder.parent / "predictions", own)
    stored |= {key for key, path in adopted.items() if locate_predictions(path, key).exists()}
    trainings, averages = plan.divide(recorded, stored)
    each = {cell.key: _seconds(cell, paced, records) for cell in trainings}
    kept, dropped = _within(trainings, each, len(slots), max_hours)
    here = memory_fit.find_smallest_device(slots, records)
    cells: dict[str, list[StudyCell]] = {variant.name: [] for variant in plan.study.all_variants}
    for cell in plan.cells:
        cells[cell.variant].append(cell)
    known = all(seconds is not None for seconds in each.values())
    tuning = [_seconds(cell, paced, records) for cell in trials]
    tuning_seconds = None if None in tuning else predict_wall_time([seconds or 0.0 for seconds in tuning], len(slots))
    return StudyCost(
        variants=tuple(_price(name, of, recorded, paced, records, here) for name, of in cells.items()),
        slots=len(slots),
        room=here,
        pace=paced,
        seconds=predict_wall_time([each[cell.key] or 0.0 for cell in kept], len(slots)) + tuning_seconds
        if known and tuning_seconds is not None
        else None,
        disk_bytes=sum(4000 + 310 * cell.run.train.epochs for cell in (*plan.missing(recorded), *trials)),
        adopted=len(adopted),
        trainings=len(trainings),
        averages=len(averages),
        dropped=tuple(one.title for cell in dropped for one in (cell, *cell.shares)),
        tuning_runs=len(trials),
        tuning_seconds=tuning_seconds,
    )


def fit_time_model(records: Iterable[Record]) -> TimeModel | None:
    """A line through seconds an example over macs; through the origin where one net, or nonsense, is all there is."""
    seen: dict[int, list[float]] = {}
    for record in records:
        if record.images_per_second > 0 and record.costs.get("macs"):
            seen.setdefault(record.costs["macs"], []).append(_seconds_per_example(record))
    if not seen:
        return None
    points = [(macs, median(seconds)) for macs, seconds in seen.items()]
    count = sum(map(len, seen.values()))
    if len(points) > 1:
        slope, fixed = linear_regression([macs for macs, _ in points], [seconds for _, seconds in points])
        if slope > 0 and fixed >= 0:
            return TimeModel(fixed, slope, count)
    return TimeModel(0.0, sum(seconds for _, seconds in points) / sum(macs for macs, _ in points), count)


def predict_wall_time(seconds: Iterable[float], slots: int) -> float:
    """When the last run ends, each handed to the first free slot in the order given; 0 without runs."""
    ends = [_START] * slots
    for one in seconds:
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends) if max(ends) > _START else 0.0


def read_machine_records(folders: Iterable[Path], device: str) -> list[Record]:
    """Finished runs on this kind of device, a sample of every folder of records."""
    found: list[Record] = []
    for folder in folders:
        store = RecordStore(folder)
        sample = (store.get(key) for key in islice(sorted(store.keys()), _SAMPLE))
        found += [one for one in sample if one.outcome is Outcome.FINISHED and one.environment.get("device") == device]
    return found


def _seconds_per_example(record: Record) -> float:
    """Return seconds of training per example, median over epochs: CPU time on one CPU thread, else wall time."""
    alone = record.environment.get("device") == "cpu" and record.environment.get("threads") == 1
    measured = [
        epoch.cpu_seconds / (epoch.images_per_second * epoch.seconds)
        for epoch in record.epochs
        if epoch.cpu_seconds and epoch.images_per_second and epoch.seconds
    ]
    return median(measured) if alone and measured else 1 / record.images_per_second


def _price(
    name: str,
    cells: Sequence[StudyCell],
    recorded: set[str],
    paced: TimeModel | None,
    records: Sequence[Record],
    here: DeviceMemory,
) -> VariantCost:
    cell = cells[0]
    peak = here.peak(cell.run)
    return VariantCost(
        variant=name,
        params=cell.costs["params"],
        macs=cell.costs["macs"],
        runs=len(cells),
        missing=sum(cell.key not in recorded for cell in cells),
        seconds=_seconds(cell, paced, records),
        peak_bytes=peak,
        hindrance=here.hindrance(cell.run, peak),
    )


def _seconds(cell: StudyCell, paced: TimeModel | None, records: Sequence[Record]) -> float | None:
    count = dataset_size.count_training_examples(cell.run.data, records, cell.run.fingerprint)
    if paced is None or count is None:
        return None
    validation = cell.run.data.validation_fraction
    passes = cell.run.train.epochs * (1 + _FORWARD * validation / (1 - validation))
    return paced.seconds(cell.costs["macs"]) * count * passes


def _within(
    cells: Sequence[StudyCell], each: dict[str, float | None], slots: int, max_hours: float | None
) -> tuple[Sequence[StudyCell], Sequence[StudyCell]]:
    """The cells that end within the hours, in the order of the plan, and the rest."""
    if max_hours is None:
        return cells, ()
    ends = [_START] * slots
    for count, cell in enumerate(cells):
        heapq.heapreplace(ends, ends[0] + (each[cell.key] or 0.0))
        if max(ends) > 3600 * max_hours:
            return cells[:count], cells[count:]
    return cells, ()

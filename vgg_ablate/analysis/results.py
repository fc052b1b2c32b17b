"""A results folder, read: its study, its manifest, a record for every planned run that has one, and what is wrong.

Nothing is dropped silently. A record that is torn, contradicts its key or is not what the study asks for is named, with
file and field, and its run counts as damaged; a record that no planned run asks for is named and left out.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vgg_ablate.analysis import validation
from vgg_ablate.analysis.saved_study import read_study_and_problems
from vgg_ablate.analysis.stats import FloatArray
from vgg_ablate.analysis.validation import ExpectedVariant
from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study
from vgg_ablate.errors import StorageError
from vgg_ablate.records import Manifest, PlannedRun, Record, RecordStore

EPOCH_FIELDS = (
    "epoch",
    "train_loss",
    "val_loss",
    "val_accuracy",
    "lr",
    "seconds",
    "images_per_second",
    "cpu_seconds",
    "val_examples",
)


@dataclass(frozen=True)
class Results:
    """What a results folder holds. `problems` are sentences: place, rule, what was found."""

    folder: Path
    study: Study
    manifest: Manifest
    records: Mapping[str, Record]  # key -> record, of planned runs, without its epochs
    epochs: Mapping[str, FloatArray]  # key -> epochs x EPOCH
    damaged: Mapping[str, str]  # key -> why its record cannot be used
    problems: tuple[str, ...] = field(default=())
    tuning: Mapping[str, Record] = field(default_factory=dict)  # key -> record, of the tuning's trials
    costs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # variant -> cost -> number

    def whole(self, key: str) -> Record:
        """A record with its epochs. Raises StorageFailed where it cannot be read."""
        return RecordStore(self.folder / "records").get(key)


def read_results(folder: str | Path) -> Results:
    """Raises StorageFailed where there is no manifest or no study; everything else that is wrong is in `problems`."""
    folder = Path(folder)
    manifest, twice = _once(Manifest.read(folder))
    study, left_out = read_study_and_problems(folder)
    store = RecordStore(folder / "records")
    with _undisturbed():
        asked = validation.resolve_expected_variants(study)
        records, epochs, damaged = _records(store, manifest.planned, asked)
        tuning, torn = _tuning_records(store, manifest)
    problems = [
        *left_out,
        *twice,
        *_contradictions(folder, study, manifest),
        *damaged.values(),
        *torn,
        *_strays(store, manifest, asked),
        *_bases(store, records.values()),
    ]
    here = f"{folder}/"  # places are named from the results folder on, so that a report reads the same everywhere
    damaged = {key: why.replace(here, "") for key, why in damaged.items()}
    told = tuple(one.replace(here, "") for one in problems)
    return Results(folder, study, manifest, records, epochs, damaged, told, tuning, _costs(asked))


def read_planned_results(study: Study, planned: Iterable[PlannedRun], folder: Path) -> Results:
    """What a folder has recorded of these cells of a study, whatever its own study.yaml and manifest say."""
    cells = tuple(planned)
    with _undisturbed():
        asked = validation.resolve_expected_variants(study)
        records, epochs, damaged = _records(RecordStore(folder / "records"), cells, asked)
    manifest = Manifest(study=study.name, base=study.base.name, planned=cells)
    return Results(folder, study, manifest, records, epochs, damaged, costs=_costs(asked))


def _costs(asked: Mapping[str, ExpectedVariant]) -> dict[str, Mapping[str, int]]:
    return {name: one.costs for name, one in asked.items()}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No search for garbage meanwhile: records hold no cycles, and looking for them takes a third of the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _once(manifest: Manifest) -> tuple[Manifest, list[str]]:
    """The manifest with one key for every variant and seed."""
    cells = {(cell.variant, cell.seed): cell for cell in reversed(manifest.planned)}
    twice = [
        f"manifest.json: planned: {cell.variant}/{cell.seed} has two keys, got {cell.key}; the first one is used"
        for cell in manifest.planned
        if cells[cell.variant, cell.seed].key != cell.key
    ]
    planned = tuple(cell for cell in manifest.planned if cells[cell.variant, cell.seed] is cell)
    return manifest.model_copy(update={"planned": planned}), twice


def _records(
    store: RecordStore, planned: Iterable[PlannedRun], asked: Mapping[str, ExpectedVariant]
) -> tuple[dict[str, Record], dict[str, FloatArray], dict[str, str]]:
    there = store.keys()
    records: dict[str, Record] = {}
    epochs: dict[str, FloatArray] = {}
    damaged: dict[str, str] = {}
    for cell in planned:
        if cell.key not in there or cell.key in records:
            continue
        try:
            record = store.get(cell.key)
        except StorageError as error:
            damaged[cell.key] = str(error)
            continue
        wrong = validation.find_contradiction(record, cell, asked.get(cell.variant))
        if wrong:
            damaged[cell.key] = f"{store.path(cell.key)}: {wrong}"
            continue
        epochs[cell.key] = _array(record)
        records[cell.key] = record.model_copy(update={"epochs": ()})  # 200,000 small objects would fill the memory
    return records, epochs, damaged


def _tuning_records(store: RecordStore, manifest: Manifest) -> tuple[dict[str, Record], list[str]]:
    """The records of the tuning's trials, and what is wrong with those that cannot be read."""
    there, found, torn = store.keys(), dict[str, Record](), list[str]()
    for run in manifest.tuning:
        if run.key in there and run.key not in found:
            try:
                found[run.key] = store.get(run.key)
            except StorageError as error:
                torn.append(str(error))
    return found, torn


def _array(record: Record) -> FloatArray:
    values = [[getattr(epoch, name) for name in EPOCH_FIELDS] for epoch in record.epochs]
    return np.array(values, dtype=np.float64).reshape(len(values), len(EPOCH_FIELDS))


def _contradictions(folder: Path, study: Study, manifest: Manifest) -> list[str]:
    problems = []
    path = folder / "manifest.json"
    if manifest.study != study.name:
        problems.append(f"{path}: study: study.yaml beside it is {study.name!r}, got {manifest.study!r}")
    if manifest.base != study.base.name:
        problems.append(f"{path}: base: the study's base is {study.base.name!r}, got {manifest.base!r}")
    asked = {variant.name for variant in study.all_variants}
    planned = {cell.variant for cell in manifest.planned}
    if asked - planned:
        problems.append(f"{path}: planned: the study asks for {_listed(asked - planned)}, which it does not plan")
    design: object = study.design
    if planned - asked and not isinstance(design, Search):  # a search's proposals are in the manifest alone
        problems.append(f"{path}: planned: {_listed(planned - asked)} is not a variant of study.yaml")
    return problems


def _strays(store: RecordStore, manifest: Manifest, asked: Mapping[str, ExpectedVariant]) -> list[str]:
    """Records of another study, or of an older plan; of the first one it is said in what it differs from this study."""
    asked_for = {cell.key for cell in manifest.planned} | {run.key for run in manifest.tuning}
    strays = sorted(store.keys() - asked_for)
    if not strays:
        return []
    try:
        other = validation.describe_nearest_variant(store.get(strays[0]), asked)
    except StorageError as error:
        other = str(error).removeprefix(f"{store.path(strays[0])}: ")
    names, told = _listed(f"{key}.json" for key in strays), f" ({strays[0]}.json: {other})" if other else ""
    return [f"{store.folder}: {names}: of no run that this study plans, not used{told}"]


def _bases(store: RecordStore, records: Iterable[Record]) -> list[str]:
    """One data set has one content: two fingerprints under one name are two studies in one folder."""
    first: dict[tuple[Any, ...], Record] = {}
    problems = []
    for record in records:
        data = record.run.data
        what = (data.name, data.shape.channels, data.on_corrupt)  # of one data set these alone change the pixels
        other = first.setdefault(what, record)
        if other.run.fingerprint != record.run.fingerprint:
            problems.append(
                f"{store.path(record.key)}: run.fingerprint: {data.name} was {other.run.fingerprint} "
                f"in {other.key}.json, got {record.run.fingerprint}: records of two different data sets in one folder"
            )
    return problems


def _listed(names: Iterable[str], most: int = 5) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more

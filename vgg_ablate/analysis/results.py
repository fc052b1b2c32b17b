"""Reading a results folder: its study, its manifest, the records of planned runs, and everything that is wrong with it.

Nothing is dropped silently. A record that is torn, contradicts itself or does not fit its variant makes its run
`damaged`, and a problem names the file and the field. A record that no planned run has asked for is named and ignored.
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
from vgg_ablate.config.study import Study
from vgg_ablate.errors import StorageError
from vgg_ablate.formatting.text import join_first
from vgg_ablate.manifest import Manifest, PlannedRun
from vgg_ablate.records import Record, RecordStore, Run

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


_MAX_NAMES = 5  # per problem


@dataclass(frozen=True)
class Results:
    """The content of a results folder. Every problem is one sentence: file, field, rule and what was found."""

    folder: Path
    study: Study
    manifest: Manifest
    records: Mapping[str, Record]  # key -> record of a planned run, without its epochs
    epochs: Mapping[str, FloatArray]  # key -> epochs x EPOCH_FIELDS
    damaged: Mapping[str, str]  # key -> why its record cannot be used
    problems: tuple[str, ...] = field(default=())
    tuning: Mapping[str, Record] = field(default_factory=dict)  # key -> record of a tuning trial
    costs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # variant -> cost -> number

    def list_recorded_seeds(self, variant: str) -> list[Record]:
        """Return the records of a variant, without their epochs, in the order of the plan."""
        keys = (planned.key for planned in self.manifest.planned if planned.variant == variant)
        return [self.records[key] for key in keys if key in self.records]

    def read_record(self, key: str) -> Record:
        """Return a record with its epochs, read again. Raises StorageError where it cannot be read."""
        return RecordStore(self.folder / "records").get(key)


def read_results(folder: str | Path) -> Results:
    """Read a results folder.

    Raises StorageError where the manifest or the study is missing or cannot be read; everything else that is wrong is
    in `problems`.
    """
    folder = Path(folder)
    manifest, double_keys = _drop_double_keys(Manifest.read(folder))
    study, rejected_claims = read_study_and_problems(folder)
    store = RecordStore(folder / "records")
    with _pause_garbage_collection():
        expected = validation.resolve_expected_variants(study)
        records, epochs, damaged = _read_records(store, manifest.planned, expected)
        tuning, torn = _read_tuning_records(store, manifest)
    problems = [
        *rejected_claims,
        *double_keys,
        *_find_manifest_contradictions(folder, study, manifest),
        *damaged.values(),
        *torn,
        *_find_orphans(store, manifest, expected),
        *_find_mixed_datasets(store, records.values()),
    ]
    # Paths are shown relative to the results folder, so that a report is the same wherever the folder lies.
    prefix = f"{folder}/"
    damaged = {key: reason.replace(prefix, "") for key, reason in damaged.items()}
    relative = tuple(problem.replace(prefix, "") for problem in problems)
    return Results(folder, study, manifest, records, epochs, damaged, relative, tuning, _collect_costs(expected))


def read_planned_results(study: Study, planned: Iterable[PlannedRun], folder: Path) -> Results:
    """Read the records of given runs of a given study; the folder's own study.yaml and manifest are not read."""
    runs = tuple(planned)
    with _pause_garbage_collection():
        expected = validation.resolve_expected_variants(study)
        records, epochs, damaged = _read_records(RecordStore(folder / "records"), runs, expected)
    manifest = Manifest(study=study.name, base=study.base.name, planned=runs)
    return Results(folder, study, manifest, records, epochs, damaged, costs=_collect_costs(expected))


def _collect_costs(expected: Mapping[str, ExpectedVariant]) -> dict[str, Mapping[str, int]]:
    return {name: variant.costs for name, variant in expected.items()}


@contextmanager
def _pause_garbage_collection() -> Iterator[None]:
    """Switch the cyclic garbage collector off: records hold no cycles, and it takes a third of the reading time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _drop_double_keys(manifest: Manifest) -> tuple[Manifest, list[str]]:
    """Return the manifest with the first key of every variant and seed, and a problem for every further key."""
    first = {(run.variant, run.seed): run for run in reversed(manifest.planned)}
    problems = [
        f"manifest.json: planned: {run.name} has two keys, got {run.key}; the first one is used"
        for run in manifest.planned
        if first[run.variant, run.seed].key != run.key
    ]
    planned = tuple(run for run in manifest.planned if first[run.variant, run.seed] is run)
    return manifest.model_copy(update={"planned": planned}), problems


def _read_records(
    store: RecordStore, planned: Iterable[PlannedRun], expected: Mapping[str, ExpectedVariant]
) -> tuple[dict[str, Record], dict[str, FloatArray], dict[str, str]]:
    """Return records and epochs by key, and by key why a record is damaged."""
    existing = store.keys()
    records: dict[str, Record] = {}
    epochs: dict[str, FloatArray] = {}
    damaged: dict[str, str] = {}
    first_runs: dict[str, Run] = {}  # by variant
    for run in planned:
        if run.key not in existing or run.key in records:
            continue
        try:
            record = store.get(run.key)
        except StorageError as error:
            damaged[run.key] = str(error)
            continue
        contradiction = validation.find_contradiction(record, run, expected.get(run.variant))
        if contradiction:
            damaged[run.key] = f"{store.get_path(run.key)}: {contradiction}"
            continue
        epochs[run.key] = _build_epoch_array(record)
        # A large study has 200,000 epochs; as objects they would fill the memory.
        content = {"epochs": (), "run": _share_parts(record.run, first_runs.setdefault(run.variant, record.run))}
        records[run.key] = record.model_copy(update=content)
    return records, epochs, damaged


def _share_parts(run: Run, first: Run) -> Run:
    """Return a run with those parts of the variant's first run that equal its own, as the runs of all seeds do.

    A run takes 20 kB, of which 18 are these parts: 10,000 runs took 190 MB more.
    """
    parts = {name: getattr(first, name) for name in ("arch", "data", "train")}
    return run.model_copy(update={name: part for name, part in parts.items() if part == getattr(run, name)})


def _read_tuning_records(store: RecordStore, manifest: Manifest) -> tuple[dict[str, Record], list[str]]:
    """Return the records of tuning trials by key, and a problem for every one that cannot be read."""
    existing, records, problems = store.keys(), dict[str, Record](), list[str]()
    for run in manifest.tuning:
        if run.key in existing and run.key not in records:
            try:
                records[run.key] = store.get(run.key)
            except StorageError as error:
                problems.append(str(error))
    return records, problems


def _build_epoch_array(record: Record) -> FloatArray:
    values = [[getattr(epoch, name) for name in EPOCH_FIELDS] for epoch in record.epochs]
    return np.array(values, dtype=np.float64).reshape(len(values), len(EPOCH_FIELDS))


def _find_manifest_contradictions(folder: Path, study: Study, manifest: Manifest) -> list[str]:
    problems = []
    path = folder / "manifest.json"
    if manifest.study != study.name:
        problems.append(f"{path}: study: study.yaml beside it is {study.name!r}, got {manifest.study!r}")
    if manifest.base != study.base.name:
        problems.append(f"{path}: base: the study's base is {study.base.name!r}, got {manifest.base!r}")
    in_study = {variant.name for variant in study.all_variants}
    planned = {run.variant for run in manifest.planned}
    if in_study - planned:
        problems.append(f"{path}: planned: no run of {_join_names(in_study - planned)}, which study.yaml asks for")
    if planned - in_study and not study.design.proposes_variants:
        problems.append(f"{path}: planned: {_join_names(planned - in_study)} is not a variant of study.yaml")
    return problems


def _find_orphans(store: RecordStore, manifest: Manifest, expected: Mapping[str, ExpectedVariant]) -> list[str]:
    """Return a problem that names the records of no planned run, with the first difference of one from the study.

    Such records are left from an older plan, or were copied from another study.
    """
    orphans = sorted(store.keys() - manifest.list_keys())
    if not orphans:
        return []
    try:
        difference = validation.describe_nearest_variant(store.get(orphans[0]), expected)
    except StorageError as error:
        difference = str(error).removeprefix(f"{store.get_path(orphans[0])}: ")
    detail = f" ({orphans[0]}.json: {difference})" if difference else ""
    names = _join_names(f"{key}.json" for key in orphans)
    return [f"{store.folder}: {names}: of no run of this study, ignored{detail}"]


def _find_mixed_datasets(store: RecordStore, records: Iterable[Record]) -> list[str]:
    """Return a problem for every record whose data set has the name of another one's but different pixels."""
    first: dict[tuple[Any, ...], Record] = {}
    problems = []
    for record in records:
        data = record.run.data
        # Within one data set, only the channels and the handling of corrupt files change the pixels.
        dataset = (data.name, data.shape.channels, data.on_corrupt)
        other = first.setdefault(dataset, record)
        if other.run.fingerprint != record.run.fingerprint:
            problems.append(
                f"{store.get_path(record.key)}: run.fingerprint: {data.name} was {other.run.fingerprint} "
                f"in {other.key}.json, got {record.run.fingerprint}: records of two different data sets in one folder"
            )
    return problems


def _join_names(names: Iterable[str]) -> str:
    return join_first(sorted(names), _MAX_NAMES)

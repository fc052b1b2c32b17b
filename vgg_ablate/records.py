"""What was asked for and what became of it: Run, Epoch, Record, and the store that keeps a record for ever.

A run is named by the hash of its content. A record is one JSON file, written once, whole: aside, synced, then linked
into place, so that the first writer wins and nobody ever reads half of one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from vgg_ablate.chance import is_stalled
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import DECLARATION_FIELDS, Data, Evaluate, Train
from vgg_ablate.config.types import Flag, FrozenModel, NonNegative, Whole
from vgg_ablate.errors import Problem, SpecError, StorageError

RECIPE_VERSION = 2  # bumped by hand when the meaning of a training changes; part of every key
Real = Annotated[float, Field(strict=True)]  # never made of a text
Accuracy = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
_KEPT = {"keep"}  # of `train`: what is stored beside the record; it changes no result


class Outcome(StrEnum):
    """Why a run has ended."""

    FINISHED = "finished"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    FAILED = "failed"


class Run(FrozenModel):
    """One training that a study asks for: an arch spelled out, a recipe, the data's fingerprint, a seed."""

    arch: Arch
    data: Data
    train: Train
    fingerprint: str  # of the data set's decoded pixels, labels and splits
    seed: Whole
    test: Flag = True  # False: a trial of the tuning, which never reads the test split and has no `tested`

    @cached_property
    def key(self) -> str:
        """16 hex digits of the SHA-256 of everything that makes the result.

        What stands at its default is left out, so that a new knob, at its neutral default, changes no recorded key.
        How the data are declared is left out too: the fingerprint and the resolved shape say what they are.
        """
        excluded = {"data": set(DECLARATION_FIELDS), "train": _KEPT}
        content = self.model_dump(mode="json", exclude=excluded, exclude_defaults=True)
        content["data"] |= self.data.shape._asdict()
        content["recipe_version"] = RECIPE_VERSION
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def training_key(self) -> str:
        """The key of this run with `data.evaluate` at its default.

        Runs with one training key differ only in how the test set is evaluated: one training serves all of them.
        """
        if self.data.evaluate == Evaluate():
            return self.key
        return self.model_copy(update={"data": self.data.model_copy(update={"evaluate": Evaluate()})}).key

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but for the keys: the copy computes its own."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("key", None)
        copy.__dict__.pop("training_key", None)
        return copy

    @property
    def archs(self) -> tuple[Arch, ...]:
        """Of all its nets: one, or those of an ensemble."""
        return (self.arch, *self.train.ensemble)

    @property
    def nets(self) -> tuple[Run, ...]:
        """Every net of the run as a run that trains it alone; their splits are the same, their draws are not."""
        if not self.train.ensemble:
            return (self,)
        return tuple(
            Run(
                arch=arch,
                data=self.data,
                train=self.train.model_copy(update={"ensemble": (), "replicate": self.train.replicate + place}),
                fingerprint=self.fingerprint,
                seed=self.seed,
            )
            for place, arch in enumerate(self.archs)
        )

    @property
    def classes(self) -> int:
        """The number of classes, of which each is as likely as any other to a net that has learned nothing."""
        classes = self.data.shape.classes
        assert classes is not None  # of every data set that is fixed, or that was given
        return classes

    @classmethod
    def from_json(cls, text: str, place: str) -> Run:
        """The run that a file says it comes from, as JSON. Raises SpecError."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise SpecError(Problem("the run that it comes from cannot be read", place=place)) from error


class Epoch(FrozenModel):
    """What one epoch of training showed. Errors and accuracies are fractions of 1; losses are nats per example."""

    epoch: Whole  # from 1
    train_loss: Real
    val_loss: Real
    val_accuracy: Accuracy
    lr: Real  # of the epoch's last step
    seconds: NonNegative  # of training alone
    images_per_second: NonNegative  # trained on, in this epoch
    cpu_seconds: NonNegative = 0.0  # CPU time of the process in `seconds`, all threads; 0: not measured
    val_examples: Whole = 0  # that val_accuracy is a fraction of; 0: not recorded


class FinalMetrics(FrozenModel):
    """What was measured once, after the last epoch. The metrics are fractions of 1; more may stand beside these."""

    val_accuracy: Accuracy
    train_error: Accuracy | None = None  # of the first `train_examples` of the training split, shown as validation is
    train_examples: Whole | None = None
    test_accuracy: Accuracy
    test_top5_accuracy: Accuracy | None = None
    correct: str | None = None  # per test example: hex of packed bits, most significant first, in test-split order
    details: dict[str, Any] = Field(default_factory=dict)


def _counts(told: dict[str, Any]) -> dict[str, Any]:
    for name in ("threads", "peak_bytes"):
        if name in told and type(told[name]) is not int:
            raise ValueError(f"{name} must be a whole number, got {told[name]!r}")
    return told


Environment = Annotated[dict[str, Any], AfterValidator(_counts)]


def _starts(told: dict[str, Any]) -> dict[str, Any]:
    """What is read again is checked: the starts with their seeds, and a search's points."""
    for name in ("history", "proposals"):
        listed = told.get(name, [])
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise ValueError(f"{name} must be a list of mappings")
    if not all(isinstance(start.get("seeds", []), list) for start in told.get("history", [])):
        raise ValueError("seeds of a start in history must be a list")
    _registration(told.get("registration"), told.get("history", []))
    return told


def _registration(told: object, history: list[dict[str, Any]]) -> None:
    """Raises ValueError where it is not as `runs.folder` writes it."""
    if told is None:
        return
    words = ("date", "hash", "registered_at")
    if not isinstance(told, dict) or not all(isinstance(told.get(name), str) for name in words):
        raise ValueError("registration must have a date, a hash and a time")
    if not isinstance(told.get("deciding"), dict) or type(told.get("recorded")) is not int:
        raise ValueError("registration must say what decides, and how many runs were recorded")
    if not all(isinstance(start.get("changed", []), list) for start in history):
        raise ValueError("changed of a start in history must be a list")


Provenance = Annotated[dict[str, Any], AfterValidator(_starts)]


class Record(FrozenModel):
    """What became of a run. Costs are per example; seconds are of wall time."""

    key: str
    run: Run
    outcome: Outcome
    reason: str = ""  # for every outcome but `finished`: one line
    epochs: tuple[Epoch, ...] = ()
    tested: FinalMetrics | None = None  # of a finished run
    costs: dict[str, int] = Field(default_factory=dict)  # params, macs, activations, receptive_field, ... closed form
    audited: dict[str, int] = Field(default_factory=dict)  # params, macs: the same by fvcore's tracing
    environment: Environment = Field(default_factory=dict)  # device, precision, threads, versions, host, flags
    train_seconds: NonNegative = 0.0
    images_per_second: NonNegative = 0.0  # median over epochs
    started: str = ""  # UTC, ISO 8601

    @property
    def averaged(self) -> bool:
        """Whether this is an ensemble that was evaluated by the kept predictions of its nets, without training."""
        return self.tested is not None and "members" in self.tested.details

    @property
    def stalled(self) -> bool | None:
        """Whether a finished run is at chance level on its validation split; None where that is not known."""
        if self.averaged and self.tested is not None:
            return is_at_chance(self.tested.val_accuracy, self.tested.details.get("val_examples", 0), self.run.classes)
        if self.outcome is not Outcome.FINISHED or not self.epochs:
            return None
        return is_at_chance(self.epochs[-1].val_accuracy, self.epochs[-1].val_examples, self.run.classes)


def is_at_chance(val_accuracy: float, val_examples: int, classes: int) -> bool | None:
    """Whether a validation accuracy is at chance level; None where the number of examples was not recorded."""
    return is_stalled(round(val_accuracy * val_examples), val_examples, classes) if val_examples else None


class RecordStore:
    """A folder of records, `<key>.json` each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the record of `key` is, or would be."""
        return self.folder / f"{key}.json"

    def __contains__(self, key: str) -> bool:
        return self.path(key).exists()

    def keys(self) -> set[str]:
        """The keys of all records."""
        if not self.folder.is_dir():
            return set()
        return {name[:-5] for name in os.listdir(self.folder) if name.endswith(".json") and not name.startswith(".")}

    def put(self, record: Record) -> bool:
        """Write the record; False where one was there before. Raises StorageFailed where the disk does not take it."""
        return write_once(self.path(record.key), record.model_dump_json(indent=1) + "\n")

    def get(self, key: str) -> Record:
        """The record of `key`. Raises StorageFailed where it is torn, or is not the record of its own run."""
        path = self.path(key)
        try:
            record = Record.model_validate_json(path.read_bytes())
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        except ValidationError as error:
            raise StorageError(f"{path}: {_first(error)}") from error
        if record.key != key or record.run.key != key:
            raise StorageError(
                f"{path}: key: the file's name, its key {record.key} and its run's {record.run.key} differ"
            )
        return record

    def __iter__(self) -> Iterator[Record]:
        return (self.get(key) for key in sorted(self.keys()))


def build_predictions_path(folder: Path, key: str) -> Path:
    """Return where the predictions of a run are kept (`train.keep`) in this folder beside the records."""
    return folder / f"{key}.npz"


def _first(error: ValidationError) -> str:
    """Field, rule, and what was given, of the first thing that is wrong."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the file"
    got = f", got {first['input']!r}" if isinstance(first["input"], int | float | str) and first["loc"] else ""
    return f"{field}: {first['msg'].removeprefix('Value error, ')}{got}"


def write_once(path: Path, text: str) -> bool:
    """Write `text` whole to `path` unless something is there already: aside, synced, linked. True if it was written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=".", suffix=".aside", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), 0o644)  # for the others of a team
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
                return True
            return False
        finally:
            os.unlink(aside)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def replace_file(path: Path, content: str | bytes) -> None:
    """Write text or bytes to `path`, replacing what is there in one step. Raises StorageFailed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=".", suffix=".aside", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


class PlannedRun(FrozenModel):
    """One cell of a study: which variant and seed, and the key of its run."""

    variant: str
    seed: Annotated[Whole, Field(lt=2**63)]
    key: str
    training_key: str = ""  # names its checkpoint; empty, and not written: the key itself

    @model_serializer(mode="wrap")
    def _without_empty(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if not self.training_key:
            del written["training_key"]
        return written


class TuningRun(FrozenModel):
    """One training of the tuning: a trial of a variant, at one number of epochs, from one seed."""

    variant: str
    trial: Whole
    values: dict[str, Any]  # path -> value
    epochs: Whole
    seed: Whole
    key: str


class Manifest(FrozenModel):
    """`manifest.json` of a results folder: what the study planned, and where and how it was run."""

    study: str
    base: str  # the first variant's name
    planned: tuple[PlannedRun, ...]
    tuning: tuple[TuningRun, ...] = ()  # the trials that were asked for before the runs
    provenance: Provenance = Field(default_factory=dict)  # versions, git, device, command lines, looks

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises StorageFailed where it is missing or torn."""
        path = folder / "manifest.json"
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}; has this study been run?") from error
        except ValidationError as error:
            raise StorageError(f"{path}: {_first(error)}; without the file, the next run writes it anew") from error

    def write(self, folder: Path) -> None:
        """Replaces the manifest that was there."""
        replace_file(folder / "manifest.json", self.model_dump_json(indent=1) + "\n")

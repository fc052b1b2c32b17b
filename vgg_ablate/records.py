"""Runs and their records: what is trained, what was measured, and the folder that stores it.

A run is identified by its key, a hash of everything that determines its result. A record is one JSON file, which is
written once and never changed. It is written to a temporary file, synced and linked to its name, so that the first of
several writers wins and no reader sees an incomplete file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError

from vgg_ablate.chance import is_stalled
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.content_hash import hash_content
from vgg_ablate.config.training import DECLARATION_FIELDS, Data, Evaluate, Train
from vgg_ablate.config.types import Flag, FrozenModel, NonNegative, Whole
from vgg_ablate.errors import Problem, SpecError, StorageError
from vgg_ablate.files import read_regular_file, write_once

# Part of every key. Increase it when the same run would give another result, so that old records are not reused.
RECIPE_VERSION = 2
Real = Annotated[float, Field(strict=True)]  # a diverged loss may be NaN or infinite
Accuracy = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
_TRAIN_FIELDS_WITHOUT_EFFECT = {"keep"}  # what is stored beside the record


# Facts of a record's environment. The numbers of a run are a function of its key and of these: torch promises the same
# bits on one machine only, and another number of threads adds floats up in another order.
DECISIVE_FACTS = ("device", "device_name", "threads", "precision", "memory_format", "torch", "system")


class Outcome(StrEnum):
    """The reason for which a run ended."""

    FINISHED = "finished"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    FAILED = "failed"


class Run(FrozenModel):
    """One training: an arch in its normal form, data with their fingerprint, a recipe, and a seed."""

    arch: Arch
    data: Data
    train: Train
    fingerprint: str  # of the decoded pixels, labels and splits of the data set
    seed: Whole
    test: Flag = True  # False: a trial of the tuning, which does not read the test split

    @cached_property
    def key(self) -> str:
        """The first 16 hex digits of the SHA-256 of everything that determines the result."""
        # Defaults are excluded, so that a new field with a neutral default changes no existing key. If a default
        # changes, old records no longer match their file names, because a record contains all values.
        # The declaration of the data is excluded, because fingerprint and shape identify the examples.
        excluded = {"data": set(DECLARATION_FIELDS), "train": _TRAIN_FIELDS_WITHOUT_EFFECT}
        content = self.model_dump(mode="json", exclude=excluded, exclude_defaults=True)
        content["data"] |= self.data.shape._asdict()
        content["recipe_version"] = RECIPE_VERSION
        return hash_content(content)

    @cached_property
    def training_key(self) -> str:
        """The key of this run with `data.evaluate` at its default.

        Runs with equal training keys differ only in the evaluation of the test set, and share one training.
        """
        if self.data.evaluate == Evaluate():
            return self.key
        return self.model_copy(update={"data": self.data.model_copy(update={"evaluate": Evaluate()})}).key

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, as pydantic does, without the cached keys of this run."""
        copy = super().model_copy(update=update, deep=deep)
        # cached_property stores its value in __dict__, which pydantic copies.
        copy.__dict__.pop("key", None)
        copy.__dict__.pop("training_key", None)
        return copy

    @property
    def archs(self) -> tuple[Arch, ...]:
        """The archs of all nets of the run: one, or those of an ensemble."""
        return (self.arch, *self.train.ensemble)

    @property
    def nets(self) -> tuple[Run, ...]:
        """Each net of the run as a run of its own, with the same splits and another replicate per further net."""
        if not self.train.ensemble:
            return (self,)
        return tuple(
            Run(
                arch=arch,
                data=self.data,
                train=self.train.model_copy(update={"ensemble": (), "replicate": self.train.replicate + index}),
                fingerprint=self.fingerprint,
                seed=self.seed,
            )
            for index, arch in enumerate(self.archs)
        )

    @property
    def classes(self) -> int:
        """The number of classes."""
        classes = self.data.shape.classes
        assert classes is not None  # Data requires it for data sets without a fixed number
        return classes

    @classmethod
    def from_json(cls, text: str, file: str) -> Run:
        """Parse the JSON of a run, such as the metadata of exported weights; `file` is its name. Raises SpecError."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise SpecError(Problem("invalid description of the run that produced this file", location=file)) from error


# Of less than 30 years: the time at which a run ended must be a date.
Seconds = Annotated[float, Field(strict=True, ge=0, lt=1e9, allow_inf_nan=False)]


class Epoch(FrozenModel):
    """The measurements of one epoch. Accuracies are fractions of 1, losses are in nats per example."""

    epoch: Whole  # from 1
    train_loss: Real
    val_loss: Real
    val_accuracy: Accuracy
    lr: Real  # of the last step
    seconds: Seconds  # of training, without validation
    images_per_second: NonNegative  # of training
    cpu_seconds: Seconds = 0.0  # CPU time of all threads during `seconds`; 0: not measured
    val_examples: Whole = 0  # denominator of val_accuracy; 0: not recorded


class FinalMetrics(FrozenModel):
    """The measurements after the last epoch. Accuracies and errors are fractions of 1; `details` has more metrics."""

    val_accuracy: Accuracy
    train_error: Accuracy | None = None  # of the first `train_examples` of the training split
    train_examples: Whole | None = None
    test_accuracy: Accuracy
    test_top5_accuracy: Accuracy | None = None
    correct: str | None = None  # one bit per test example in order, most significant first, as hex
    details: dict[str, Any] = Field(default_factory=dict)


def _check_counts(environment: dict[str, Any]) -> dict[str, Any]:
    for name in ("threads", "peak_bytes"):
        if name in environment and type(environment[name]) is not int:
            raise ValueError(f"{name} must be an integer, got {environment[name]!r}")
    return environment


def _check_time(text: str) -> str:
    # Of a year in which the duration of a run, added to it, is a date too.
    if text and not 1970 <= datetime.fromisoformat(text).year < 9000:
        raise ValueError("must be a year from 1970 to 8999")
    return text


Environment = Annotated[dict[str, Any], AfterValidator(_check_counts)]


class Record(FrozenModel):
    """The result of a run. Costs are per example, times are wall times in seconds."""

    key: str
    run: Run
    outcome: Outcome
    reason: str = ""  # one line, for all outcomes but `finished`
    epochs: tuple[Epoch, ...] = ()
    tested: FinalMetrics | None = None  # of finished runs that read the test split
    costs: dict[str, int] = Field(
        default_factory=dict
    )  # params, macs, activations, receptive_field, ... in closed form
    audited: dict[str, int] = Field(default_factory=dict)  # params and macs as traced by fvcore
    environment: Environment = Field(default_factory=dict)  # device, precision, threads, versions, host, flags
    train_seconds: Seconds = 0.0
    images_per_second: NonNegative = 0.0  # median over epochs
    started: Annotated[str, AfterValidator(_check_time)] = ""  # UTC, ISO 8601

    @property
    def is_averaged(self) -> bool:
        """Whether this is an ensemble that was computed from stored predictions of its nets, without training."""
        return self.tested is not None and "members" in self.tested.details

    @property
    def is_stalled(self) -> bool | None:
        """Whether a finished run is at chance level on its validation split; None if that is unknown."""
        if self.is_averaged and self.tested is not None:
            return is_at_chance(self.tested.val_accuracy, self.tested.details.get("val_examples", 0), self.run.classes)
        if self.outcome is not Outcome.FINISHED or not self.epochs:
            return None
        return is_at_chance(self.epochs[-1].val_accuracy, self.epochs[-1].val_examples, self.run.classes)


def is_at_chance(val_accuracy: float, val_examples: int, classes: int) -> bool | None:
    """Return whether a validation accuracy is at chance level; None if `val_examples` is 0, that is not recorded."""
    # Accuracies are quotients of integers; rounding recovers the exact number of correct answers.
    return is_stalled(round(val_accuracy * val_examples), val_examples, classes) if val_examples else None


class RecordStore:
    """A folder of records, one file `<key>.json` per run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_path(self, key: str) -> Path:
        """Return the path of the record of `key`, whether it exists or not."""
        return self.folder / f"{key}.json"

    def __contains__(self, key: str) -> bool:
        return self.get_path(key).exists()

    def keys(self) -> set[str]:
        """Return the keys of all records. Raises StorageError if the folder cannot be read."""
        try:
            names = os.listdir(self.folder) if self.folder.is_dir() else []
        except OSError as error:
            raise StorageError(f"{self.folder}: {error.strerror}") from error
        return {name[:-5] for name in names if name.endswith(".json") and not name.startswith(".")}

    def put(self, record: Record) -> bool:
        """Write a record and return True; return False if the run has a record already. Raises StorageError."""
        return write_once(self.get_path(record.key), record.model_dump_json(indent=1) + "\n")

    def get(self, key: str) -> Record:
        """Read the record of `key`. Raises StorageError if it is damaged, or if its key does not match its run."""
        path = self.get_path(key)
        try:
            record = Record.model_validate_json(read_regular_file(path))
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        except ValidationError as error:
            raise StorageError(f"{path}: {format_first_error(error)}") from error
        # The key of the run is computed from its content, so that an edited record is noticed.
        if record.key != key or record.run.key != key:
            raise StorageError(
                f"{path}: key: the file name, the key of the record, {record.key}, and that computed from its run, "
                f"{record.run.key}, differ"
            )
        return record

    def __iter__(self) -> Iterator[Record]:
        return (self.get(key) for key in sorted(self.keys()))


def build_predictions_path(folder: Path, key: str) -> Path:
    """Return the path of the stored predictions of a run (`train.keep`) in a folder beside the records."""
    return folder / f"{key}.npz"


def format_first_error(error: ValidationError) -> str:
    """Return the field, the rule and the given value of the first error."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the file"
    got = f", got {first['input']!r}" if isinstance(first["input"], int | float | str) and first["loc"] else ""
    return f"{field}: {first['msg'].removeprefix('Value error, ')}{got}"

"""The manifest of a results folder: which runs a study has asked for, and where and how they were started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from vgg_ablate.config.types import FrozenModel, Whole
from vgg_ablate.config.variants import VariantName
from vgg_ablate.errors import StorageError
from vgg_ablate.files import read_regular_file, replace_file
from vgg_ablate.records import format_first_error


def _check_provenance(provenance: dict[str, Any]) -> dict[str, Any]:
    """Check the parts that the package reads again; other keys are only shown."""
    history = provenance.get("history", [])
    for name in ("history", "proposals"):
        entries = provenance.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{name} must be a list of mappings")
    for name in ("seeds", "changed"):
        if not all(isinstance(start.get(name, []), list) for start in history):
            raise ValueError(f"{name} in history must be a list")
    if "answer" in provenance:
        _check_answer(provenance["answer"])
    if provenance.get("registration") is not None:
        _check_registration(provenance["registration"])
    return provenance


def _check_answer(answer: object) -> None:
    """Raise ValueError if the verdicts stored beside the author's answer have not the form that reports read."""
    if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
        raise ValueError("answer must have a text")
    if not isinstance(answer.get("verdicts"), dict):
        raise ValueError("answer must have a mapping verdicts")


def _check_registration(registration: object) -> None:
    """Raise ValueError if the registration lacks a field that `runs.results_dir` writes."""
    texts = ("date", "hash", "registered_at")
    if not isinstance(registration, dict) or not all(isinstance(registration.get(name), str) for name in texts):
        raise ValueError("registration must have the texts date, hash and registered_at")
    if not isinstance(registration.get("deciding"), dict) or type(registration.get("recorded")) is not int:
        raise ValueError("registration must have a mapping deciding and an integer recorded")


Provenance = Annotated[dict[str, Any], AfterValidator(_check_provenance)]


def format_run_name(variant: str, seed: int) -> str:
    """Return the name by which commands, reports and trackers show a run: `VARIANT/SEED`."""
    return f"{variant}/{seed}"


class PlannedRun(FrozenModel):
    """One cell of a study: a variant, a seed, and the key of its run."""

    variant: VariantName
    seed: Annotated[Whole, Field(lt=2**63)]
    key: str
    training_key: str = ""  # name of its checkpoint; empty: the key

    @property
    def name(self) -> str:
        """The name of the run: `VARIANT/SEED`."""
        return format_run_name(self.variant, self.seed)

    @model_serializer(mode="wrap")
    def _omit_empty_training_key(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        if not self.training_key:  # keeps manifests without shared trainings as they were before the field
            del fields["training_key"]
        return fields


class TuningRun(FrozenModel):
    """One training of the tuning: a trial of a variant with one number of epochs and one seed."""

    variant: str
    trial: Whole
    values: dict[str, Any]  # path -> value
    epochs: Whole
    seed: Whole
    key: str


class Manifest(FrozenModel):
    """The `manifest.json` of a results folder: the planned runs, and where and how they were started."""

    study: str
    base: str  # the first variant's name
    planned: tuple[PlannedRun, ...]
    tuning: tuple[TuningRun, ...] = ()  # all trials, which train before the runs
    provenance: Provenance = Field(default_factory=dict)  # versions, git, device, command lines, looks

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a results folder. Raises StorageError if it is missing or damaged."""
        path = folder / "manifest.json"
        try:
            return cls.model_validate_json(read_regular_file(path))
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}; run the study first") from error
        except ValidationError as error:
            raise StorageError(
                f"{path}: {format_first_error(error)}; delete the file and run the study to write it again"
            ) from error

    def list_keys(self) -> set[str]:
        """Return the keys of all runs that the study has asked for: the planned ones and the trials of its tuning."""
        return {run.key for run in self.planned} | {run.key for run in self.tuning}

    def write(self, folder: Path) -> None:
        """Write the manifest to a results folder, replacing an existing one. Raises StorageError."""
        replace_file(folder / "manifest.json", self.model_dump_json(indent=1) + "\n")

"""The ledger of a study: an Optuna study, written by the driver alone and shown by optuna-dashboard.

For a plan it mirrors the records, one trial per run. For a search it also holds the proposals. Results are read from
the records only; a lost or damaged ledger is rebuilt from them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from vgg_ablate.config.study import Study
from vgg_ablate.manifest import format_run_name
from vgg_ablate.records import Epoch, Outcome, Record
from vgg_ablate.runs.ledger.storage import build_default_url, open_storage, translate_storage_errors

# Levels beyond which a parameter is kept as an index. Optuna stores all choices with every trial: 10,000 trials of a
# parameter with 1,000 choices took 760 MB, and half a minute to read.
_MAX_CHOICES = 50
# Errors of single epochs per trial of a plan. Each is three SQL statements: with those of ten epochs, adding 10,000
# trials took 165 s of CPU time instead of 104 s. The report has the whole curves.
_CURVE_VALUES = 3

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True)
class TrialParameters:
    """The values of every variant as the parameters of Optuna's trials.

    Numbers become bounds and not choices, and of many words only the index is kept, so that the size of a trial does
    not grow with the study.
    """

    distributions: dict[str, BaseDistribution]  # path -> distribution
    by_variant: dict[str, dict[str, Any]]  # variant -> path -> value of the trial's parameter

    @classmethod
    def from_values(cls, values: Mapping[str, Mapping[str, Any]]) -> TrialParameters:
        """Return the parameters for values by variant and path; every variant has the same paths."""
        paths = next(iter(values.values()))
        levels = {path: list(dict.fromkeys(by_path[path] for by_path in values.values())) for path in paths}
        indices = {path: {level: index for index, level in enumerate(levels[path])} for path in paths}
        distributions = {path: _build_distribution(levels[path]) for path in paths}
        by_variant = {
            variant: {
                path: indices[path][value] if isinstance(distributions[path], IntDistribution) else value
                for path, value in by_path.items()
            }
            for variant, by_path in values.items()
        }
        return cls(distributions, by_variant)


def _build_distribution(levels: list[Any]) -> BaseDistribution:
    if all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        return FloatDistribution(min(levels), max(levels))
    if len(levels) > _MAX_CHOICES:
        return IntDistribution(0, len(levels) - 1)
    return CategoricalDistribution(levels)


class Ledger:
    """An Optuna study that only this process writes."""

    def __init__(self, study: optuna.Study, storage: optuna.storages.BaseStorage, url: str) -> None:
        self._study = study
        self._storage = storage
        self._url = url
        self._attributes: Mapping[str, str] = {}

    @classmethod
    def open(cls, name: str, url: str, objectives: Sequence[str] = ("val_error",)) -> Ledger:
        """Return the ledger of this name in a storage, created where it does not exist.

        Raises StorageError; a damaged file is moved aside first, so that the next start creates it again.
        """
        with translate_storage_errors(url):
            storage = open_storage(url)
            study = optuna.create_study(
                storage=storage, study_name=name, directions=["minimize"] * len(objectives), load_if_exists=True
            )
            with warnings.catch_warnings():
                # Optuna calls metric names experimental; they are labels in the dashboard.
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(objectives))
            return cls(study, storage, url)

    @property
    def study(self) -> optuna.Study:
        """Optuna's study."""
        return self._study

    @property
    def url(self) -> str:
        """The URL of the storage."""
        return self._url

    def describe(self, attributes: Mapping[str, str]) -> None:
        """Set attributes of the study for people who look at the dashboard."""
        self._attributes = attributes
        with translate_storage_errors(self._url):
            stored = self._study.user_attrs
            for name, text in attributes.items():
                if stored.get(name) != text:
                    self._study.set_user_attr(name, text)

    def read_outcomes(self) -> dict[str, str]:
        """Return the key and the outcome of every run that has a trial."""
        with translate_storage_errors(self._url):
            trials = self._study.get_trials(deepcopy=False)
        attributes = [trial.user_attrs for trial in trials]
        return {fields["key"]: fields.get("outcome", str(Outcome.FINISHED)) for fields in attributes if "key" in fields}

    def list_keys(self) -> set[str]:
        """Return the keys of all runs behind the trials of a plan or a search."""
        with translate_storage_errors(self._url):
            trials = self._study.get_trials(deepcopy=False)
        # A trial of a plan has one `key`; one of a search has the `keys` of its seeds.
        return {
            key for trial in trials for name in ("key", "keys") for key in str(trial.user_attrs.get(name, "")).split()
        }

    def mirror(self, record: Record, variant: str, parameters: TrialParameters, *, pruned: bool = False) -> None:
        """Add a trial for a recorded run: COMPLETE where it finished, otherwise FAIL or PRUNED.

        `pruned` marks a trial that finished its rung of a successive halving and did not go on to the next.

        Raises LevelsChangedError where the parameters do not fit those of the trials in the ledger.
        """
        trial = _build_trial(record, variant, parameters, pruned=pruned)
        with translate_storage_errors(self._url):
            try:
                self._study.add_trial(trial)
            except ValueError as error:
                raise LevelsChangedError(str(error)) from error

    def close(self) -> None:
        """Close the file, or the connections to the server."""
        if isinstance(self._storage, optuna.storages.RDBStorage):
            self._storage.remove_session()
            self._storage.engine.dispose()

    def recreate(self) -> Ledger:
        """Delete every trial and close this ledger; return an empty one of the same name."""
        with translate_storage_errors(self._url):
            name, objectives = self._study.study_name, tuple(self._study.metric_names or ())
            # By Optuna, and not by deleting the file: a dashboard may have it open, and a server has no file.
            optuna.delete_study(study_name=name, storage=self._storage)
        self.close()
        empty = Ledger.open(name, self._url, objectives)
        empty.describe(self._attributes)
        return empty


def open_study_ledger(study: Study, folder: Path, storage: str | None = None) -> Ledger:
    """Return the ledger of a study in its results folder, or at the URL `storage`. Raises StorageError."""
    ledger = Ledger.open(study.name, storage or build_default_url(folder), study.design.list_objectives())
    ledger.describe({"question": study.question, "data": study.base.data.name, "a trial": study.design.trial_noun})
    return ledger


class LevelsChangedError(Exception):
    """The levels of the study are not those with which the trials were written: the ledger must be rebuilt."""


def _build_trial(record: Record, variant: str, parameters: TrialParameters, *, pruned: bool) -> FrozenTrial:
    finished = record.outcome is Outcome.FINISHED and bool(record.epochs)
    state = TrialState.COMPLETE if finished else TrialState.FAIL
    if record.outcome is Outcome.PRUNED or (finished and pruned):
        state = TrialState.PRUNED
    trial = create_trial(
        state=state,
        value=1 - record.epochs[-1].val_accuracy if finished else None,
        params=parameters.by_variant[variant],
        distributions=parameters.distributions,
        intermediate_values={epoch.epoch: 1 - epoch.val_accuracy for epoch in _select_epochs(record.epochs)},
        user_attrs=_build_attributes(record, variant),
    )
    if record.started:
        # Optuna's datetimes are naive and local.
        start = datetime.fromisoformat(record.started).astimezone().replace(tzinfo=None)
        trial.datetime_start, trial.datetime_complete = start, start + timedelta(seconds=record.train_seconds)
    return trial


def _select_epochs(epochs: Sequence[Epoch]) -> Sequence[Epoch]:
    """Return the epochs whose errors a trial shows, the last one among them."""
    shown = min(len(epochs), _CURVE_VALUES)
    return [epochs[len(epochs) * (index + 1) // shown - 1] for index in range(shown)]


def _build_attributes(record: Record, variant: str) -> dict[str, str]:
    """Return the attributes of a trial: its run, by key for programs and by name for people.

    There are no more, since each is two SQL statements of about twenty per trial, and Optuna's SQL is nine tenths of
    what a run costs the driver.
    """
    attributes = {"key": record.key, "run": format_run_name(variant, record.run.seed)}
    if record.outcome is not Outcome.FINISHED:
        attributes |= {"outcome": str(record.outcome), "reason": record.reason}
    return attributes

"""The ledger: the Optuna study beside the records. Only the driver writes it.

For a plan it is a mirror: one trial a run, so that optuna-dashboard can look on. Lost or damaged, it is made again from
the records, which are the truth.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from vgg_ablate.records import Outcome, Record
from vgg_ablate.runs.ledger.storage import open_storage, translate_storage_errors

_MANY = 50  # words that a parameter takes

optuna.logging.set_verbosity(optuna.logging.ERROR)


class TrialParameters:
    """Every variant's values as the parameters of trials.

    A trial keeps all choices of its parameters, so numbers are bounds and not choices, and of many words only the place
    in their list is kept: what a trial costs must not grow with the study.
    """

    def __init__(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        paths = next(iter(values.values()))
        levels = {path: list(dict.fromkeys(of[path] for of in values.values())) for path in paths}
        self.distributions = {path: _distribution(levels[path]) for path in paths}
        places = {path: {level: place for place, level in enumerate(levels[path])} for path in paths}
        self.of = {
            variant: {
                path: places[path][value] if isinstance(self.distributions[path], IntDistribution) else value
                for path, value in of.items()
            }
            for variant, of in values.items()
        }


def _distribution(levels: list[Any]) -> BaseDistribution:
    if all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        return FloatDistribution(min(levels), max(levels))
    if len(levels) > _MANY:
        return IntDistribution(0, len(levels) - 1)
    return CategoricalDistribution(levels)


class Ledger:
    """One Optuna study, opened for writing by this process alone."""

    def __init__(self, study: optuna.Study, storage: optuna.storages.BaseStorage, place: str) -> None:
        self._study, self._storage, self._place = study, storage, place
        self._name, self._objectives = study.study_name, tuple(study.metric_names or ())
        self._about: Mapping[str, str] = {}

    @classmethod
    def open(cls, name: str, url: str, objectives: Sequence[str] = ("val_error",)) -> Ledger:
        """Raises StorageFailed; a damaged file is moved aside first, so that the next start makes it again."""
        with translate_storage_errors(url):
            storage = open_storage(url)
            study = optuna.create_study(
                storage=storage, study_name=name, directions=["minimize"] * len(objectives), load_if_exists=True
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # metric names: a label
                study.set_metric_names(list(objectives))
            return cls(study, storage, url)

    @property
    def study(self) -> optuna.Study:
        """Optuna's own."""
        return self._study

    @property
    def place(self) -> str:
        """Its URL."""
        return self._place

    def describe(self, about: Mapping[str, str]) -> None:
        """Say what the study is, to whoever looks on."""
        self._about = about
        with translate_storage_errors(self._place):
            there = self._study.user_attrs
            for name, text in about.items():
                if there.get(name) != text:
                    self._study.set_user_attr(name, text)

    def mirrored(self) -> dict[str, str]:
        """Key -> outcome of every run that has a trial."""
        with translate_storage_errors(self._place):
            trials = self._study.get_trials(deepcopy=False)
        attributes = (trial.user_attrs for trial in trials)
        return {of["key"]: of.get("outcome", str(Outcome.FINISHED)) for of in attributes if "key" in of}

    def list_keys(self) -> set[str]:
        """Return the keys of all runs that the trials of a plan, or of a search, were judged by."""
        with translate_storage_errors(self._place):
            trials = self._study.get_trials(deepcopy=False)
        return {
            key for trial in trials for name in ("key", "keys") for key in str(trial.user_attrs.get(name, "")).split()
        }

    def mirror(self, record: Record, variant: str, parameters: TrialParameters, *, pruned: bool = False) -> None:
        """Add a trial for a recorded run: COMPLETE where it finished, otherwise FAIL or PRUNED.

        `pruned` marks a trial that finished its rung of a successive halving and went no further.

        Raises Changed where the study's levels are no longer those of the trials that are there.
        """
        trial = _trial(record, variant, parameters, pruned=pruned)
        with translate_storage_errors(self._place):
            try:
                self._study.add_trial(trial)
            except ValueError as error:
                raise LevelsChangedError(str(error)) from error

    def close(self) -> None:
        """Let go of the file, or the server."""
        if isinstance(self._storage, optuna.storages.RDBStorage):
            self._storage.remove_session()
            self._storage.engine.dispose()

    def recreate(self) -> Ledger:
        """The same ledger without a trial."""
        with translate_storage_errors(self._place):
            optuna.delete_study(study_name=self._name, storage=self._storage)
        self.close()
        empty = Ledger.open(self._name, self._place, self._objectives)
        empty.describe(self._about)
        return empty


class LevelsChangedError(Exception):
    """The study has other levels than when these trials were written: the ledger must be made again."""


def _trial(record: Record, variant: str, parameters: TrialParameters, *, pruned: bool) -> FrozenTrial:
    finished = record.outcome is Outcome.FINISHED and bool(record.epochs)
    state = TrialState.COMPLETE if finished else TrialState.FAIL
    if record.outcome is Outcome.PRUNED or (finished and pruned):
        state = TrialState.PRUNED
    trial = create_trial(
        state=state,
        value=1 - record.epochs[-1].val_accuracy if finished else None,
        params=parameters.of[variant],
        distributions=parameters.distributions,
        intermediate_values={epoch.epoch: 1 - epoch.val_accuracy for epoch in record.epochs},
        user_attrs=_attributes(record, variant),
    )
    if record.started:
        start = datetime.fromisoformat(record.started).astimezone().replace(tzinfo=None)
        trial.datetime_start, trial.datetime_complete = start, start + timedelta(seconds=record.train_seconds)
    return trial


def _attributes(record: Record, variant: str) -> dict[str, str]:
    """Which run, for programs and for people, and no more: each is two statements of SQL."""
    about = {"key": record.key, "run": f"{variant}/{record.run.seed}"}
    if record.outcome is not Outcome.FINISHED:
        about |= {"outcome": str(record.outcome), "reason": record.reason}
    return about

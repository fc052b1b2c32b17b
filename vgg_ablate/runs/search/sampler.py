"""Optuna's part of a search: propose points, decide which proposals to stop, and keep the values of all.

Every proposal gets a new sampler, seeded by its number. So a search that was killed and started again proposes the
same points as one that was not.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from vgg_ablate.config.samplers import (
    GridSampler,
    HyperbandPruner,
    MedianPruner,
    NsgaIISampler,
    QmcSampler,
    RandomSampler,
    SuccessiveHalvingPruner,
    TpeSampler,
)
from vgg_ablate.config.search import Search
from vgg_ablate.config.search_space import NumberRange, encode_choice
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.records import Epoch
from vgg_ablate.runs.ledger.ledger import Ledger
from vgg_ablate.runs.ledger.storage import translate_storage_errors
from vgg_ablate.runs.search.proposal import JudgedProposal, Point, Proposal
from vgg_ablate.space.pareto import find_pareto_rows


class OptunaSampler:
    """The proposals of one search, in an Optuna study that only this process writes.

    Every method raises StorageError where the storage cannot be read or written.
    """

    def __init__(
        self,
        ledger: Ledger,
        design: Search,
        points: list[dict[str, object]],
        distributions: Mapping[str, BaseDistribution],
        grid: Sequence[Point] | None,
        *,
        found_exhausted: bool,
    ) -> None:
        self.points = points  # of every proposal, by number
        self._study = ledger.study
        self._url = ledger.url
        self._design = design
        self._distributions = dict(distributions)  # by path
        self._grid = grid  # None: the sampler is none of a grid
        self._trials: dict[int, optuna.Trial] = {}  # open proposals, by number
        self._reported: dict[int, set[int]] = {}  # reported steps, by number of the proposal
        self._found_exhausted = found_exhausted

    @classmethod
    def load(cls, ledger: Ledger, design: Search, max_epochs: int) -> OptunaSampler:
        """Return the sampler of a search, with the proposals that its ledger holds.

        `max_epochs` is the last step that a proposal can reach, over all its seeds. Raises SpecError where the space is
        not the one with which the search began.
        """
        distributions = {path: _build_distribution(dimension) for path, dimension in design.space.items()}
        with translate_storage_errors(ledger.url):
            ledger.study.pruner = _build_pruner(design, max_epochs)
            trials = ledger.study.get_trials(deepcopy=False)
            # An edited space, or edited constraints, can have new points again.
            found_exhausted = ledger.study.user_attrs.get("exhausted") == _hash_space(design)
        for trial in trials[:1]:  # all trials of a study have one space
            _check_space(trial, distributions)
        grid = _shuffle_grid(design) if isinstance(design.sampler, GridSampler) else None
        points = [dict(trial.params) for trial in trials]
        return cls(ledger, design, points, distributions, grid, found_exhausted=found_exhausted)

    @property
    def is_exhausted(self) -> bool:
        """Whether there is nothing new to propose."""
        return self._found_exhausted or (self._grid is not None and len(self.points) >= len(self._grid))

    def mark_exhausted(self) -> None:
        """Propose nothing more from this space, in later starts either."""
        self._found_exhausted = True
        with translate_storage_errors(self._url):
            self._study.set_user_attr("exhausted", _hash_space(self._design))

    def restore_proposals(self, points: Sequence[Point]) -> None:
        """Add these points, as open proposals, to a ledger that was lost; do nothing where it has proposals."""
        if self.points or not points:
            return
        with translate_storage_errors(self._url):
            for point in points:
                self._study.add_trial(
                    create_trial(state=TrialState.RUNNING, params=point, distributions=self._distributions)
                )
        self.points = [dict(point) for point in points]

    def list_judged(self) -> list[JudgedProposal]:
        """Return every proposal with a result, by number."""
        with translate_storage_errors(self._url):
            trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return [
            JudgedProposal(
                Proposal(trial.number, dict(trial.params)),
                tuple(trial.values) if trial.state is TrialState.COMPLETE else None,
                any(excess > 0 for excess in trial.constraints.values()),
                frozenset(str(trial.user_attrs.get("keys", "")).split()),
                max(trial.intermediate_values, default=None),
            )
            for trial in trials
        ]

    def reopen(self) -> list[Proposal]:
        """Return the proposals without a result, which were running when the last driver ended."""
        with translate_storage_errors(self._url):
            trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            return [self._reopen_trial(trial) for trial in trials]

    def propose(self) -> Proposal | None:
        """Return the next proposal; None where there is nothing new to propose."""
        number = len(self.points)
        if self.is_exhausted:
            return None
        with translate_storage_errors(self._url), _suppress_experimental_warnings():
            self._study.sampler = self._build_sampler(number)
            trial = self._study.ask(self._distributions)
        self._trials[trial.number] = trial
        self.points.append(dict(trial.params))
        return Proposal(trial.number, dict(trial.params))

    def annotate(self, number: int, attributes: Mapping[str, Any], excess: Mapping[str, float]) -> None:
        """Set attributes of a proposal, and by how much it exceeds each constraint (0 or less: it meets it)."""
        with translate_storage_errors(self._url), _suppress_experimental_warnings():
            trial = self._trials[number]
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            for name in excess.keys() - trial.constraints.keys():
                trial.set_constraint(name, excess[name])
            if excess:
                # optuna-dashboard 0.21.0 reads constraints only from the list that Optuna 4 kept; Optuna 5 reads both.
                trial.storage.set_trial_system_attr(trial._trial_id, "constraints", list(excess.values()))

    def report(self, number: int, step: int, value: float) -> bool:
        """Report the validation error at a step; return whether the pruner stops the proposal."""
        if self._design.objectives != ("val_error",):
            # Optuna has no intermediate values for several objectives, and for another single objective (a cost, the
            # training time) the validation error is not its intermediate value.
            return False
        trial = self._trials[number]
        with translate_storage_errors(self._url), _suppress_experimental_warnings():
            if step not in self._reported.setdefault(number, set()):
                trial.report(value, step)
                self._reported[number].add(step)
            return self._design.pruner.kind != "none" and trial.should_prune()

    def report_missing(self, number: int, epochs: Sequence[Epoch]) -> None:
        """Report those epochs of a record that were not reported before, as when a lost ledger is rebuilt."""
        for epoch in epochs:
            if epoch.epoch not in self._reported.get(number, ()):
                self.report(number, epoch.epoch, 1 - epoch.val_accuracy)

    def tell(self, number: int, values: Sequence[float] | None) -> None:
        """Set the values of a proposal; None where it was stopped or refused."""
        state = TrialState.PRUNED if values is None else TrialState.COMPLETE
        with translate_storage_errors(self._url), _suppress_experimental_warnings():
            self._study.tell(number, values, state=state, skip_if_finished=True)
        self._trials.pop(number, None)

    def select_best(self, count: int) -> list[JudgedProposal]:
        """Return the best proposals by the first objective; with several objectives, only those that none dominates."""
        candidates = [judged for judged in self.list_judged() if judged.values is not None and not judged.refused]
        if len(self._design.objectives) > 1:
            front = find_pareto_rows([judged.values or () for judged in candidates], keep_ties=True)
            candidates = [candidates[row] for row in front]
        worst_first = sorted(candidates, key=lambda judged: judged.values or ())[::-1]
        # Equal points would be the same winner twice.
        distinct = {judged.proposal.identity: judged for judged in worst_first}
        return list(distinct.values())[::-1][:count]

    def _reopen_trial(self, frozen: FrozenTrial) -> Proposal:
        with _suppress_experimental_warnings():
            self._study.sampler = self._build_sampler(frozen.number)
            trial = optuna.Trial(self._study, frozen._trial_id)  # Optuna has no public way back to an open trial
            for path, distribution in self._distributions.items():
                # The driver may have died before the trial had all its parameters; those it has stay as they are.
                _suggest(trial, path, distribution)
        self._trials[frozen.number] = trial
        self._reported[frozen.number] = set(frozen.intermediate_values)
        return Proposal(frozen.number, dict(trial.params))

    def _build_sampler(self, number: int) -> optuna.samplers.BaseSampler:
        config = self._design.sampler
        seed = derive_seed(config.kind, number)
        match config:
            case TpeSampler():
                # The constant liar counts running trials as bad, so that parallel workers do not get the same point.
                return optuna.samplers.TPESampler(
                    n_startup_trials=config.startup_trials, multivariate=True, constant_liar=True, seed=seed
                )
            case NsgaIISampler():
                return optuna.samplers.NSGAIISampler(population_size=config.population, seed=seed)
            case RandomSampler():
                return optuna.samplers.RandomSampler(seed=seed)
            case QmcSampler():  # one sequence, hence one seed; Optuna keeps the position in it in the study
                return optuna.samplers.QMCSampler(scramble=True, seed=0, warn_independent_sampling=False)
            case GridSampler():
                point = (self._grid or [])[number]
                return optuna.samplers.PartialFixedSampler(point, optuna.samplers.RandomSampler(seed=seed))
        return optuna.samplers.GPSampler(n_startup_trials=config.startup_trials, seed=seed)


def sample_points(
    space: Mapping[str, NumberRange | list[Any]], count: int, sampler: Literal["qmc", "random"]
) -> list[Point]:
    """Return `count` points of a space, the same ones in every call.

    Numbers are rounded to three significant digits, so that they can be read and typed.
    """
    distributions = {path: _build_distribution(dimension) for path, dimension in space.items()}
    optuna_sampler: optuna.samplers.BaseSampler
    with _suppress_experimental_warnings():
        if sampler == "qmc":
            optuna_sampler = optuna.samplers.QMCSampler(scramble=True, seed=0, warn_independent_sampling=False)
        else:
            optuna_sampler = optuna.samplers.RandomSampler(seed=0)
        study = optuna.create_study(sampler=optuna_sampler)
        # QMCSampler takes the space from the first finished trial and draws that one at random: it is not returned.
        first = {path: _get_any_value(distribution) for path, distribution in distributions.items()}
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=0.0, params=first, distributions=distributions))
        points = []
        for _ in range(count):
            trial = study.ask(distributions)
            study.tell(trial, 0.0)
            points.append({path: _decode_value(value, space[path]) for path, value in trial.params.items()})
    return points


def _get_any_value(distribution: BaseDistribution) -> Any:
    return distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.low  # type: ignore[attr-defined]


def _decode_value(value: Any, dimension: NumberRange | list[Any]) -> Any:
    """Return a parameter of Optuna's as the study writes it: one of the choices, or a rounded number."""
    if not isinstance(dimension, NumberRange):
        return next(choice for choice in dimension if encode_choice(choice) == value)
    if not isinstance(value, float) or dimension.step is not None:
        return value
    # Rounding may leave the range.
    return min(max(float(f"{value:.3g}"), float(dimension.low)), float(dimension.high))


def derive_seed(name: str, number: int) -> int:
    """Return a seed of 32 bits for a name and a number."""
    return int.from_bytes(hashlib.sha256(f"{name} {number}".encode()).digest()[:4], "big")


def _hash_space(design: Search) -> str:
    """Return a digest of what decides which points can be proposed."""
    text = design.model_dump_json(include={"space", "constraints"})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_space(trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]) -> None:
    """Raise SpecError where the space has other paths or choices than the trial; bounds may differ.

    An Optuna study keeps the choices of a parameter fixed, but not its bounds.
    """
    for path in trial.distributions.keys() | distributions.keys():
        before, now = trial.distributions.get(path), distributions.get(path)
        is_choice = isinstance(now, CategoricalDistribution)
        if type(before) is not type(now) or (is_choice and before != now):
            rule = "the space has changed since the search began: give the study another name, or another --out"
            raise SpecError(Problem(rule, f"design.space.{path}"))


def _shuffle_grid(design: Search) -> list[Point]:
    """Return the points of a grid in a fixed random order, so that a search that is cut short has seen every level."""
    points = design.list_grid_points()
    random.Random(0).shuffle(points)
    return points


def _build_distribution(dimension: NumberRange | Iterable[Any]) -> BaseDistribution:
    if not isinstance(dimension, NumberRange):
        return CategoricalDistribution([encode_choice(choice) for choice in dimension])
    if dimension.is_whole:
        return IntDistribution(int(dimension.low), int(dimension.high), dimension.log, int(dimension.step or 1))
    return FloatDistribution(float(dimension.low), float(dimension.high), dimension.log, dimension.step)


def _suggest(trial: optuna.Trial, path: str, distribution: BaseDistribution) -> None:
    match distribution:
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(path, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_int(path, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_float(path, low, high, step=step, log=log)


def _build_pruner(design: Search, max_epochs: int) -> optuna.pruners.BasePruner:
    match design.pruner:
        case MedianPruner(startup_trials=startup, warmup_epochs=warmup):
            return optuna.pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup)
        case SuccessiveHalvingPruner(min_epochs=first, reduction_factor=factor):
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=factor)
        case HyperbandPruner(min_epochs=first, reduction_factor=factor):
            return optuna.pruners.HyperbandPruner(first, max_epochs, factor)
    return optuna.pruners.NopPruner()


@contextlib.contextmanager
def _suppress_experimental_warnings() -> Iterator[None]:
    """Suppress Optuna's warnings that multivariate TPE and fixed samplers are experimental; tests cover them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield

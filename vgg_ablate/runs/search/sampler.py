"""What Optuna does for a search: propose points, say which losers to stop, keep what became of them.

Every proposal has a sampler of its own, seeded by its number: a search that was killed and started again proposes what
it would have proposed.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from vgg_ablate.config.search import (
    GridSampler,
    HyperbandPruner,
    MedianPruner,
    NsgaIISampler,
    NumberRange,
    QmcSampler,
    RandomSampler,
    Search,
    SuccessiveHalvingPruner,
    TpeSampler,
    encode_choice,
)
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.records import Epoch
from vgg_ablate.runs.ledger.ledger import Ledger
from vgg_ablate.runs.ledger.storage import translate_storage_errors

Point = dict[str, Any]  # path -> value, or label


@dataclass(frozen=True, slots=True)
class Proposal:
    """A point, and its number in the search."""

    number: int
    point: Point

    @property
    def name(self) -> str:
        """Of the variant that it is."""
        return f"s{self.number:04}"

    @property
    def identity(self) -> str:
        """Equal for equal points."""
        return str(sorted(self.point.items()))


@dataclass(frozen=True, slots=True)
class JudgedProposal:
    """A proposal that was told: its values in the order of the objectives, or none where it was stopped or refused."""

    proposal: Proposal
    values: tuple[float, ...] | None
    refused: bool
    keys: frozenset[str] = frozenset()  # of the runs that it was judged by
    last_step: int | None = None  # the last epoch that was reported; where the proposal was stopped, its last one


class OptunaSampler:
    """The proposals of one search, in an Optuna study that only this process writes."""

    def __init__(self, ledger: Ledger, design: Search, most_epochs: int) -> None:
        """Raises SpecError where the space is not the one with which the search began."""
        self._study, self._place, self._design = ledger.study, ledger.place, design
        self._distributions = {path: _distribution(design, path) for path in design.space}
        self._grid = _shuffled_grid(design) if isinstance(design.sampler, GridSampler) else None
        self._trials: dict[int, optuna.Trial] = {}
        self._reported: dict[int, set[int]] = {}  # steps
        with translate_storage_errors(self._place):
            self._study.pruner = _pruner(design, most_epochs)
            trials = self._study.get_trials(deepcopy=False)
            self._barren = self._study.user_attrs.get("exhausted") == _digest(design)
        self.points: list[dict[str, object]] = [dict(trial.params) for trial in trials]
        for trial in trials[:1]:
            _same_space(trial, self._distributions)

    @property
    def is_exhausted(self) -> bool:
        """Is there nothing new to propose?"""
        return self._barren or (self._grid is not None and len(self.points) >= len(self._grid))

    def mark_exhausted(self) -> None:
        """Nothing new came for long: with this space, propose no more, in no later start either."""
        self._barren = True
        with translate_storage_errors(self._place):
            self._study.set_user_attr("exhausted", _digest(self._design))

    def restore_proposals(self, points: Sequence[Point]) -> None:
        """Make a lost ledger again: these proposals are open then, and their runs recorded or not."""
        if self.points or not points:
            return
        with translate_storage_errors(self._place):
            for point in points:
                self._study.add_trial(
                    create_trial(state=TrialState.RUNNING, params=point, distributions=self._distributions)
                )
        self.points = [dict(point) for point in points]

    def judged(self) -> list[JudgedProposal]:
        """Every proposal that was told, by number."""
        with translate_storage_errors(self._place):
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

    def open(self) -> list[Proposal]:
        """The proposals that were not told yet: what was running when the last driver ended."""
        with translate_storage_errors(self._place):
            trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            return [self._adopted(trial) for trial in trials]

    def propose(self) -> Proposal | None:
        """The next point; None where a grid has no more."""
        number = len(self.points)
        if self.is_exhausted:
            return None
        with translate_storage_errors(self._place), _quiet():
            self._study.sampler = self._sampler(number)
            trial = self._study.ask(self._distributions)
        self._trials[trial.number] = trial
        self.points.append(dict(trial.params))
        return Proposal(trial.number, dict(trial.params))

    def about(self, number: int, attributes: Mapping[str, Any], excess: Mapping[str, float]) -> None:
        """Keep what there is to know of a proposal, and how far it is outside each constraint."""
        with translate_storage_errors(self._place), _quiet():
            trial = self._trials[number]
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            for name in excess.keys() - trial.constraints.keys():
                trial.set_constraint(name, excess[name])
            if excess:  # optuna-dashboard knows the list of Optuna 4 alone (0.21.0); Optuna 5 reads both
                trial.storage.set_trial_system_attr(trial._trial_id, "constraints", list(excess.values()))

    def report(self, number: int, step: int, value: float) -> bool:
        """The validation error at a step; should the variant be stopped?"""
        if self._design.objectives != ("val_error",):
            return False  # Optuna has no intermediate values of several objectives; of another one these are none
        trial = self._trials[number]
        with translate_storage_errors(self._place), _quiet():
            if step not in self._reported.setdefault(number, set()):
                trial.report(value, step)
                self._reported[number].add(step)
            return self._design.pruner.kind != "none" and trial.should_prune()

    def keep(self, number: int, epochs: Sequence[Epoch]) -> None:
        """Report what a record says of epochs that were not heard of, as when a lost ledger is made again."""
        for epoch in epochs:
            if epoch.epoch not in self._reported.get(number, ()):
                self.report(number, epoch.epoch, 1 - epoch.val_accuracy)

    def tell(self, number: int, values: Sequence[float] | None) -> None:
        """The values of a proposal, or None: it was stopped, or refused."""
        state = TrialState.PRUNED if values is None else TrialState.COMPLETE
        with translate_storage_errors(self._place), _quiet():
            self._study.tell(number, values, state=state, skip_if_finished=True)
        self._trials.pop(number, None)

    def best(self, count: int) -> list[JudgedProposal]:
        """The best proposals, the first objective first; with several objectives, of those that none dominates."""
        told = [one for one in self.judged() if one.values is not None and not one.refused]
        if len(self._design.objectives) > 1:
            told = [one for one in told if not any(_dominates(other, one) for other in told)]
        distinct = {one.proposal.identity: one for one in sorted(told, key=lambda one: one.values or ())[::-1]}
        return list(distinct.values())[::-1][:count]

    def _adopted(self, frozen: FrozenTrial) -> Proposal:
        with _quiet():
            self._study.sampler = self._sampler(frozen.number)
            trial = optuna.Trial(self._study, frozen._trial_id)  # Optuna has no other way back to an open trial
            for path, distribution in self._distributions.items():  # it may have died before it had them all
                _suggested(trial, path, distribution)
        self._trials[frozen.number] = trial
        self._reported[frozen.number] = set(frozen.intermediate_values)
        return Proposal(frozen.number, dict(trial.params))

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        chosen = self._design.sampler
        seed = derive_seed(self._design.sampler.kind, number)
        match chosen:
            case TpeSampler():
                return optuna.samplers.TPESampler(
                    n_startup_trials=chosen.startup_trials, multivariate=True, constant_liar=True, seed=seed
                )
            case NsgaIISampler():
                return optuna.samplers.NSGAIISampler(population_size=chosen.population, seed=seed)
            case RandomSampler():
                return optuna.samplers.RandomSampler(seed=seed)
            case QmcSampler():  # one sequence: its place in it is kept in the study
                return optuna.samplers.QMCSampler(scramble=True, seed=0, warn_independent_sampling=False)
            case GridSampler():
                fixed = (self._grid or [])[number]
                return optuna.samplers.PartialFixedSampler(fixed, optuna.samplers.RandomSampler(seed=seed))
        return optuna.samplers.GPSampler(n_startup_trials=chosen.startup_trials, seed=seed)


def sample_points(
    space: Mapping[str, NumberRange | list[Any]], count: int, sampler: Literal["qmc", "random"]
) -> list[Point]:
    """Return `count` points of a space; the same ones at every call.

    Numbers are rounded to three significant digits, so that they can be read and typed.
    """
    distributions = {path: _distribution_of(dimension) for path, dimension in space.items()}
    made: optuna.samplers.BaseSampler
    with _quiet():
        if sampler == "qmc":
            made = optuna.samplers.QMCSampler(scramble=True, seed=0, warn_independent_sampling=False)
        else:
            made = optuna.samplers.RandomSampler(seed=0)
        study = optuna.create_study(sampler=made)
        # QMCSampler knows the space only after a first trial that is finished; that one is left out.
        first = {path: _any_value(distribution) for path, distribution in distributions.items()}
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=0.0, params=first, distributions=distributions))
        points = []
        for _ in range(count):
            trial = study.ask(distributions)
            study.tell(trial, 0.0)
            points.append({path: _rounded(value, space[path]) for path, value in trial.params.items()})
    return points


def _any_value(distribution: BaseDistribution) -> Any:
    return distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.low  # type: ignore[attr-defined]


def _rounded(value: Any, dimension: NumberRange | list[Any]) -> Any:
    if not isinstance(dimension, NumberRange):
        return next(choice for choice in dimension if encode_choice(choice) == value)
    if not isinstance(value, float) or dimension.step is not None:
        return value
    return min(max(float(f"{value:.3g}"), float(dimension.low)), float(dimension.high))


def derive_seed(name: str, number: int) -> int:
    """A seed of 32 bits from a name and a number."""
    return int.from_bytes(hashlib.sha256(f"{name} {number}".encode()).digest()[:4], "big")


def _dominates(one: JudgedProposal, other: JudgedProposal) -> bool:
    pairs = list(zip(one.values or (), other.values or (), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _digest(design: Search) -> str:
    """Of what can be proposed."""
    text = design.model_dump_json(include={"space", "constraints"})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _same_space(trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]) -> None:
    """Raises SpecError where a ledger could not hold both: bounds may move, choices and paths may not."""
    for path in trial.distributions.keys() | distributions.keys():
        before, now = trial.distributions.get(path), distributions.get(path)
        listed = isinstance(now, CategoricalDistribution)
        if type(before) is not type(now) or (listed and before != now):
            rule = "the space has changed since the search began: give the study another name, or another --out"
            raise SpecError(Problem(rule, f"design.space.{path}"))


def _shuffled_grid(design: Search) -> list[Point]:
    points = design.grid()
    random.Random(0).shuffle(points)
    return points


def _distribution(design: Search, path: str) -> BaseDistribution:
    dimension = design.space[path]
    return _distribution_of(dimension if isinstance(dimension, NumberRange) else list(dimension))


def _distribution_of(dimension: NumberRange | list[Any]) -> BaseDistribution:
    if not isinstance(dimension, NumberRange):
        return CategoricalDistribution(list(map(encode_choice, dimension)))
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), dimension.log, int(dimension.step or 1))
    return FloatDistribution(float(dimension.low), float(dimension.high), dimension.log, dimension.step)


def _suggested(trial: optuna.Trial, path: str, of: BaseDistribution) -> None:
    if isinstance(of, CategoricalDistribution):
        trial.suggest_categorical(path, of.choices)
    elif isinstance(of, IntDistribution):
        trial.suggest_int(path, of.low, of.high, step=of.step, log=of.log)
    elif isinstance(of, FloatDistribution):
        trial.suggest_float(path, of.low, of.high, step=of.step, log=of.log)


def _pruner(design: Search, most_epochs: int) -> optuna.pruners.BasePruner:
    match design.pruner:
        case MedianPruner(startup_trials=startup, warmup_epochs=warmup):
            return optuna.pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup)
        case SuccessiveHalvingPruner(min_epochs=first, reduction_factor=factor):
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=factor)
        case HyperbandPruner(min_epochs=first, reduction_factor=factor):
            return optuna.pruners.HyperbandPruner(first, most_epochs, factor)
    return optuna.pruners.NopPruner()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna warns that multivariate TPE and fixed samplers are experimental; what they do is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield

"""`design: {kind: search, ...}`: a sampler proposes variants from a space that the study defines.

design:
  kind: search
  space:
    arch.width: {low: 0.25, high: 2.0, log: true}       # a range; of integers if both ends are integers
    arch.norm: [none, batch]                            # a choice
    head:                                               # a choice of labels, each with its changes
      small: {arch.head.hidden: [64]}
      none: {arch.head.hidden: [], arch.head.pool: global}
  constraints: ["macs <= 60e6", "receptive_field >= 32"]  # on costs; checked before training
  objectives: [val_error]
  sampler: tpe
  pruner: median
  budget: 60 variants, 4 h                              # in total over all starts; or {variants: 60, hours: 4}
  epochs: 8                                             # per proposal; winners train for train.epochs
  seeds: 1                                              # per proposal, from 1,000,000 on
  best: 3                                               # number of winners, which train on the seeds of the study
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from vgg_ablate.config.types import (
    ByKind,
    Count,
    Flag,
    FrozenModel,
    InvalidValueError,
    Name,
    Number,
    Positive,
    Whole,
    parse_text_with,
)
from vgg_ablate.errors import find_nearest

Changes = dict[str, Any]  # path -> new value
Objective = Literal["val_error", "params", "macs", "activations", "train_seconds"]
# Also the costs that a trend may be over.
COSTS = ("params", "macs", "activations", "receptive_field", "weight_layers", "activation_layers")

_BOUND = re.compile(
    r"(?:(?P<low>[-+.\d]\S*)\s*(?P<below><=|<)\s*)?(?P<cost>[a-z_]+)\s*(?:(?P<sign><=|>=|<|>)\s*(?P<bound>\S+))?"
)


class NumberRange(FrozenModel):
    """A range of numbers from `low` to `high`, both included; of integers if both are integers."""

    # Strict types in this order: 1 stays an integer and 1.0 a float, which decides whether this is a range of integers.
    low: Whole | Number
    high: Whole | Number
    log: Flag = False
    step: Count | Positive | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"on a log scale low must be greater than 0, got {self.low}")
        if self.log and self.step is not None:
            raise ValueError("step cannot be combined with log: true")
        return self

    @property
    def whole(self) -> bool:
        """Whether the range consists of integers."""
        return isinstance(self.low, int) and isinstance(self.high, int) and not isinstance(self.step, float)

    def grid(self) -> tuple[int | float, ...]:
        """Return all numbers of the range. Raises InvalidValueError for a continuous range without a step."""
        if self.whole:
            return tuple(range(int(self.low), int(self.high) + 1, int(self.step or 1)))
        if self.step is None:
            raise InvalidValueError("a grid search needs a step or a list of values", got=f"{self.low} to {self.high}")
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1  # 0.6 / 0.2 is 2.9999999999999996
        return tuple(self.low + index * self.step for index in range(count))


def _choose_dimension_tag(value: Any) -> str:
    if isinstance(value, NumberRange) or (isinstance(value, Mapping) and {"low", "high"} & value.keys()):
        return "Between[number]"
    return "dict[label]" if isinstance(value, Mapping) else "list[choice]"


def _check_distinct(values: list[Any]) -> list[Any]:
    encoded = [encode_choice(value) for value in values]  # choices may be mappings, which cannot be members of a set
    if duplicates := [value for value, code in zip(values, encoded, strict=True) if encoded.count(code) > 1]:
        raise InvalidValueError("duplicate choice", got=duplicates[0])
    return values


# The tags look like types, so that yaml_loader removes them from the paths of errors.
SearchDimension = Annotated[
    Annotated[NumberRange, Tag("Between[number]")]
    | Annotated[list[Any], Field(min_length=1), AfterValidator(_check_distinct), Tag("list[choice]")]
    | Annotated[dict[Name, Changes], Field(min_length=1), Tag("dict[label]")],
    Discriminator(_choose_dimension_tag),
]


class Constraint(FrozenModel):
    """Bounds on a cost of an arch, both included: `40e6 <= macs <= 60e6`."""

    cost: str
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InvalidValueError(
                "the lower bound exceeds the upper bound", got=f"{self.low:.15g} to {self.high:.15g}"
            )
        return self

    def compute_excess(self, costs: Mapping[str, int]) -> float:
        """Return the distance from the allowed range as a fraction of the violated bound; at most 0 inside it."""
        value = costs[self.cost]
        # The sampler ranks infeasible proposals by this number, so it must grow with the distance.
        under = -math.inf if self.low is None else (self.low - value) / max(abs(self.low), 1.0)
        over = -math.inf if self.high is None else (value - self.high) / max(abs(self.high), 1.0)
        return max(under, over)


def parse_constraint(text: str) -> dict[str, Any]:
    """Parse `macs <= 60e6` or `40e6 <= macs <= 60e6` into the fields of a Constraint. Raises InvalidValueError."""
    match = _BOUND.fullmatch(text.strip())
    if match is None or not (match["below"] or match["sign"]):
        raise InvalidValueError("must be a cost with bounds, such as macs <= 60e6 or 1e6 <= params <= 5e6", got=text)
    if match["cost"] not in COSTS:
        raise InvalidValueError(
            f"unknown cost; available: {', '.join(COSTS)}",
            got=match["cost"],
            nearest=find_nearest(match["cost"], COSTS),
        )
    bounds: dict[str, Any] = {"cost": match["cost"]}
    if match["below"]:
        bounds["low"] = _parse_bound(match["low"], ">=" if match["below"] == "<=" else ">")
    if match["sign"]:
        side = "high" if match["sign"].startswith("<") else "low"
        bounds[side] = _parse_bound(match["bound"], match["sign"])
    return bounds


def _parse_bound(text: str, sign: str) -> float:
    """Return the closest integer that meets the bound: costs are integers, so `< 5e6` is `<= 5e6 - 1`."""
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidValueError("a bound must be a number, such as 60e6", got=text) from error
    return {
        "<=": math.floor(value),
        "<": math.ceil(value) - 1,
        ">=": math.ceil(value),
        ">": math.floor(value) + 1,
    }[sign] * 1.0


class TpeSampler(FrozenModel):
    """Multivariate tree-structured Parzen estimator that accounts for running trials (Bergstra et al. 2011; Optuna)."""

    kind: Literal["tpe"]
    startup_trials: Count = 10  # variants drawn at random before the model is used


class NsgaIISampler(FrozenModel):
    """Non-dominated sorting genetic algorithm II (Deb et al. 2002; Optuna)."""

    kind: Literal["nsga2"]
    population: Annotated[int, Field(strict=True, ge=2)] = 50


class GaussianProcessSampler(FrozenModel):
    """Bayesian optimisation with a Gaussian process (Optuna), for few, long runs."""

    kind: Literal["gp"]
    startup_trials: Count = 10


class RandomSampler(FrozenModel):
    """Independent random draws."""

    kind: Literal["random"]


class QmcSampler(FrozenModel):
    """Quasi-Monte Carlo: a scrambled Sobol sequence, which covers the space more evenly than independent draws."""

    kind: Literal["qmc"]


class GridSampler(FrozenModel):
    """Every combination, in an order drawn from the seed, so that an interrupted grid is balanced."""

    kind: Literal["grid"]


class NoPruner(FrozenModel):
    """No pruning: every run trains to its last epoch."""

    kind: Literal["none"]


class MedianPruner(FrozenModel):
    """Stop a variant whose validation error is above the median of the others at the same epoch."""

    kind: Literal["median"]
    startup_trials: Whole = 5  # variants that must have ended before any is stopped
    warmup_epochs: Whole = 0  # epochs before which no variant is stopped


class SuccessiveHalvingPruner(FrozenModel):
    """Asynchronous successive halving: the best 1/reduction_factor of each rung continue (Li et al. 2018)."""

    kind: Literal["successive_halving"]
    min_epochs: Count = 1  # epochs of the first rung
    reduction_factor: Annotated[int, Field(strict=True, ge=2)] = 3


class HyperbandPruner(FrozenModel):
    """Several successive halvings with different first rungs (Li et al. 2017)."""

    kind: Literal["hyperband"]
    min_epochs: Count = 1
    reduction_factor: Annotated[int, Field(strict=True, ge=2)] = 3


Sampler = Annotated[
    TpeSampler | NsgaIISampler | GaussianProcessSampler | RandomSampler | QmcSampler | GridSampler,
    Field(discriminator="kind"),
    ByKind,
]
Pruner = Annotated[
    NoPruner | MedianPruner | SuccessiveHalvingPruner | HyperbandPruner, Field(discriminator="kind"), ByKind
]


_AMOUNT = re.compile(r"(?:(?P<variants>\d+) *variants?)|(?:(?P<time>\d+(?:\.\d+)?) *(?P<unit>h|hours?|min|minutes?))")


def parse_budget(value: Any) -> Any:
    """Parse `60 variants`, `4 h`, `90 min` or `60 variants, 4 h` into a mapping; return a mapping unchanged.

    Raises InvalidValueError.
    """
    if isinstance(value, dict):
        return value
    budget: dict[str, float] = {}
    for part in str(value).split(","):
        match = _AMOUNT.fullmatch(part.strip())
        name = "hours" if match and match["time"] else "variants"
        if match is None or name in budget:
            rule = "must be a number of variants, a training time, or both, such as 60 variants, 4 h"
            raise InvalidValueError(rule, got=value)
        hours = float(match["time"] or 0) / (60 if (match["unit"] or "").startswith("min") else 1)
        budget[name] = hours if match["time"] else int(match["variants"])
    return budget


class SearchBudget(FrozenModel):
    """The number of variants or hours of training after which the search ends, summed over all starts."""

    variants: Count | None = None
    # Training time summed over workers, not wall time, which depends on the number of workers.
    hours: Positive | None = None

    @model_validator(mode="after")
    def _check_limit(self) -> Self:
        if self.variants is None and self.hours is None:
            raise ValueError("must limit variants or hours, such as 60 variants, 4 h")
        return self


# Searches and tuning count their seeds from here. Seeds of a study are below, so that winners are trained on seeds that
# did not select them.
FIRST_SEARCH_SEED = 1_000_000


class Search(FrozenModel):
    """A design in which a sampler proposes variants, within constraints and a budget.

    Each proposal is evaluated on `seeds` seeds of the search. The `best` proposals then become the variants `winner-1`,
    `winner-2`, ..., which train on the seeds of the study, unseen by the search.
    """

    kind: Literal["search"]
    space: dict[str, SearchDimension] = Field(min_length=1)  # path, or the name of a choice of labels -> values
    constraints: tuple[Annotated[Constraint, parse_text_with(parse_constraint)], ...] = ()
    objectives: tuple[Objective, ...] = Field(default=("val_error",), min_length=1, max_length=3)
    sampler: Sampler = TpeSampler(kind="tpe")
    pruner: Pruner = NoPruner(kind="none")
    budget: Annotated[SearchBudget, BeforeValidator(parse_budget)]
    epochs: Count | None = None  # per proposal; None: train.epochs
    seeds: Annotated[Count, Field(le=1000)] = 1
    best: Annotated[Whole, Field(le=1000)] = 1

    @field_validator("objectives")
    @classmethod
    def _check_distinct_objectives(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if len(set(objectives)) < len(objectives):
            raise InvalidValueError("duplicate objective", got=list(objectives))
        return objectives

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.pruner.kind != "none" and self.objectives != ("val_error",):
            raise ValueError("a pruner compares validation errors and requires objectives: [val_error]")
        if self.budget.variants is not None and self.best > self.budget.variants:
            raise InvalidValueError(
                f"must not exceed the budget of {self.budget.variants} variants", field="best", got=self.best
            )
        if self.sampler.kind == "grid":
            self.grid()  # raises for a range without a step
        return self

    @property
    def winner_names(self) -> tuple[str, ...]:
        """The names of the winners, which claims may use before the search has run."""
        return tuple(f"winner-{rank}" for rank in range(1, self.best + 1))

    def runs(self, study_seeds: int) -> int | None:
        """Return the maximum number of runs beside those of listed variants; None if only hours limit the search."""
        if self.budget.variants is None:
            return None
        return self.budget.variants * self.seeds + self.best * study_seeds

    def cells(self) -> list[Any]:
        """Return no cells: the variants are not known before the search."""
        return []

    def values(self, path: str) -> tuple[Any, ...] | None:
        """Return the choices at a path, encoded for the ledger; None for a range."""
        dimension = self.space[path]
        if isinstance(dimension, NumberRange):
            return None
        return tuple(map(encode_choice, dimension))

    def changes(self, point: Mapping[str, Any]) -> Changes:
        """Return the changes of the base that a proposed point stands for."""
        changes: Changes = {}
        for path, value in point.items():
            dimension = self.space[path]
            if isinstance(dimension, NumberRange):
                changes[path] = value
            elif isinstance(dimension, dict):
                changes |= dimension[value]
            else:
                changes[path] = next(choice for choice in dimension if encode_choice(choice) == value)
        return changes

    def grid(self) -> list[dict[str, Any]]:
        """Return all points of the space. Raises InvalidValueError for a range without a step."""
        axes = []
        for path, dimension in self.space.items():
            try:
                axes.append(dimension.grid() if isinstance(dimension, NumberRange) else self.values(path) or ())
            except InvalidValueError as error:
                raise InvalidValueError(str(error), field=f"space.{path}", got=error.got) from error
        return [dict(zip(self.space, values, strict=True)) for values in itertools.product(*axes)]


def encode_choice(value: Any) -> Any:
    """Return a choice as the ledger stores it: numbers and strings unchanged, lists and mappings as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)

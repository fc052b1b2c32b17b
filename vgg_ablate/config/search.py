"""`design: {kind: search, ...}`: a sampler proposes the values, over a space that the study spells out.

design:
  kind: search
  space:
    arch.width: {low: 0.25, high: 2.0, log: true}       # a number in between; whole where both ends are whole
    arch.norm: [none, batch]                            # one of these
    head:                                               # one of these, each with the changes that it stands for
      small: {arch.head.hidden: [64]}
      none: {arch.head.hidden: [], arch.head.pool: global}
  constraints: ["macs <= 60e6", "receptive_field >= 32"]  # on costs; applied before anything trains
  objectives: [val_error]
  sampler: tpe
  pruner: median
  budget: 60 variants, 4 h                              # totals: run twice, it is still 60; or {variants: 60, hours: 4}
  epochs: 8                                             # of a proposal; winners train for train.epochs
  seeds: 1                                              # of its own, for every variant that is proposed
  best: 3                                               # winners, trained again on the study's seeds
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
COSTS = ("params", "macs", "activations", "receptive_field", "weight_layers", "activation_layers")

_BOUND = re.compile(
    r"(?:(?P<low>[-+.\d]\S*)\s*(?P<below><=|<)\s*)?(?P<cost>[a-z_]+)\s*(?:(?P<sign><=|>=|<|>)\s*(?P<bound>\S+))?"
)


class NumberRange(FrozenModel):
    """A number from `low` to `high`, both included; whole where both are whole."""

    low: Whole | Number
    high: Whole | Number
    log: Flag = False
    step: Count | Positive | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"on a log scale low must be greater than 0, got {self.low}")
        if self.log and self.step is not None:
            raise ValueError("a log scale has no step")
        return self

    @property
    def whole(self) -> bool:
        """Are its numbers whole?"""
        return isinstance(self.low, int) and isinstance(self.high, int) and not isinstance(self.step, float)

    def grid(self) -> tuple[int | float, ...]:
        """Every number of it. Raises Wrong where there is no end to them."""
        if self.whole:
            return tuple(range(int(self.low), int(self.high) + 1, int(self.step or 1)))
        if self.step is None:
            raise InvalidValueError("a grid needs a step, or a list of values", got=f"{self.low} to {self.high}")
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return tuple(self.low + index * self.step for index in range(count))


def _dimension(value: Any) -> str:
    if isinstance(value, NumberRange) or (isinstance(value, Mapping) and {"low", "high"} & value.keys()):
        return "Between[number]"
    return "dict[label]" if isinstance(value, Mapping) else "list[choice]"


def _distinct(values: list[Any]) -> list[Any]:
    """A choice that stands there twice would be counted twice."""
    known = [encode_choice(value) for value in values]
    if twice := [value for value, word in zip(values, known, strict=True) if known.count(word) > 1]:
        raise InvalidValueError("this choice is listed twice", got=twice[0])
    return values


SearchDimension = Annotated[
    Annotated[NumberRange, Tag("Between[number]")]
    | Annotated[list[Any], Field(min_length=1), AfterValidator(_distinct), Tag("list[choice]")]
    | Annotated[dict[Name, Changes], Field(min_length=1), Tag("dict[label]")],
    Discriminator(_dimension),
]


class Constraint(FrozenModel):
    """`40e6 <= macs <= 60e6`: a cost of an arch, between two bounds, both included."""

    cost: str
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InvalidValueError(
                f"no {self.cost} lies between these bounds", got=f"{self.low:.15g} to {self.high:.15g}"
            )
        return self

    def compute_excess(self, costs: Mapping[str, int]) -> float:
        """How far outside, as a fraction of the bound that is broken; at most 0: inside."""
        value = costs[self.cost]
        under = -math.inf if self.low is None else (self.low - value) / max(abs(self.low), 1.0)
        over = -math.inf if self.high is None else (value - self.high) / max(abs(self.high), 1.0)
        return max(under, over)


def parse_constraint(text: str) -> dict[str, Any]:
    """`macs <= 60e6`, `40e6 <= macs <= 60e6` -> the fields of a Constraint. Raises Wrong."""
    match = _BOUND.fullmatch(text.strip())
    if match is None or not (match["below"] or match["sign"]):
        raise InvalidValueError(
            "a constraint is a cost and its bounds, such as macs <= 60e6 or 1e6 <= params <= 5e6", got=text
        )
    if match["cost"] not in COSTS:
        raise InvalidValueError(
            f"unknown cost; there are {', '.join(COSTS)}", got=match["cost"], nearest=find_nearest(match["cost"], COSTS)
        )
    bounds: dict[str, Any] = {"cost": match["cost"]}
    if match["below"]:
        bounds["low"] = _bound(match["low"], ">=" if match["below"] == "<=" else ">")
    if match["sign"]:
        side = "high" if match["sign"].startswith("<") else "low"
        bounds[side] = _bound(match["bound"], match["sign"])
    return bounds


def _bound(text: str, sign: str) -> float:
    """The nearest whole number that still meets the bound: costs are whole."""
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidValueError("a bound is a number, such as 60e6", got=text) from error
    return {
        "<=": math.floor(value),
        "<": math.ceil(value) - 1,
        ">=": math.ceil(value),
        ">": math.floor(value) + 1,
    }[sign] * 1.0


class TpeSampler(FrozenModel):
    """Tree-structured Parzen estimator, multivariate, aware of what is running (Bergstra et al. 2011; Optuna)."""

    kind: Literal["tpe"]
    startup_trials: Count = 10  # variants drawn at random before it begins to learn


class NsgaIISampler(FrozenModel):
    """Non-dominated sorting genetic algorithm II (Deb et al. 2002; Optuna)."""

    kind: Literal["nsga2"]
    population: Annotated[int, Field(strict=True, ge=2)] = 50


class GaussianProcessSampler(FrozenModel):
    """Bayesian optimisation by a Gaussian process (Optuna); for few, long runs."""

    kind: Literal["gp"]
    startup_trials: Count = 10


class RandomSampler(FrozenModel):
    """Independent draws."""

    kind: Literal["random"]


class QmcSampler(FrozenModel):
    """Quasi-Monte Carlo: a scrambled Sobol sequence; independent draws that fill the space evenly."""

    kind: Literal["qmc"]


class GridSampler(FrozenModel):
    """Every combination, in an order drawn from the seed, so that an interrupted grid is balanced."""

    kind: Literal["grid"]


class NoPruner(FrozenModel):
    """Every run goes to its end."""

    kind: Literal["none"]


class MedianPruner(FrozenModel):
    """Stops a variant whose validation error is above the median of the others at the same epoch."""

    kind: Literal["median"]
    startup_trials: Whole = 5  # variants that must have ended first
    warmup_epochs: Whole = 0  # epochs before which nothing is stopped


class SuccessiveHalvingPruner(FrozenModel):
    """Asynchronous successive halving: the best 1/reduction_factor of each rung go on (Li et al. 2018)."""

    kind: Literal["successive_halving"]
    min_epochs: Count = 1  # epochs at the first rung
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


def parse_budget(given: Any) -> Any:
    """`60 variants`, `4 h`, `90 min`, or variants and a time with a comma between, as a mapping; a mapping as it is."""
    if isinstance(given, dict):
        return given
    read: dict[str, float] = {}
    for part in str(given).split(","):
        found = _AMOUNT.fullmatch(part.strip())
        name = "hours" if found and found["time"] else "variants"
        if found is None or name in read:
            raise InvalidValueError(
                "must be so many variants, or hours of training: 60 variants, or 4 h, or both", got=given
            )
        hours = float(found["time"] or 0) / (60 if (found["unit"] or "").startswith("min") else 1)
        read[name] = hours if found["time"] else int(found["variants"])
    return read


class SearchBudget(FrozenModel):
    """When the search ends, over all starts together: at so many variants, or after so many hours of training."""

    variants: Count | None = None
    hours: Positive | None = None  # seconds of all its runs' trainings together, summed over workers

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.variants is None and self.hours is None:
            raise ValueError("a search needs an end: budget: 60 variants, or 4 h")
        return self


FIRST_SEARCH_SEED = 1_000_000  # of a search: beyond any that a study names


class Search(FrozenModel):
    """A sampler proposes variants, within constraints and a budget.

    A proposed variant is judged on `seeds` seeds of the search's own. The `best` of them then become variants like any
    other, `winner-1`, `winner-2`, ..., trained on the study's seeds, which the search has not seen.
    """

    kind: Literal["search"]
    space: dict[str, SearchDimension] = Field(
        min_length=1
    )  # path, or a name where every value is a label -> its values
    constraints: tuple[Annotated[Constraint, parse_text_with(parse_constraint)], ...] = ()
    objectives: tuple[Objective, ...] = Field(default=("val_error",), min_length=1, max_length=3)
    sampler: Sampler = TpeSampler(kind="tpe")
    pruner: Pruner = NoPruner(kind="none")
    budget: Annotated[SearchBudget, BeforeValidator(parse_budget)]
    epochs: Count | None = None  # of a proposal; None: as many as the study's variants and the winners train
    seeds: Annotated[Count, Field(le=1000)] = 1
    best: Annotated[Whole, Field(le=1000)] = 1

    @field_validator("objectives")
    @classmethod
    def _once(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if len(set(objectives)) < len(objectives):
            raise InvalidValueError("an objective counts once", got=list(objectives))
        return objectives

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.pruner.kind != "none" and self.objectives != ("val_error",):
            raise ValueError("a pruner compares validation errors: it needs objectives: [val_error]")
        if self.budget.variants is not None and self.best > self.budget.variants:
            raise InvalidValueError(
                f"{self.budget.variants} variants cannot have so many winners", field="best", got=self.best
            )
        if self.sampler.kind == "grid":
            self.grid()
        return self

    @property
    def winner_names(self) -> tuple[str, ...]:
        """The names that the winners will have: claims may speak of them."""
        return tuple(f"winner-{rank}" for rank in range(1, self.best + 1))

    def runs(self, study_seeds: int) -> int | None:
        """How many runs it asks for beside the study's own variants, at most; None where only hours end it."""
        if self.budget.variants is None:
            return None
        return self.budget.variants * self.seeds + self.best * study_seeds

    def cells(self) -> list[Any]:
        """None that are known beforehand."""
        return []

    def values(self, path: str) -> tuple[Any, ...] | None:
        """The choices at a path, as a ledger can hold them: values and labels; None for a number in between."""
        dimension = self.space[path]
        if isinstance(dimension, NumberRange):
            return None
        return tuple(map(encode_choice, dimension))

    def changes(self, point: Mapping[str, Any]) -> Changes:
        """The changes of the base that a proposed point stands for."""
        changes: Changes = {}
        for path, value in point.items():
            dimension = self.space[path]
            if isinstance(dimension, NumberRange):
                changes[path] = value
            elif isinstance(dimension, dict):
                changes |= dimension[value]
            else:
                changes[path] = next(one for one in dimension if encode_choice(one) == value)
        return changes

    def grid(self) -> list[dict[str, Any]]:
        """Every point of the space. Raises Wrong where a number in between has no step."""
        axes = []
        for path, dimension in self.space.items():
            try:
                axes.append(dimension.grid() if isinstance(dimension, NumberRange) else self.values(path) or ())
            except InvalidValueError as wrong:
                raise InvalidValueError(str(wrong), field=f"space.{path}", got=wrong.got) from wrong
        return [dict(zip(self.space, values, strict=True)) for values in itertools.product(*axes)]


def encode_choice(value: Any) -> Any:
    """A choice as a ledger holds it: numbers and words as they are, anything else as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)

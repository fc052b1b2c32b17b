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
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vgg_ablate.config.base_design import BaseDesign, DesignConflict
from vgg_ablate.config.constraints import Constraint, parse_constraint
from vgg_ablate.config.limits import MAX_VARIANTS, check_count
from vgg_ablate.config.samplers import NoPruner, Pruner, Sampler, TpeSampler
from vgg_ablate.config.search_space import Changes, NumberRange, SearchDimension, encode_choice
from vgg_ablate.config.types import (
    Count,
    FrozenModel,
    InvalidValueError,
    Positive,
    Whole,
    check_distinct,
    parse_text_with,
)

Objective = Literal["val_error", "params", "macs", "activations", "train_seconds"]
# Searches and tuning count their seeds from here. Seeds of a study are below, so that winners are trained on seeds that
# did not select them.
FIRST_SEARCH_SEED = 1_000_000
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

    variants: Annotated[Count, Field(le=MAX_VARIANTS)] | None = None
    """Number of proposed variants after which the search ends, over all starts. Unit: variants. Example: 60"""
    # Training time summed over workers, not wall time, which depends on the number of workers.
    hours: Positive | None = None
    """Training time after which the search ends, summed over workers and starts. Unit: hours. Example: 4"""

    @model_validator(mode="after")
    def _check_limit(self) -> Self:
        if self.variants is None and self.hours is None:
            raise ValueError("must limit variants or hours, such as 60 variants, 4 h")
        return self


class Search(BaseDesign):
    """A design in which a sampler proposes variants, within constraints and a budget.

    Each proposal is evaluated on `seeds` seeds of the search. The `best` proposals then become the variants `winner-1`,
    `winner-2`, ..., which train on the seeds of the study, unseen by the search.
    """

    proposes_variants: ClassVar[bool] = True
    trial_noun: ClassVar[str] = "one proposal, the mean over its seeds"

    kind: Literal["search"]
    space: dict[str, SearchDimension] = Field(min_length=1)
    """Path with a range of numbers or a list of values, or the name of a choice with its labels, each a mapping of
    changes.

    Example: {arch.width: {low: 0.25, high: 2.0, log: true}, arch.norm: [none, batch]}
    """
    constraints: tuple[Annotated[Constraint, parse_text_with(parse_constraint)], ...] = ()
    """Bounds on the costs of proposed nets, checked before training. Example: [macs <= 60e6, receptive_field >= 32]"""
    objectives: tuple[Objective, ...] = Field(default=("val_error",), min_length=1, max_length=3)
    """What the search minimises; several give a Pareto front. Example: [val_error, macs]"""
    sampler: Sampler = TpeSampler(kind="tpe")
    """How variants are proposed. Example: {kind: tpe, startup_trials: 10}"""
    pruner: Pruner = NoPruner(kind="none")
    """Which proposed variants stop before their last epoch. Example: median"""
    budget: Annotated[SearchBudget, BeforeValidator(parse_budget)]
    """When the search ends: a number of variants, hours of training, or both. Example: 60 variants, 4 h"""
    epochs: Count | None = None
    """Training length of a proposed variant; without it, `train.epochs`. Unit: epochs. Example: 8"""
    seeds: Annotated[Count, Field(le=1000)] = 1
    """Seeds of each proposed variant, counted from 1,000,000. Unit: seeds. Example: 1"""
    best: Annotated[Whole, Field(le=1000)] = 1
    """Number of winners, which train again on the seeds of the study. Unit: variants. Example: 3"""

    @field_validator("objectives")
    @classmethod
    def _check_distinct_objectives(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        check_distinct(objectives, "objective")
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
            self.list_grid_points()  # raises for a range without a step
        return self

    @property
    def winner_names(self) -> tuple[str, ...]:
        """The names of the winners, which claims may use before the search has run."""
        return tuple(f"winner-{rank}" for rank in range(1, self.best + 1))

    def count_runs(self, study_seeds: int) -> int | None:
        """Return the maximum number of runs beside those of listed variants; None if only hours limit the search."""
        if self.budget.variants is None:
            return None
        return self.budget.variants * self.seeds + self.best * study_seeds

    def list_objectives(self) -> tuple[str, ...]:
        """Return the objectives of the search."""
        return self.objectives

    def find_conflicts(self, *, has_horizons: bool, has_ensemble: bool, stops: bool) -> list[DesignConflict]:
        """Return the keys that a search does not support. Listed variants beside a search may be ensembles."""
        if has_horizons:
            return [DesignConflict(("horizons",), "cannot be combined with a search")]
        if stops:
            rule = "cannot be combined with a search, whose winners are known only at its end"
            return [DesignConflict(("seeds", "stop"), rule)]
        ensembles: list[tuple[str, ...]] = [("train", "ensemble")] if has_ensemble else []
        ensembles += [
            ("design", "space", name)
            for name, dimension in self.space.items()
            if any(path.startswith("train.ensemble") for path in (name, *_list_label_paths(dimension)))
        ]
        rule = "a search proposes single nets: list an ensemble under variants instead"
        return [DesignConflict(path, rule) for path in ensembles]

    def list_choices(self, path: str) -> tuple[Any, ...] | None:
        """Return the choices at a path, encoded for the ledger; None for a range."""
        dimension = self.space[path]
        if isinstance(dimension, NumberRange):
            return None
        return tuple(map(encode_choice, dimension))

    def build_changes(self, point: Mapping[str, Any]) -> Changes:
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

    def list_grid_points(self) -> list[dict[str, Any]]:
        """Return all points of the space. Raises InvalidValueError for a range without a step."""
        axes = []
        for path, dimension in self.space.items():
            try:
                axes.append(
                    dimension.list_numbers() if isinstance(dimension, NumberRange) else self.list_choices(path) or ()
                )
            except InvalidValueError as error:
                raise InvalidValueError(str(error), field=f"space.{path}", got=error.got) from error
        check_count(math.prod(map(len, axes)), MAX_VARIANTS, "points of a grid", field="space")
        return [dict(zip(self.space, values, strict=True)) for values in itertools.product(*axes)]


def _list_label_paths(dimension: SearchDimension) -> set[str]:
    """Return the paths that the labels of a dimension change; none for ranges and choices of values."""
    labels = dimension.values() if isinstance(dimension, dict) else ()
    return {path for changes in labels for path in changes}

"""`tune:`, the same budget of trials for every variant, on validation, before its runs.

tune:
  space:
    train.lr: {low: 0.01, high: 0.4, log: true}
    train.weight_decay: {low: 1e-4, high: 2e-3, log: true}
  trials: 8
  pruner: successive_halving
  epochs: [2, 6]                 # 8 trials of 2 epochs; the best 3 of them train again for 6

The winners stand under `tuned:` in the study.yaml of the results folder.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from vgg_ablate.config.search import NumberRange
from vgg_ablate.config.types import Count, FrozenModel, InvalidValueError, NonNegative, Whole

MAX_TRIALS = 1000
_TUNABLE = ("arch", "data.augment", "train")
_FIXED = ("train.epochs", "train.replicate", "train.ensemble", "train.keep")

Choices = Annotated[list[Any], Field(min_length=2)]
TuningDimension = Annotated[
    Annotated[NumberRange, Tag("Between[number]")] | Annotated[Choices, Tag("list[choice]")],
    Discriminator(lambda value: "list[choice]" if isinstance(value, list) else "Between[number]"),
]


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


class Tune(FrozenModel):
    """Find the best settings of every variant by validation error, with the same number of trials for each.

    Trial 0 is the variant as written, where it lies in the space; the others are points of one sequence that all
    variants share. With successive halving (Jamieson and Talwalkar 2016) every trial trains for the fewest epochs
    first, and the best go on to the next number, so that each number of epochs gets about the same budget.
    """

    space: dict[str, TuningDimension] = Field(min_length=1)  # path -> its range, or a list of values
    trials: Annotated[int, Field(strict=True, ge=1, le=MAX_TRIALS)] = 8  # of each variant
    epochs: Annotated[tuple[Count, ...], BeforeValidator(_one_or_more)] = Field(min_length=1)  # of a trial, rising
    pruner: Literal["none", "successive_halving"] = "successive_halving"  # none: every trial trains for all `epochs`
    sampler: Literal["qmc", "random"] = "qmc"  # scrambled Sobol points, or independent draws
    seeds: Annotated[int, Field(strict=True, ge=1, le=100)] = 1  # of its own, from 1,000,000

    @field_validator("space")
    @classmethod
    def _tunable(cls, space: dict[str, Any]) -> dict[str, Any]:
        for path in space:
            if not path.startswith(tuple(f"{root}." for root in _TUNABLE)):
                raise InvalidValueError(f"can be tuned: what lies below {', '.join(_TUNABLE)}", field=path, got=path)
            if path.startswith(_FIXED):
                raise InvalidValueError("cannot be tuned", field=path, got=path)
        return space

    @field_validator("epochs")
    @classmethod
    def _rising(cls, epochs: tuple[int, ...]) -> tuple[int, ...]:
        if any(one >= other for one, other in pairwise(epochs)):
            raise InvalidValueError("each number of epochs must be greater than the one before", got=list(epochs))
        return epochs

    @model_validator(mode="after")
    def _one_length_without_a_pruner(self) -> Self:
        if self.pruner == "none" and len(self.epochs) > 1:
            raise InvalidValueError(
                "without a pruner there is one number of epochs", field="epochs", got=list(self.epochs)
            )
        return self

    @property
    def rungs(self) -> tuple[tuple[int, int], ...]:
        """(epochs, trials) of every rung, the shortest first: trials fall as epochs rise."""
        rungs = [(self.epochs[0], self.trials)]
        for epochs in self.epochs[1:]:
            before, count = rungs[-1]
            rungs.append((epochs, max(1, ceil(count * before / epochs))))
        return tuple(rungs)

    @property
    def budget(self) -> tuple[int, tuple[int, ...], str, int]:
        """What must be equal for all variants of a study."""
        return self.trials, self.epochs, self.pruner, self.seeds


class TuningWinner(FrozenModel):
    """The winner of a variant's tuning."""

    trial: Whole | None = None  # its number; None: no trial trained above chance, so the recipe stays as written
    values: dict[str, Any] = Field(default_factory=dict)  # path -> value
    val_error: NonNegative | None = None  # mean over the tuning's seeds, at its longest training; a fraction of 1

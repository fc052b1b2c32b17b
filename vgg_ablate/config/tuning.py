"""`tune:` searches the training settings of every variant before its runs, with one budget of trials for all.

tune:
  space:
    train.lr: {low: 0.01, high: 0.4, log: true}
    train.weight_decay: {low: 1e-4, high: 2e-3, log: true}
  trials: 8
  pruner: successive_halving
  epochs: [2, 6]                 # 8 trials of 2 epochs; the best 3 train again for 6

Trials are compared by validation error. The winners are written under `tuned:` in the study.yaml of the results folder.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from vgg_ablate.config.search_space import NumberRange
from vgg_ablate.config.types import (
    Count,
    FrozenModel,
    InvalidValueError,
    NonNegative,
    Whole,
    check_increasing,
    wrap_in_list,
)

MAX_TRIALS = 1000
_TUNABLE_ROOTS = ("arch", "data.augment", "train")
# epochs is the budget of a trial; the others are no settings that a validation error could choose.
_UNTUNABLE_PATHS = ("train.epochs", "train.replicate", "train.ensemble", "train.keep")

Choices = Annotated[list[Any], Field(min_length=2)]
TuningDimension = Annotated[
    Annotated[NumberRange, Tag("Between[number]")] | Annotated[Choices, Tag("list[choice]")],
    Discriminator(lambda value: "list[choice]" if isinstance(value, list) else "Between[number]"),
]


class Tune(FrozenModel):
    """The search for the best settings of every variant by validation error, with the same trials for each.

    Trial 0 is the variant as written, if it lies in the space; the others are points of one sequence that all variants
    share. With successive halving (Jamieson and Talwalkar 2016) every trial trains for the fewest epochs first, and the
    best continue with the next number, so that each number of epochs gets about the same budget.
    """

    space: dict[str, TuningDimension] = Field(min_length=1)
    """Paths below arch, data.augment and train, each with a range of numbers or a list of values.

    Example: {train.lr: {low: 0.01, high: 0.4, log: true}}
    """
    trials: Annotated[int, Field(strict=True, ge=1, le=MAX_TRIALS)] = 8
    """Number of trials of each variant. Unit: trials. Example: 8"""
    epochs: Annotated[tuple[Count, ...], BeforeValidator(wrap_in_list)] = Field(min_length=1)
    """Training length of a trial; increasing lengths for successive halving. Unit: epochs. Example: [2, 6]"""
    pruner: Literal["none", "successive_halving"] = "successive_halving"
    """Whether only the best trials continue with the next number of epochs; none: every trial trains for `epochs`.

    Example: none
    """
    sampler: Literal["qmc", "random"] = "qmc"
    """How trials are drawn: scrambled Sobol points, or independently. Example: random"""
    seeds: Annotated[int, Field(strict=True, ge=1, le=100)] = 1
    """Seeds of each trial, counted from 1,000,000. Unit: seeds. Example: 1"""

    @field_validator("space")
    @classmethod
    def _check_tunable(cls, space: dict[str, Any]) -> dict[str, Any]:
        for path in space:
            if not path.startswith(tuple(f"{root}." for root in _TUNABLE_ROOTS)):
                raise InvalidValueError(
                    f"only paths below {', '.join(_TUNABLE_ROOTS)} can be tuned", field=path, got=path
                )
            if path.startswith(_UNTUNABLE_PATHS):
                raise InvalidValueError("cannot be tuned", field=path, got=path)
        return space

    @field_validator("epochs")
    @classmethod
    def _check_increasing(cls, epochs: tuple[int, ...]) -> tuple[int, ...]:
        check_increasing(epochs)
        return epochs

    @model_validator(mode="after")
    def _check_single_length_without_pruner(self) -> Self:
        if self.pruner == "none" and len(self.epochs) > 1:
            raise InvalidValueError("must be a single number with pruner: none", field="epochs", got=list(self.epochs))
        return self

    @property
    def rungs(self) -> tuple[tuple[int, int], ...]:
        """(epochs, trials) of each rung, the shortest training first; trials decrease as epochs increase."""
        rungs = [(self.epochs[0], self.trials)]
        for epochs in self.epochs[1:]:
            # epochs x trials stays about constant over the rungs.
            previous_epochs, count = rungs[-1]
            rungs.append((epochs, max(1, ceil(count * previous_epochs / epochs))))
        return tuple(rungs)

    @property
    def budget(self) -> tuple[int, tuple[int, ...], str, int]:
        """The settings that must be equal for all variants of a study."""
        return self.trials, self.epochs, self.pruner, self.seeds


class TuningWinner(FrozenModel):
    """The winner of the tuning of one variant."""

    trial: Whole | None = None
    """Number of the best trial; without it, no trial was above chance, and the settings stay as written. Example: 3"""
    values: dict[str, Any] = Field(default_factory=dict)
    """Path and the value of the best trial. Example: {train.lr: 0.1}"""
    val_error: NonNegative | None = None
    """Validation error of the best trial, the mean over its seeds after the longest training, as a fraction.

    Example: 0.031
    """

"""The dimensions of a space that a search or a tuning draws from: ranges, choices of values, choices of labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from vgg_ablate.config.limits import MAX_VARIANTS, check_count
from vgg_ablate.config.types import (
    Count,
    Flag,
    FrozenModel,
    InvalidValueError,
    Name,
    Number,
    Positive,
    Whole,
    check_distinct,
)

Changes = dict[str, Any]  # path -> new value


class NumberRange(FrozenModel):
    """A range of numbers from `low` to `high`, both included; of integers if both are integers."""

    # Strict types in this order: 1 stays an integer and 1.0 a float, which decides whether this is a range of integers.
    low: Whole | Number
    """Smallest number of the range. Example: 0.25"""
    high: Whole | Number
    """Largest number of the range. Example: 2.0"""
    log: Flag = False
    """Whether values are drawn on a log scale. Example: true"""
    step: Count | Positive | None = None
    """Distance of two values; without it, every number of the range is possible. Example: 0.25"""

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
    def is_whole(self) -> bool:
        """Whether the range consists of integers."""
        return isinstance(self.low, int) and isinstance(self.high, int) and not isinstance(self.step, float)

    def list_numbers(self) -> tuple[int | float, ...]:
        """Return all numbers of the range. Raises InvalidValueError for a continuous range without a step."""
        if self.step is not None or self.is_whole:
            check_count((self.high - self.low) / (self.step or 1), MAX_VARIANTS - 1, "steps")
        if self.is_whole:
            return tuple(range(int(self.low), int(self.high) + 1, int(self.step or 1)))
        if self.step is None:
            raise InvalidValueError("a grid search needs a step or a list of values", got=f"{self.low} to {self.high}")
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1  # 0.6 / 0.2 is 2.9999999999999996
        return tuple(self.low + index * self.step for index in range(count))


def _choose_dimension_tag(value: Any) -> str:
    if isinstance(value, NumberRange) or (isinstance(value, Mapping) and {"low", "high"} & value.keys()):
        return "Between[number]"
    return "dict[label]" if isinstance(value, Mapping) else "list[choice]"


def _check_distinct_choices(values: list[Any]) -> list[Any]:
    # Encoded, because choices may be mappings, which cannot be members of a set.
    check_distinct([encode_choice(value) for value in values], "choice")
    return values


# The tags look like types, so that validation_problems removes them from the paths of errors.
SearchDimension = Annotated[
    Annotated[NumberRange, Tag("Between[number]")]
    | Annotated[list[Any], Field(min_length=1), AfterValidator(_check_distinct_choices), Tag("list[choice]")]
    | Annotated[dict[Name, Changes], Field(min_length=1), Tag("dict[label]")],
    Discriminator(_choose_dimension_tag),
]


def encode_choice(value: Any) -> Any:
    """Return a choice as the ledger stores it: numbers and strings unchanged, lists and mappings as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)

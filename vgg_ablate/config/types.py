"""The building blocks of all configuration: an immutable model, strict numbers, and an error with a field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from vgg_ablate.errors import Problem


class FrozenModel(BaseModel):
    """An immutable pydantic model that rejects unknown keys and also validates its defaults.

    The text below a field describes it to users: its meaning, and then `Unit: ...` where there is one, and `Example:
    ...`, a value in YAML. The JSON Schema, `explain` and the reference of the study file show it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)


# All numbers are strict: `epochs: "3"` or `flip: 1` is more likely a mistake than a number or a truth value.
Count = Annotated[int, Field(strict=True, ge=1)]  # 1, 2, 3, ...
# The upper limits are far beyond any net. Without them a typing error such as `64*1000000000` fills the memory, since
# `check` lists the layers one by one before it can report anything.
Size = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]  # channels or pixels
Depth = Annotated[int, Field(strict=True, ge=1, le=1_000)]  # convolutions per stage
Whole = Annotated[int, Field(strict=True, ge=0)]  # 0, 1, 2, ...
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Width = Annotated[float, Field(strict=True, gt=0, le=10_000, allow_inf_nan=False)]  # multiplier of channels
Fraction = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+=-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=80)]


_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
# Digits alone are the name of a variant. Two digits of exponent: more would fill the memory with zeros.
_BUDGET_NUMBER = re.compile(
    r"(?P<number>\d{1,30}(?:\.\d{1,30})?(?:(?=\s*[kMG])|[eE]\+?\d{1,2}))\s*(?P<suffix>[kMG])?", re.ASCII
)


def expand_kind(value: Any) -> Any:
    """Expand the short form `batch` to `{kind: batch}`; return other values unchanged."""
    return {"kind": value} if isinstance(value, str) else value


ByKind = BeforeValidator(expand_kind)


@dataclass(frozen=True)
class OneOf:
    """A field that holds one of the models of a registry, chosen by its `kind`.

    The registry is read when pydantic compiles the model that has the field.
    """

    models: Sequence[type[FrozenModel]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the union of all models, as pydantic requires it."""
        union: Any = reduce(or_, self.models)
        return handler.generate_schema(Annotated[union, Field(discriminator="kind"), ByKind])


def wrap_in_list(value: Any) -> Any:
    """Return text or an integer as a list of one item; return other values unchanged."""
    return [value] if isinstance(value, int | str) else value


def find_repeated(values: Iterable[Hashable]) -> list[Any]:
    """Return the values that occur more than once, in order."""
    return [value for value, count in Counter(values).items() if count > 1]


def check_distinct(values: Iterable[Hashable], noun: str) -> None:
    """Raise InvalidValueError for the first value that occurs more than once: `duplicate seed 3`."""
    if repeated := find_repeated(values):
        raise InvalidValueError(f"duplicate {noun} {repeated[0]!r}")


def check_increasing(values: Sequence[float], *, field: str = "") -> None:
    """Raise InvalidValueError unless every value is greater than the one before it."""
    if any(lower >= higher for lower, higher in pairwise(values)):
        raise InvalidValueError("must be strictly increasing", field=field, got=list(values))


def parse_text_with(parse: Callable[[str], Any]) -> BeforeValidator:
    """Return a validator that parses text with `parse` and passes other values on unchanged."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def parse_budget_number(text: str) -> int | float | str:
    """Return the number that `1M`, `2.5 G` or `40e6` stands for; other text, such as a variant's name, unchanged."""
    match = _BUDGET_NUMBER.fullmatch(text.strip())
    if match is None:
        return text
    # Decimal: 1.1 * 10**9 as a float is no whole number.
    value = Decimal(match["number"]) * _FACTORS[match["suffix"] or ""]
    return int(value) if value == value.to_integral_value() else float(value)


class InvalidValueError(ValueError):
    """A value that breaks a rule: the rule, the field below the validated value, what was given, the nearest word.

    A ValueError, so that pydantic collects it with the other errors of a model. `build_problems` in
    validation_problems.py turns it into a Problem with a location.
    """

    def __init__(self, rule: str, *, field: str = "", got: object = None, nearest: str | None = None) -> None:
        super().__init__(rule)
        self.field = field
        self.got = got
        self.nearest = nearest

    def build_problem(self, path: str, location: str) -> Problem:
        """Return the error as a problem of the value at `path`, written at `location` (`file:line:column`)."""
        return Problem(str(self), path, location, self.got, self.nearest)

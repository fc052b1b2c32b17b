"""What every value of a study is made of: immutable models, and numbers that are never coerced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class FrozenModel(BaseModel):
    """An immutable value: keyword-only, no unknown keys, checked when made."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Count = Annotated[int, Field(strict=True, ge=1)]  # 1, 2, 3, ...
Size = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]  # channels, pixels, ...: whose costs can be told
Depth = Annotated[int, Field(strict=True, ge=1, le=1_000)]  # convolutions in a row: they are written down one by one
Whole = Annotated[int, Field(strict=True, ge=0)]  # 0, 1, 2, ...
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Width = Annotated[float, Field(strict=True, gt=0, le=10_000, allow_inf_nan=False)]  # a multiplier
Fraction = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+=-]*$", max_length=80)]


def expand_kind(value: Any) -> Any:
    """`batch` is short for `{kind: batch}`."""
    return {"kind": value} if isinstance(value, str) else value


ByKind = BeforeValidator(expand_kind)


def parse_text_with(parse: Callable[[str], Any]) -> BeforeValidator:
    """Text is read by `parse`; anything else goes on as it is."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


class InvalidValueError(ValueError):
    """A rule that a value breaks, with the field below it, what was given, and the nearest right word."""

    def __init__(self, rule: str, *, field: str = "", got: object = None, nearest: str | None = None) -> None:
        super().__init__(rule)
        self.field, self.got, self.nearest = field, got, nearest

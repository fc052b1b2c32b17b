"""The cells of tables: unrounded values with the text that shows each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan, nan, sqrt
from typing import Literal

from vgg_ablate.formatting import numbers

SortValue = str | int | float | None

_FORMATTERS: Mapping[str, Callable[[float], str]] = {
    "rate": numbers.format_rate,
    "p": numbers.format_p_value,
    "percentage": numbers.format_percentage,
    "change": lambda value: numbers.format_share(value, signed=True),
    "plain": numbers.format_compact,
    "fixed": numbers.format_fixed,
    "seconds": numbers.format_seconds,
}


@dataclass(frozen=True)
class TextCell:
    """Text, with an optional link in HTML."""

    text: str
    link: str = ""

    def to_text(self) -> str:
        """Return the text."""
        return self.text

    def get_sort_value(self) -> SortValue:
        """Return the text."""
        return self.text


@dataclass(frozen=True)
class MeanCell:
    """A mean and its standard deviation over `n` seeds."""

    mean: float
    sd: float
    n: int
    shows_n: bool = False

    def to_text(self) -> str:
        """Return `12.34 ± 0.56`, or `12.34 ± 0.56 (5)` with the number of seeds."""
        text = numbers.format_mean(self.mean, self.sd, self.n)
        return f"{text} ({self.n})" if self.shows_n and self.n else text

    def get_sort_value(self) -> SortValue:
        """Return the mean, unrounded."""
        return self.mean


@dataclass(frozen=True)
class SideCell:
    """One side of a claim: its name and its mean over `n` seeds, or its count."""

    name: str
    mean: float
    sd: float
    n: int
    how: Literal["mean", "count"] = "mean"
    most_decimals: int = numbers.DEFAULT_DECIMALS

    def to_text(self) -> str:
        """Return `base 2.54`, with the decimals that the standard error of the mean allows."""
        if isnan(self.mean):
            return self.name
        if self.how == "count":
            return f"{self.name} {numbers.format_count(self.mean)}"
        decimals = self.most_decimals
        if self.n > 1 and not isnan(self.sd):
            decimals = min(decimals, numbers.choose_decimals(self.sd / sqrt(self.n)))
        elif decimals > numbers.DEFAULT_DECIMALS:
            return f"{self.name} {numbers.format_compact(self.mean)}"
        return f"{self.name} {numbers.format_number(self.mean, decimals)}"

    def get_sort_value(self) -> SortValue:
        """Return the name of the side."""
        return self.name


@dataclass(frozen=True)
class TickCell:
    """Whether a component is part of a variant."""

    is_present: bool

    def to_text(self) -> str:
        """Return a tick or a cross."""
        return "✓" if self.is_present else "✗"

    def get_sort_value(self) -> SortValue:
        """Return 1 or 0."""
        return int(self.is_present)


@dataclass(frozen=True)
class DifferenceCell:
    """A mean difference over `n` seeds, the standard deviation of the differences, and the confidence interval."""

    mean: float
    sd: float
    n: int
    low: float
    high: float

    def to_text(self) -> str:
        """Return `+1.23 [0.12, 2.34]`."""
        se = self.sd / sqrt(self.n) if self.n > 1 else nan
        return numbers.format_difference(self.mean, self.low, self.high, se)

    def get_sort_value(self) -> SortValue:
        """Return the mean, unrounded."""
        return self.mean


@dataclass(frozen=True)
class CountCell:
    """A whole number, such as params or MACs; None where it is unknown."""

    value: int | None

    def to_text(self) -> str:
        """Return `138.4 M`, or a dash."""
        return numbers.DASH if self.value is None else numbers.format_count(self.value)

    def get_sort_value(self) -> SortValue:
        """Return the number, unrounded."""
        return self.value


@dataclass(frozen=True)
class QuantityCell:
    """A number and the way to show it."""

    value: float
    how: Literal["rate", "p", "percentage", "change", "plain", "fixed", "seconds"]
    link: str = ""  # in HTML

    def to_text(self) -> str:
        """Return the formatted number."""
        return _FORMATTERS[self.how](self.value)

    def get_sort_value(self) -> SortValue:
        """Return the number, unrounded."""
        return self.value


@dataclass(frozen=True)
class RangeCell:
    """The median, the smallest and the largest value over runs; all are NaN where there is no run."""

    median: float
    low: float
    high: float
    how: Literal["rate", "seconds"]

    def to_text(self) -> str:
        """Return `2,310 [2,250, 2,400]`, or the median alone where the three look the same."""
        median, low, high = map(_FORMATTERS[self.how], (self.median, self.low, self.high))
        return median if median == low == high else f"{median} [{low}, {high}]"

    def get_sort_value(self) -> SortValue:
        """Return the median, unrounded."""
        return self.median


TableCell = TextCell | MeanCell | SideCell | TickCell | DifferenceCell | CountCell | QuantityCell | RangeCell

"""Axes that show what nets cost: round numbers with units, logarithmic where costs differ by much."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from vgg_ablate.formatting import numbers

_ROOM = 0.13  # of the span, left free at both ends


def set_cost_scale(axes: Axes, values: Sequence[int], way: Literal["x", "y"] = "x") -> None:
    """A log scale where costs differ by more than a factor of 1.5; ticks at round numbers, written with units."""
    low, high = min(values), max(values)
    axis, limits = (axes.xaxis, axes.set_xlim) if way == "x" else (axes.yaxis, axes.set_ylim)
    if low > 0 and high > 1.5 * low:
        room = (high / low) ** _ROOM
        (axes.set_xscale if way == "x" else axes.set_yscale)("log")
        limits(low / room, high * room)
        axis.set_major_locator(FixedLocator(_round_between(low / room, high * room)))
        axis.set_minor_locator(NullLocator())
    else:
        room = (high - low) * _ROOM or high * 0.1 or 1.0
        limits(low - room, high + room)
        axes.locator_params(axis=way, nbins=4)
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _round_between(low: float, high: float) -> list[float]:
    """Two to six round numbers, from the least round that are not too many; of a short span, finer ones."""
    decades = range(int(log10(low)) - 1, int(log10(high)) + 2)
    for digits in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**decade for decade in decades for digit in digits if low <= digit * 10.0**decade <= high]
        if len(ticks) <= 6:
            break
    if len(ticks) < 2:
        fine = (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
        ticks = [digit * 10.0**decade for decade in decades for digit in fine if low <= digit * 10.0**decade <= high]
    return ticks[:: (len(ticks) - 1) // 6 + 1]


def _short(value: float) -> str:
    """138.4 M without the zeros that a tick does not need."""
    number, _, unit = numbers.format_count(round(value)).partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}".strip()

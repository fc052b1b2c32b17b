"""Axes for the costs of nets: round numbers with units, on a log scale where costs differ by much."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from vgg_ablate.formatting import numbers

_MARGIN = 0.13  # of the span, left free at both ends
_MAX_TICKS = 6


def set_cost_scale(axes: Axes, values: Sequence[int], way: Literal["x", "y"] = "x") -> None:
    """Set scale, limits and ticks of one axis: a log scale if costs differ by more than a factor of 1.5."""
    low, high = min(values), max(values)
    axis, set_limits = (axes.xaxis, axes.set_xlim) if way == "x" else (axes.yaxis, axes.set_ylim)
    if low > 0 and high > 1.5 * low:
        margin = (high / low) ** _MARGIN
        (axes.set_xscale if way == "x" else axes.set_yscale)("log")
        set_limits(low / margin, high * margin)
        # Matplotlib's LogLocator puts ticks at powers of ten only, of which a short span has one or none.
        axis.set_major_locator(FixedLocator(_choose_ticks(low / margin, high * margin)))
        axis.set_minor_locator(NullLocator())
    else:
        margin = (high - low) * _MARGIN or high * 0.1 or 1.0
        set_limits(low - margin, high + margin)
        axes.locator_params(axis=way, nbins=4)
    axis.set_major_formatter(FuncFormatter(lambda value, _: _format_tick(value)))


def _choose_ticks(low: float, high: float) -> list[float]:
    """Return two to six round numbers between the limits; a short span needs less round ones."""
    decades = range(int(log10(low)) - 1, int(log10(high)) + 2)

    def list_ticks(digits: Sequence[float]) -> list[float]:
        return [digit * 10.0**decade for decade in decades for digit in digits if low <= digit * 10.0**decade <= high]

    for digits in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = list_ticks(digits)
        if len(ticks) <= _MAX_TICKS:
            break
    if len(ticks) < 2:
        ticks = list_ticks((1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 7, 8, 9))
    return ticks[:: (len(ticks) - 1) // _MAX_TICKS + 1]


def _format_tick(value: float) -> str:
    """Format a cost without trailing zeros: `138 M` rather than `138.0 M`."""
    number, _, unit = numbers.format_count(round(value)).partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}".strip()

"""Text for numbers, durations and sizes. No other module formats a number that a reader sees.

The functions here round; CSV and JSON files hold the unrounded numbers. An unknown number is shown as a dash, never as
an empty cell.
"""

from __future__ import annotations

from math import floor, inf, isinf, isnan, log10, sqrt

DASH = "–"
MINUS = "\N{MINUS SIGN}"
DEFAULT_DECIMALS = 2  # where no standard error is known
_MAX_DECIMALS = 6


def choose_decimals(se: float) -> int:
    """Return the number of decimals that shows two significant digits of a standard error."""
    if isnan(se) or isinf(se) or se <= 0:
        return DEFAULT_DECIMALS
    return min(_MAX_DECIMALS, max(0, 1 - floor(log10(se))))


def format_number(value: float, decimals: int, *, signed: bool = False) -> str:
    """Format a number with a fixed number of decimals, thousands separators and a typographic minus sign."""
    if isnan(value):
        return DASH
    if isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    # The sign is that of the rounded value: -0.001 with two decimals is "0.00", not "-0.00".
    rounded = round(value, decimals)
    sign = MINUS if rounded < 0 else "+" if signed and rounded > 0 else ""
    return f"{sign}{abs(rounded):,.{decimals}f}"


def format_mean(value: float, sd: float, n: int) -> str:
    """Format a mean and its standard deviation over `n` seeds: `12.34 ± 0.56`."""
    if n == 0 or isnan(value):
        return DASH
    # Decimals come from the standard error, which is the precision of the mean, not from the sd.
    decimals = choose_decimals(sd / sqrt(n)) if n > 1 else DEFAULT_DECIMALS
    mean = format_number(value, decimals)
    return f"{mean} ± {format_number(sd, decimals)}" if n > 1 else mean


def format_difference(value: float, low: float, high: float, se: float) -> str:
    """Format a difference with its confidence interval: `+1.23 [0.12, 2.34]`."""
    if isnan(value):
        return DASH
    difference = format_number(value, choose_decimals(se), signed=True)
    return difference if isnan(low) else f"{difference} {format_interval(low, high, se)}"


def format_interval(low: float, high: float, se: float) -> str:
    """Format a confidence interval: `[0.12, 2.34]`.

    An end that is not 0 must not be shown as 0, since a reader decides by the sign of the ends: such an interval gets
    more decimals than its standard error asks for, as in `[0.004, 2.341]`.
    """
    decimals = choose_decimals(se)
    while decimals < _MAX_DECIMALS and any(
        abs(end) >= 10**-_MAX_DECIMALS and round(end, decimals) == 0 for end in (low, high)
    ):
        decimals += 1
    return f"[{format_number(low, decimals)}, {format_number(high, decimals)}]"


def format_count(value: float, *, signed: bool = False) -> str:
    """Format a count with four significant digits and a unit prefix (`138.4 M`), or in full below 10,000."""
    sign = MINUS if value < 0 else "+" if signed and value > 0 else ""
    # Round before the prefix is chosen: 999,960 is 1.000 M and not 1000 k.
    size = float(f"{abs(value):.4g}") if abs(value) >= 1e4 else abs(value)
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if size >= factor and size >= 1e4:
            scaled = size / factor
            return f"{sign}{scaled:.{max(0, 3 - floor(log10(scaled)))}f} {prefix}"
    return f"{sign}{size:,.0f}"


def format_rate(value: float) -> str:
    """Format a rate, such as images per second, with three significant digits."""
    if isnan(value):
        return DASH
    if value <= 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - floor(log10(value)))}f}"


def format_p_value(value: float) -> str:
    """Format a p-value with three decimals, or as `< 0.001`."""
    if isnan(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def format_percentage(value: float) -> str:
    """Format a fraction of 1 as a percentage; only exactly 0 and 1 are shown as 0 and 100 %."""
    if isnan(value):
        return DASH
    if 0 < value < 0.001:
        return "< 0.1 %"
    if 0.999 < value < 1:
        return "> 99.9 %"
    return f"{100 * value:.1f} %"


def format_share(value: float, *, signed: bool = False) -> str:
    """Format a fraction of 1 as a percentage with two significant digits: `6.1 %`, `12 %`, or `+12 %` if signed."""
    if isnan(value) or isinf(value):
        return DASH
    percent = 100 * value
    decimals = 1 if round(abs(percent), 1) < 10 else 0
    return f"{format_number(percent, decimals, signed=signed)} %"


def format_compact(value: float, decimals: int = 2) -> str:
    """Format a number without trailing zeros, such as the margin of a claim."""
    if isnan(value) or value in (inf, -inf):
        return format_number(value, 0)
    text = format_number(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_fixed(value: float) -> str:
    """Format a value of a single run, which has no standard error, with two decimals."""
    return format_number(value, DEFAULT_DECIMALS)


def format_coordinate(value: float) -> str:
    """Format a coordinate of a drawing for a file: at most two decimals, an ASCII minus sign, no separators."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def format_seconds(value: float) -> str:
    """Format a duration that was measured, for tables and texts of a report: `12.3 s`, `3 min 05 s`, `2 h 03 min`."""
    if isnan(value):
        return DASH
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def format_rough_seconds(value: float) -> str:
    """Format a duration that is running or estimated: `0.4 s`, `12 s`, `3 min 05 s`, `22 min` or `2 h 03 min`."""
    if 10 <= value < 60:
        return f"{value:.0f} s"
    return f"{round(value / 60)} min" if 600 <= value < 3570 else format_seconds(value)


def format_bytes(size_bytes: float) -> str:
    """Format a size: `94 KiB`, from 1 MiB on `512 MiB`, and from 1 GiB on `7.5 GiB`."""
    if size_bytes >= 2**30:
        return f"{size_bytes / 2**30:,.1f} GiB"
    return f"{size_bytes / 2**20:,.0f} MiB" if size_bytes >= 2**20 else f"{size_bytes / 2**10:,.0f} KiB"

"""How numbers are written: the only place that turns one into text.

A mean is shown to two significant digits of its standard error; what is not known is a dash, never a blank.
"""

from __future__ import annotations

from math import floor, inf, isinf, isnan, log10, sqrt

DASH = "–"
DEFAULT_DECIMALS = 2  # decimals where no standard error is known
_MOST = 6  # decimals
MINUS = "\N{MINUS SIGN}"


def choose_decimals(se: float) -> int:
    """Decimals that show two significant digits of a standard error."""
    if isnan(se) or isinf(se) or se <= 0:
        return DEFAULT_DECIMALS
    return min(_MOST, max(0, 1 - floor(log10(se))))


def format_number(value: float, places: int, *, signed: bool = False) -> str:
    """A number with so many decimals; never a minus zero."""
    if isnan(value):
        return DASH
    if isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    rounded = round(value, places)
    mark = MINUS if rounded < 0 else "+" if signed and rounded > 0 else ""
    return f"{mark}{abs(rounded):,.{places}f}"


def format_mean(value: float, sd: float, n: int) -> str:
    """12.34 ± 0.56: the mean and the standard deviation over seeds."""
    if n == 0 or isnan(value):
        return DASH
    places = choose_decimals(sd / sqrt(n)) if n > 1 else DEFAULT_DECIMALS
    return f"{format_number(value, places)} ± {format_number(sd, places)}" if n > 1 else format_number(value, places)


def format_difference(value: float, low: float, high: float, se: float) -> str:
    """+1.23 [0.12, 2.34]: a difference with its interval."""
    places = choose_decimals(se)
    if isnan(value):
        return DASH
    if isnan(low):
        return format_number(value, places, signed=True)
    return f"{format_number(value, places, signed=True)} {format_interval(low, high, se)}"


def format_interval(low: float, high: float, se: float) -> str:
    """[0.12, 2.34]; [0.004, 2.341]: with more decimals where an edge beside zero would be written as zero."""
    places = choose_decimals(se)
    while places < _MOST and any(abs(edge) >= 10**-_MOST and round(edge, places) == 0 for edge in (low, high)):
        places += 1
    return f"[{format_number(low, places)}, {format_number(high, places)}]"


def format_count(value: float, *, signed: bool = False) -> str:
    """138.4 M: four significant digits with a unit, in full below ten thousand."""
    mark = MINUS if value < 0 else "+" if signed and value > 0 else ""
    size = float(f"{abs(value):.4g}") if abs(value) >= 1e4 else abs(value)
    for unit, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if size >= factor and size >= 1e4:
            scaled = size / factor
            return f"{mark}{scaled:.{max(0, 3 - floor(log10(scaled)))}f} {unit}"
    return f"{mark}{size:,.0f}"


def format_rate(value: float) -> str:
    """Images a second, three significant digits."""
    if isnan(value):
        return DASH
    if value <= 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - floor(log10(value)))}f}"


def format_p_value(value: float) -> str:
    """0.032; below a thousandth: < 0.001."""
    if isnan(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def format_percentage(value: float) -> str:
    """A fraction as a percentage; never 0 or 100 % where it is not exactly that."""
    if isnan(value):
        return DASH
    if 0 < value < 0.001:
        return "< 0.1 %"
    if 0.999 < value < 1:
        return "> 99.9 %"
    return f"{100 * value:.1f} %"


def format_compact(value: float, places: int = 2) -> str:
    """A margin or an effect size: no more decimals than it needs."""
    if isnan(value) or value in (inf, -inf):
        return format_number(value, 0)
    text = format_number(value, places)
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_fixed(value: float) -> str:
    """A value of one run: two decimals."""
    return format_number(value, DEFAULT_DECIMALS)


def format_coordinate(value: float) -> str:
    """A coordinate: at most two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def format_seconds(value: float) -> str:
    """Seconds, minutes and seconds, or hours and minutes."""
    if isnan(value):
        return DASH
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"

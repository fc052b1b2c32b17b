"""SVG as text: a few shapes, and how wide words are. The same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal

FONT_FAMILY = "'DejaVu Sans', Verdana, 'Liberation Sans', Arial, sans-serif"  # none is wider than the first
_WIDE, _NARROW = set("mwMW@%&#+=<>~^×→−±"), set(" .,:;|!'ijl()[]tfr/-")


class SvgSheet:
    """What has been drawn so far. Lengths are CSS pixels; y grows downwards."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, fill: str, more: str = "") -> None:
        """A rectangle; `x`, `y` is its upper left corner."""
        where = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        self._parts.append(f'<rect {where} fill="{fill}"{_more(more)}/>')

    def polygon(self, corners: Sequence[tuple[float, float]], fill: str, more: str = "") -> None:
        """A filled shape."""
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in corners)
        self._parts.append(f'<polygon points="{points}" fill="{fill}"{_more(more)}/>')

    def line(self, start: tuple[float, float], end: tuple[float, float], stroke: str, width: float = 1) -> None:
        """A straight line."""
        ends = f'x1="{_n(start[0])}" y1="{_n(start[1])}" x2="{_n(end[0])}" y2="{_n(end[1])}"'
        self._parts.append(f'<line {ends} stroke="{stroke}" stroke-width="{_n(width)}"/>')

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float,
        fill: str,
        anchor: Literal["start", "middle", "end"] = "start",
        bold: bool = False,
        upwards: bool = False,
    ) -> None:
        """Words on a baseline; `upwards`: turned by a quarter, from the bottom to the top, around `x`, `y`."""
        more = f' text-anchor="{anchor}"' if anchor != "start" else ""
        more += ' font-weight="bold"' if bold else ""
        more += f' transform="rotate(-90 {_n(x)} {_n(y)})"' if upwards else ""
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" fill="{fill}"{more}>{escape(words)}</text>'
        )

    def written(self, width: float, height: float, title: str, description: str) -> str:
        """The whole file, on white paper."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
            f'viewBox="0 0 {_n(width)} {_n(height)}" role="img" font-family="{FONT_FAMILY}">'
        )
        words = [f"<title>{escape(title)}</title>", f"<desc>{escape(description)}</desc>"]
        paper = f'<rect width="{_n(width)}" height="{_n(height)}" fill="#ffffff"/>'
        return "\n".join([head, *words, paper, *self._parts, "</svg>"]) + "\n"


def measure_text_width(words: str, size: float, *, bold: bool = False) -> float:
    """No less than the width of the words in any of the fonts."""
    ems = sum(1.0 if mark in _WIDE else 0.42 if mark in _NARROW else 0.79 if mark.isupper() else 0.65 for mark in words)
    return ems * size * (1.12 if bold else 1.0)


def truncate_text(words: str, size: float, width: float) -> str:
    """The words, or as much of them as fits, with an ellipsis."""
    if measure_text_width(words, size) <= width:
        return words
    while words and measure_text_width(words + "...", size) > width:
        words = words[:-1]
    return words.rstrip(" ,:·") + "..."


def _n(value: float) -> str:
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def _more(attributes: str) -> str:
    return f" {attributes}" if attributes else ""

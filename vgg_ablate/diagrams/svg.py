"""SVG documents as text: a few shapes, and an upper bound of the width of a text.

The same input gives the same bytes, so that a drawing in a repository changes only where the net does.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal

# Text is measured without a font, so the widest font comes first: in no other does a label outgrow its place.
FONT_FAMILY = "'DejaVu Sans', Verdana, 'Liberation Sans', Arial, sans-serif"
_WIDE, _NARROW = set("mwMW@%&#+=<>~^×→−±"), set(" .,:;|!'ijl()[]tfr/-")


class SvgSheet:
    """A drawing to which shapes are added. Lengths are CSS pixels; y grows downwards."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def add_box(self, x: float, y: float, width: float, height: float, fill: str, attributes: str = "") -> None:
        """Add a rectangle; `x`, `y` is its upper left corner. `attributes` are further SVG attributes."""
        corner = f'x="{_format(x)}" y="{_format(y)}" width="{_format(width)}" height="{_format(height)}"'
        self._parts.append(f'<rect {corner} fill="{fill}"{_pad_left(attributes)}/>')

    def add_polygon(self, corners: Sequence[tuple[float, float]], fill: str, attributes: str = "") -> None:
        """Add a filled polygon."""
        points = " ".join(f"{_format(x)},{_format(y)}" for x, y in corners)
        self._parts.append(f'<polygon points="{points}" fill="{fill}"{_pad_left(attributes)}/>')

    def add_line(self, start: tuple[float, float], end: tuple[float, float], stroke: str, width: float = 1) -> None:
        """Add a straight line."""
        ends = f'x1="{_format(start[0])}" y1="{_format(start[1])}" x2="{_format(end[0])}" y2="{_format(end[1])}"'
        self._parts.append(f'<line {ends} stroke="{stroke}" stroke-width="{_format(width)}"/>')

    def add_text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        fill: str,
        anchor: Literal["start", "middle", "end"] = "start",
        bold: bool = False,
        upwards: bool = False,
    ) -> None:
        """Add a text on a baseline at `x`, `y`; with `upwards`, it is rotated to run from the bottom to the top."""
        attributes = f' text-anchor="{anchor}"' if anchor != "start" else ""
        attributes += ' font-weight="bold"' if bold else ""
        attributes += f' transform="rotate(-90 {_format(x)} {_format(y)})"' if upwards else ""
        start = f'x="{_format(x)}" y="{_format(y)}" font-size="{_format(size)}" fill="{fill}"'
        self._parts.append(f"<text {start}{attributes}>{escape(text)}</text>")

    def render(self, width: float, height: float, title: str, description: str) -> str:
        """Return the document, on a white background, with a title and a description for screen readers."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_format(width)}" height="{_format(height)}" '
            f'viewBox="0 0 {_format(width)} {_format(height)}" role="img" font-family="{FONT_FAMILY}">'
        )
        texts = [f"<title>{escape(title)}</title>", f"<desc>{escape(description)}</desc>"]
        background = f'<rect width="{_format(width)}" height="{_format(height)}" fill="#ffffff"/>'
        return "\n".join([head, *texts, background, *self._parts, "</svg>"]) + "\n"


def measure_text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return an upper bound of the width of a text, in pixels, in any of the fonts of `FONT_FAMILY`."""
    ems = sum(
        1.0 if character in _WIDE else 0.42 if character in _NARROW else 0.79 if character.isupper() else 0.65
        for character in text
    )
    return ems * size * (1.12 if bold else 1.0)


def truncate_text(text: str, size: float, width: float) -> str:
    """Return the text, or as much of it as fits into `width` pixels, with an ellipsis."""
    if measure_text_width(text, size) <= width:
        return text
    while text and measure_text_width(text + "...", size) > width:
        text = text[:-1]
    return text.rstrip(" ,:·") + "..."


def _format(value: float) -> str:
    """Return a length with at most one decimal, and never "-0"."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def _pad_left(attributes: str) -> str:
    return f" {attributes}" if attributes else ""

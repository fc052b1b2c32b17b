"""Where the words of an SVG stand, by the rules of SVG and matplotlib's measure of the font."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import cache
from itertools import combinations
from typing import NamedTuple

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

SVG = "{http://www.w3.org/2000/svg}"


class TextBox(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float
    words: str

    def overlaps(self, other: TextBox) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


@cache
def measure_text(words: str, size: float, bold: bool) -> float:
    """Width in the widest of the fonts, by matplotlib."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), words, size=size, prop=font).get_extents().x1)


def find_labels(svg: str) -> list[TextBox]:
    """Where every text is, by the rules of SVG."""
    found = []
    for text in ET.fromstring(svg).iter(f"{SVG}text"):
        x, y, size = (float(text.attrib[name]) for name in ("x", "y", "font-size"))
        words = text.text or ""
        long = measure_text(words, size, text.get("font-weight") == "bold")
        before = {"middle": long / 2, "end": long}.get(text.get("text-anchor", "start"), 0.0)
        if "transform" in text.attrib:
            found.append(TextBox(x - 0.76 * size, y + before - long, x + 0.24 * size, y + before, words))
        else:
            found.append(TextBox(x - before, y - 0.76 * size, x - before + long, y + 0.24 * size, words))
    return found


def assert_readable(svg: str) -> None:
    root = ET.fromstring(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    boxes = find_labels(svg)
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other), (one, other)
    for box in boxes:
        assert box.left >= 0, box
        assert box.top >= 0, box
        assert box.right <= width, box
        assert box.bottom <= height, box

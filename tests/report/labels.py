"""Positions of the texts of an SVG, by the rules of SVG and matplotlib's measure of the font."""

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
def measure_text(text: str, size: float, bold: bool) -> float:
    """Return the width of a text in the widest of the SVG's fonts."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().x1)


def find_labels(svg: str) -> list[TextBox]:
    """Return the box of every text element; texts with a transform are rotated to read upwards."""
    boxes = []
    for element in ET.fromstring(svg).iter(f"{SVG}text"):
        x, y, size = (float(element.attrib[name]) for name in ("x", "y", "font-size"))
        text = element.text or ""
        width = measure_text(text, size, element.get("font-weight") == "bold")
        before = {"middle": width / 2, "end": width}.get(element.get("text-anchor", "start"), 0.0)
        # 0.76 above and 0.24 below the baseline: ascent and descent of the font, in font sizes.
        if "transform" in element.attrib:
            boxes.append(TextBox(x - 0.76 * size, y + before - width, x + 0.24 * size, y + before, text))
        else:
            boxes.append(TextBox(x - before, y - 0.76 * size, x - before + width, y + 0.24 * size, text))
    return boxes


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

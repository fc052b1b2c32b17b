"""Names beside points, where they hide neither a point nor each other: a greedy choice among places around each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes

from vgg_ablate.report.figures import canvas

LabelBox = tuple[float, float, float, float]  # left, bottom, right, top; points

_HEIGHT = canvas.SMALL_FONT_SIZE * 1.25
_MARK = 4.5  # half the side of a marker
_PLACES = [  # how far from the point, and in which direction
    (reach * x, reach * y)
    for reach in (7, 13, 20, 30)
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 0.8), (0.8, -0.8), (-0.8, 0.8), (-0.8, -0.8))
]


def name_points(
    axes: Axes,
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    *,
    bold: Sequence[str] = (),
    line: Sequence[tuple[float, float]] = (),
) -> list[str]:
    """Writes names beside points, and off the line where there is room; limits and scales of the axes must be set.

    Returns the names that found no place.
    """
    inside = _box_of(axes)
    at = [_placed(axes, point) for point in points]
    taken = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in at]
    crossed = [_segment(*ends) for ends in pairwise(_placed(axes, point) for point in line)]
    left_out = []
    for name, (x, y), point in zip(names, at, points, strict=True):
        width = canvas.measure_text_inches(name, canvas.SMALL_FONT_SIZE, "bold" if name in bold else "normal") * 72 + 2
        boxes = {by: _around(x + by[0], y + by[1], width, by[0]) for by in _PLACES}
        free = [by for by in _PLACES if _free(boxes[by], inside, taken)]
        found = next((by for by in free if _free(boxes[by], inside, crossed)), free[0] if free else None)
        if found is None:
            left_out.append(name)
            continue
        taken.append(boxes[found])
        _write(axes, name, point, found, name in bold)
    return left_out


def _write(axes: Axes, name: str, point: tuple[float, float], by: tuple[float, float], bold: bool) -> None:
    far = by[0] ** 2 + by[1] ** 2 > 14**2
    axes.annotate(
        name,
        point,
        by,
        textcoords="offset points",
        ha="left" if by[0] > 0 else "right" if by[0] < 0 else "center",
        va="center",
        fontsize=canvas.SMALL_FONT_SIZE,
        color=canvas.INK,
        fontweight="bold" if bold else "normal",
        arrowprops={"arrowstyle": "-", "color": canvas.RULE, "linewidth": 0.7, "shrinkB": 4} if far else None,
        zorder=6,
    )


def _placed(axes: Axes, point: tuple[float, float]) -> tuple[float, float]:
    """In points from the figure's lower left corner (the figure has 72 dots an inch)."""
    x, y = axes.transData.transform(point)
    return float(x), float(y)


def _box_of(axes: Axes) -> LabelBox:
    box = axes.get_window_extent()
    return box.x0, box.y0, box.x1, box.y1


def _segment(one: tuple[float, float], other: tuple[float, float]) -> LabelBox:
    (x0, y0), (x1, y1) = one, other
    return min(x0, x1) - 1, min(y0, y1) - 1, max(x0, x1) + 1, max(y0, y1) + 1


def _around(x: float, y: float, width: float, dx: float) -> LabelBox:
    left = x if dx > 0 else x - width if dx < 0 else x - width / 2
    return left, y - _HEIGHT / 2, left + width, y + _HEIGHT / 2


def _free(box: LabelBox, inside: LabelBox, taken: Sequence[LabelBox]) -> bool:
    within = box[0] >= inside[0] and box[1] >= inside[1] and box[2] <= inside[2] and box[3] <= inside[3]
    return within and not any(
        box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in taken
    )

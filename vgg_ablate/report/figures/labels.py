"""Placement of names beside points, so that a name hides neither a point nor another name.

The choice is greedy: each name in turn takes the first free position around its point.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes

from vgg_ablate.report.figures import canvas

LabelBox = tuple[float, float, float, float]  # left, bottom, right, top; points

_HEIGHT = canvas.SMALL_FONT_SIZE * 1.25
_HALF_MARK = 4.5  # half the side of a marker
_LEADER_DISTANCE = 14  # names farther away than this get a line to their point
_OFFSETS = [  # positions of a name relative to its point, the nearest first
    (distance * x, distance * y)
    for distance in (7, 13, 20, 30)
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
    """Write names beside points, and beside the line rather than on it where there is room.

    Limits and scales of the axes must be set. Returns the names for which there was no free position.
    """
    inside = _get_axes_box(axes)
    centers = [_to_points(axes, point) for point in points]
    taken = [(x - _HALF_MARK, y - _HALF_MARK, x + _HALF_MARK, y + _HALF_MARK) for x, y in centers]
    line_boxes = [_build_segment_box(*ends) for ends in pairwise(_to_points(axes, point) for point in line)]
    left_out = []
    for name, (x, y), point in zip(names, centers, points, strict=True):
        width = canvas.measure_text_inches(name, canvas.SMALL_FONT_SIZE, "bold" if name in bold else "normal") * 72 + 2
        boxes = {offset: _build_label_box(x + offset[0], y + offset[1], width, offset[0]) for offset in _OFFSETS}
        free = [offset for offset in _OFFSETS if _is_free(boxes[offset], inside, taken)]
        if not free:
            left_out.append(name)
            continue
        chosen = next((offset for offset in free if _is_free(boxes[offset], inside, line_boxes)), free[0])
        taken.append(boxes[chosen])
        _write_name(axes, name, point, chosen, name in bold)
    return left_out


def _write_name(axes: Axes, name: str, point: tuple[float, float], offset: tuple[float, float], bold: bool) -> None:
    needs_leader = offset[0] ** 2 + offset[1] ** 2 > _LEADER_DISTANCE**2
    leader = {"arrowstyle": "-", "color": canvas.RULE, "linewidth": 0.7, "shrinkB": 4}
    axes.annotate(
        name,
        point,
        offset,
        textcoords="offset points",
        ha="left" if offset[0] > 0 else "right" if offset[0] < 0 else "center",
        va="center",
        fontsize=canvas.SMALL_FONT_SIZE,
        color=canvas.INK,
        fontweight="bold" if bold else "normal",
        arrowprops=leader if needs_leader else None,
        zorder=6,
    )


def _to_points(axes: Axes, point: tuple[float, float]) -> tuple[float, float]:
    """Return the position in points from the figure's lower left corner: `create_figure` makes 72 dots per inch."""
    x, y = axes.transData.transform(point)
    return float(x), float(y)


def _get_axes_box(axes: Axes) -> LabelBox:
    box = axes.get_window_extent()
    return box.x0, box.y0, box.x1, box.y1


def _build_segment_box(start: tuple[float, float], end: tuple[float, float]) -> LabelBox:
    (x0, y0), (x1, y1) = start, end
    return min(x0, x1) - 1, min(y0, y1) - 1, max(x0, x1) + 1, max(y0, y1) + 1


def _build_label_box(x: float, y: float, width: float, dx: float) -> LabelBox:
    left = x if dx > 0 else x - width if dx < 0 else x - width / 2
    return left, y - _HEIGHT / 2, left + width, y + _HEIGHT / 2


def _is_free(box: LabelBox, inside: LabelBox, taken: Sequence[LabelBox]) -> bool:
    within = box[0] >= inside[0] and box[1] >= inside[1] and box[2] <= inside[2] and box[3] <= inside[3]
    return within and not any(
        box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in taken
    )

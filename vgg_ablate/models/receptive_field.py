"""How far every layer sees: receptive fields and strides, in pixels of the image."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from vgg_ablate.models.layers import Conv, Dense, Flatten, Layer, Pool


class ReceptiveField(NamedTuple):
    """What one unit of a layer's output sees, and how far apart two neighbours look; rows, columns."""

    field: tuple[int, int]
    stride: int  # 0 where there are no neighbours: a vector


def trace_receptive_fields(net: Iterable[Layer]) -> tuple[ReceptiveField, ...]:
    """Layer by layer: a window of k units widens the field by (k - 1) x stride so far (Araujo et al., Distill 2019)."""
    found: list[ReceptiveField] = []
    sight, size = ReceptiveField((1, 1), 1), 1
    for layer in net:
        match layer:
            case Conv():
                sight = _widened(sight, layer.kernel, layer.stride)
                size = layer.size
            case Pool(kind="adaptive"):
                window = ceil(layer.size_in / layer.size)
                sight = _widened(sight, (window, window), window if layer.size > 1 else 0)
                size = layer.size
            case Pool():
                sight = _widened(sight, (2, 2), 2)
                size = layer.size
            case Flatten():
                sight = _widened(sight, (size, size), 0)
            case Dense():
                sight = ReceptiveField(sight.field, 0)
        found.append(sight)
    return tuple(found)


def _widened(sight: ReceptiveField, window: tuple[int, int], stride: int) -> ReceptiveField:
    rows, columns = (field + (side - 1) * sight.stride for field, side in zip(sight.field, window, strict=True))
    return ReceptiveField((rows, columns), sight.stride * stride)


def compute_center_window(body: Iterable[Layer]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The pixels, first and one past the last, that the last map's centre unit could see: of rows, of columns.

    They may lie outside the image, where the padding is.
    """
    field, first, stride, size = [1, 1], [0, 0], 1, 1
    for layer in body:
        if isinstance(layer, Conv):
            for way in (0, 1):
                first[way] -= layer.padding[way] * stride
                field[way] += (layer.kernel[way] - 1) * stride
            stride, size = stride * layer.stride, layer.size
        elif isinstance(layer, Pool):
            field, stride, size = [side + stride for side in field], stride * 2, layer.size
    rows, columns = ((start + size // 2 * stride, side) for start, side in zip(first, field, strict=True))
    return (rows[0], sum(rows)), (columns[0], sum(columns))

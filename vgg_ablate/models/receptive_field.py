"""Theoretical receptive fields and strides of layers, in pixels of the image."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from vgg_ablate.models.layers import Conv, Dense, Flatten, Layer, Pool


class ReceptiveField(NamedTuple):
    """Receptive field of one unit of a layer's output, and the distance between those of two neighbouring units."""

    field: tuple[int, int]  # rows, columns
    stride: int  # 0 where a unit has no neighbours: the output is a vector


def trace_receptive_fields(net: Iterable[Layer]) -> tuple[ReceptiveField, ...]:
    """Return the receptive field after every layer.

    A window of k units widens the field by (k - 1) times the stride so far (Araujo et al., "Computing Receptive Fields
    of Convolutional Neural Networks", Distill 2019).
    """
    traced: list[ReceptiveField] = []
    current, size = ReceptiveField((1, 1), 1), 1
    for layer in net:
        match layer:
            case Conv():
                current = _widen(current, layer.kernel, layer.stride)
                size = layer.size
            case Pool(kind="adaptive"):
                # Windows of an adaptive pooling differ by one unit where the sides do not divide: the widest counts.
                window = ceil(layer.size_in / layer.size)
                current = _widen(current, (window, window), window if layer.size > 1 else 0)
                size = layer.size
            case Pool():
                current = _widen(current, (2, 2), 2)
                size = layer.size
            case Flatten():
                current = _widen(current, (size, size), 0)
            case Dense():
                current = ReceptiveField(current.field, 0)
        traced.append(current)
    return tuple(traced)


def _widen(before: ReceptiveField, window: tuple[int, int], stride: int) -> ReceptiveField:
    rows, columns = (field + (side - 1) * before.stride for field, side in zip(before.field, window, strict=True))
    return ReceptiveField((rows, columns), before.stride * stride)


def compute_center_window(body: Iterable[Layer]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows and the columns of pixels that the centre unit of the last map can depend on.

    Each is (first, one past the last). They may lie outside the image, in the zero padding. `body` holds the layers
    before the head.
    """
    field, first, stride, size = [1, 1], [0, 0], 1, 1
    for layer in body:
        if isinstance(layer, Conv):
            for axis in (0, 1):
                first[axis] -= layer.padding[axis] * stride
                field[axis] += (layer.kernel[axis] - 1) * stride
            stride, size = stride * layer.stride, layer.size
        elif isinstance(layer, Pool):
            field, stride, size = [side + stride for side in field], stride * 2, layer.size
    rows, columns = ((start + size // 2 * stride, side) for start, side in zip(first, field, strict=True))
    return (rows[0], sum(rows)), (columns[0], sum(columns))

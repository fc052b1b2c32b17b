"""Drawings of weights and of effective fields: readable, the same every time, and true to the numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.report.labels import assert_readable
from vgg_ablate.analysis.stats import FloatArray
from vgg_ablate.diagrams import filters
from vgg_ablate.diagrams.filters import FieldMeasurement

RANDOM = np.random.default_rng(0)


def draw_kernels(count: int, channels: int, side: int) -> FloatArray:
    return np.asarray(RANDOM.normal(size=(count, channels, side, side)))


def measure(size: int = 30, name: str = "net") -> FieldMeasurement:
    field = np.zeros((size, size))
    field[10:15, 10:15] = 0.04
    return FieldMeasurement(name, field, (5, 20), (5, 20), 5)


@pytest.mark.parametrize(("count", "channels", "side"), [(1, 1, 1), (16, 1, 3), (64, 3, 3), (300, 3, 7), (8, 4, 5)])
def test_filters_are_drawn_readably(count: int, channels: int, side: int) -> None:
    assert_readable(filters.draw_filters(draw_kernels(count, channels, side), "a net with a name that is rather long"))


def test_a_weight_of_0_is_grey_in_colours_and_white_without() -> None:
    assert "#808080" in filters.draw_filters(np.zeros((1, 3, 1, 1)), "nothing")
    assert "#ffffff" in filters.draw_filters(np.zeros((1, 1, 1, 1)), "nothing")


def test_the_strongest_weight_has_the_strongest_colour_of_its_sign() -> None:
    drawing = filters.draw_filters(np.array([[[[1.0, -1.0]]]]), "two")
    assert re.findall(r'fill="(#[0-9a-f]{6})"', drawing)[1:3] == ["#b84a00", "#0b5fa5"]


@pytest.mark.parametrize("count", [1, 3, 9])
def test_fields_are_drawn_readably(count: int) -> None:
    assert_readable(filters.draw_fields([measure(name=f"variant {index}") for index in range(count)], ""))


@pytest.mark.parametrize("size", [20, 57, 113, 224])
def test_no_cell_lies_outside_the_image(size: int) -> None:
    measurement = FieldMeasurement("net", np.full((size, size), 1 / size**2), (0, size), (0, size), size)
    boxes = re.findall(
        r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="#0',
        filters.draw_fields([measurement], ""),
    )
    assert max(float(x) + float(width) for x, _, width, _ in boxes) <= 18 + 224.2
    assert max(float(y) + float(height) for _, y, _, height in boxes) <= 66 + 224.2


@pytest.mark.parametrize("corner", [0, 12, 24])
@pytest.mark.parametrize("side", [5, 29, 30])
def test_the_square_of_the_effective_field_ends_with_the_image(corner: int, side: int) -> None:
    field = np.zeros((30, 30))
    field[corner : corner + 5, :5] = 0.04
    drawing = filters.draw_fields([FieldMeasurement("net", field, (5, 20), (5, 20), side)], "")
    square = r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="none" stroke="#d55e00"'
    x, y, width, height = (float(number) for number in re.findall(square, drawing)[0])
    assert (width, height) == pytest.approx((side * 224 / 30,) * 2, abs=0.1)
    assert 18 - 0.1 <= x <= x + width <= 18 + 224.1
    assert 66 - 0.1 <= y <= y + height <= 66 + 224.1


def test_the_table_sets_the_effective_field_beside_the_theoretical_one() -> None:
    (row,) = filters.build_field_table([measure()], "weights as first drawn").rows
    assert [cell.to_text() for cell in row.cells] == ["net", "30", "15", "5", "11.1 %"]


def test_the_same_field_gives_the_same_bytes() -> None:
    assert filters.draw_fields([measure()], "") == filters.draw_fields([measure()], "")

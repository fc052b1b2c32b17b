"""Drawings of nets: labels never overlap, sides follow the layers, and the bytes are always the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.labels import assert_readable, find_labels, measure_text
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.config.presets import PRESETS
from vgg_ablate.diagrams.network import draw_networks
from vgg_ablate.diagrams.svg import measure_text_width
from vgg_ablate.diagrams.table1 import NetDescription
from vgg_ablate.errors import SpecError


def describe(given: object, image_size: int = 32, name: str = "net") -> NetDescription:
    arch = Arch.model_validate(given).with_shape(Shape(image_size, 3, 10))
    return NetDescription(name, arch.to_normal_form())


Stages = list[tuple[list[tuple[int, str, str]], str]]

STAGES = st.lists(
    st.tuples(
        st.lists(
            st.tuples(
                st.sampled_from([1, 3, 16, 64, 512, 2048]),
                st.sampled_from(["", "@1", "@5", "@7", "@1x3"]),
                st.sampled_from(["", "~", "~norm"]),
            ),
            min_size=1,
            max_size=4,
        ),
        st.sampled_from(["|", "/"]),
    ),
    min_size=1,
    max_size=5,
)


def format_notation(stages: Stages) -> str:
    text = " ".join(
        " ".join(f"{channels}{kernel}{then}" for channels, kernel, then in convs) + f" {end}" for convs, end in stages
    )
    return text.removesuffix(" |")


@settings(max_examples=30, deadline=None)
@given(
    STAGES,
    st.lists(st.sampled_from([1, 64, 4096, 10**6]), max_size=3),
    st.sampled_from(["none", "batch", "lrn"]),
    st.sampled_from(["none", "global", 7]),
)
def test_labels_never_overlap(stages: Stages, hidden: list[int], norm: str, pool: str | int) -> None:
    arch = {"stages": format_notation(stages), "norm": norm, "head": {"hidden": hidden, "pool": pool}}
    try:
        net = describe(arch, 64)
        drawing = draw_networks([net])
    except SpecError:  # a net that cannot exist
        return
    assert_readable(drawing)
    assert_readable(draw_networks([describe("B", 64, "base"), net]))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_drawn(name: str) -> None:
    assert_readable(draw_networks([describe(name, 224, name)]))


def test_the_same_nets_give_the_same_bytes() -> None:
    assert draw_networks([describe("D"), describe("C")]) == draw_networks([describe("D"), describe("C")])


def find_3x3_boxes(svg: str) -> list[tuple[float, float]]:
    matches = (re.search(r'width="([\d.]+)" height="([\d.]+)" fill="(#\w+)"', line) for line in svg.splitlines())
    return [(float(match[1]), float(match[2])) for match in matches if match and match[3] == "#2f8fd0"]


def test_boxes_grow_with_the_square_root_of_map_size_and_channels() -> None:
    boxes = find_3x3_boxes(draw_networks([describe({"stages": "64 | 128 | 256 / 256", "head": {"hidden": []}}, 64)]))[
        :4
    ]
    widths, heights = [box[0] for box in boxes], [box[1] for box in boxes]
    assert widths == sorted(widths)
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == pytest.approx(2 * heights[2], rel=0.01)  # a quarter of the side, by square roots
    assert widths[2] == pytest.approx(2 * widths[0], rel=0.01)


def test_kernels_of_one_colour_share_an_entry_of_the_legend() -> None:
    words = [
        box.words for box in find_labels(draw_networks([describe({"stages": "16 16@1x3 | 16@3x1 16@5 | 16@1x5"})]))
    ]
    assert "conv 1×3, 3×1, 3×3" in words
    assert "conv 1×5, 5×5" in words


def test_differences_from_the_base_are_marked_in_words() -> None:
    words = [box.words for box in find_labels(draw_networks([describe("B"), describe("shallow")]))]
    assert "conv5-64 *" in words
    assert "missing *" in words
    assert "* differs from the base" in words


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_text_is_wider_than_its_measured_width(text: str) -> None:
    if text.strip():
        assert measure_text(text.strip(), 10, False) <= measure_text_width(text.strip(), 10) * 1.02

"""The picture of a net: labels never overlap, sides follow the layers, and the bytes are always the same."""

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


def of(given: object, image_size: int = 32, name: str = "net") -> NetDescription:
    arch = Arch.model_validate(given).with_shape(Shape(image_size, 3, 10))
    return NetDescription(name, arch.to_normal_form())


stages = st.lists(
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


def notation(drawn_stages: list[tuple[list[tuple[int, str, str]], str]]) -> str:
    text = " ".join(
        " ".join(f"{channels}{kernel}{then}" for channels, kernel, then in convs) + f" {end}"
        for convs, end in drawn_stages
    )
    return text.removesuffix(" |")


@settings(max_examples=30, deadline=None)
@given(
    stages,
    st.lists(st.sampled_from([1, 64, 4096, 10**6]), max_size=3),
    st.sampled_from(["none", "batch", "lrn"]),
    st.sampled_from(["none", "global", 7]),
)
def test_labels_never_overlap(
    some: list[tuple[list[tuple[int, str, str]], str]], hidden: list[int], norm: str, pool: str | int
) -> None:
    arch = {"stages": notation(some), "norm": norm, "head": {"hidden": hidden, "pool": pool}}
    try:
        one = of(arch, 64)
        drawing = draw_networks([one])
    except SpecError:  # a net that cannot exist
        return
    assert_readable(drawing)
    assert_readable(draw_networks([of("B", 64, "base"), one]))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_drawn(name: str) -> None:
    assert_readable(draw_networks([of(name, 224, name)]))


def test_the_same_nets_give_the_same_bytes() -> None:
    assert draw_networks([of("D"), of("C")]) == draw_networks([of("D"), of("C")])


def boxes(svg: str) -> list[tuple[float, float]]:
    found = (re.search(r'width="([\d.]+)" height="([\d.]+)" fill="(#\w+)"', line) for line in svg.splitlines())
    return [(float(one[1]), float(one[2])) for one in found if one and one[3] == "#2f8fd0"]  # convolutions of 3x3


def test_carriages_are_as_high_as_their_maps_and_as_wide_as_their_channels() -> None:
    cars = boxes(draw_networks([of({"stages": "64 | 128 | 256 / 256", "head": {"hidden": []}}, 64)]))[:4]
    widths, heights = [car[0] for car in cars], [car[1] for car in cars]
    assert widths == sorted(widths)
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == pytest.approx(2 * heights[2], rel=0.01)  # a quarter of the side, by square roots
    assert widths[2] == pytest.approx(2 * widths[0], rel=0.01)


def test_kernels_of_one_colour_share_their_place_in_the_legend() -> None:
    words = [box.words for box in find_labels(draw_networks([of({"stages": "16 16@1x3 | 16@3x1 16@5 | 16@1x5"})]))]
    assert "conv 1×3, 3×1, 3×3" in words
    assert "conv 1×5, 5×5" in words


def test_what_differs_from_the_base_is_said_in_words() -> None:
    words = [box.words for box in find_labels(draw_networks([of("B"), of("shallow")]))]
    assert "conv5-64 *" in words
    assert "gone *" in words
    assert "* differs from the base" in words


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_words_are_never_wider_than_they_were_thought_to_be(words: str) -> None:
    if words.strip():
        assert measure_text(words.strip(), 10, False) <= measure_text_width(words.strip(), 10) * 1.02

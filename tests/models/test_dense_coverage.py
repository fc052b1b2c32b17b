"""Test scales that dense evaluation covers well enough, and the errors for the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.nets import archs, make_arch
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.config.training import Evaluate
from vgg_ablate.models.dense_coverage import (
    MIN_COVERAGE,
    compute_coverage,
    compute_dense_side,
    covers_enough,
    find_nearest_scales,
    find_scale_problems,
)

B = make_arch("B", Shape(32, 3, 10))
EIGHTH = make_arch({"stages": "16 16 | 32 32 | 64 64 /"}, Shape(28, 3, 10))  # the paper's geometry divided by eight


@pytest.mark.parametrize(
    ("net", "scale", "side"),
    [
        *((B, scale, side) for scale, side in ((32, 32), (36, 32), (55, 32), (63, 32), (64, 64), (73, 64))),
        *((EIGHTH, scale, side) for scale, side in ((28, 28), (31, 28), (32, 32), (48, 48), (55, 52), (64, 64))),
    ],
)
def test_windows_of_the_nets_size_at_multiples_of_the_stride_cover_the_image(net: Arch, scale: int, side: int) -> None:
    assert compute_dense_side(net, scale) == side
    assert compute_coverage(net, scale) == side**2 / scale**2


def test_a_net_that_drops_pixels_of_its_own_images_drops_as_many_of_larger_ones() -> None:
    net = make_arch({"stages": "4@1 | 8@1 | 8@1"}, Shape(30, 3, 10))  # 30 -> 15 -> 7 -> 3: covers 24 pixels
    assert [compute_dense_side(net, scale) for scale in (30, 31, 32, 37, 38)] == [30, 30, 32, 32, 38]
    assert [round(compute_coverage(net, scale) * scale**2) for scale in (30, 32, 38)] == [24**2, 32**2, 32**2]
    assert covers_enough(net, 30), "the net covers no more of its centre crop"
    assert find_nearest_scales(net, 38) == (33, 40)


@settings(max_examples=50, deadline=None)
@given(archs(), st.integers(1, 40))
def test_the_proposed_scales_are_the_nearest_that_cover_enough(net: Arch, excess: int) -> None:
    size = net.image_size or 0
    scale = size + excess
    below, above = find_nearest_scales(net, scale)
    assert size <= below < scale < above
    assert all(scale == size or compute_coverage(net, scale) >= MIN_COVERAGE for scale in (below, above))
    between = [other for other in range(below + 1, above) if other != scale]
    assert all(compute_coverage(net, other) < MIN_COVERAGE for other in between)


@pytest.mark.parametrize(
    ("evaluate", "messages"),
    [
        ({"view": "dense"}, []),
        ({"view": "dense", "scales": [32, 33, 64]}, []),
        ({"view": ["single", "crops"], "scales": [36, 55]}, []),
        (
            {"view": ["crops", "dense"], "scales": [32, 55, 90]},
            [
                "data.evaluate.scales: dense evaluation at 55 pixels covers 33 % of the image; "
                "nearest scales that cover at least 90 %: 33, 64",
                "data.evaluate.scales: dense evaluation at 90 pixels covers 50 % of the image; "
                "nearest scales that cover at least 90 %: 67, 96",
            ],
        ),
        ({"scales": 24}, ["data.evaluate.scales: must not be less than the net's image size 32, got 24"]),
    ],
    ids=str,
)
def test_a_dense_scale_that_covers_too_little_is_named_with_the_nearest_that_do(
    evaluate: dict[str, Any], messages: list[str]
) -> None:
    assert [str(problem) for problem in find_scale_problems(B, Evaluate.model_validate(evaluate))] == messages

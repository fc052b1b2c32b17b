"""Properties of kernel factorisation: rules keep the receptive field and change the activations as documented."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional

from tests.models.nets import make_arch
from vgg_ablate.config.arch import Arch, KernelRule
from vgg_ablate.config.datasets import Shape
from vgg_ablate.config.kernel_rewrites import RULE_DESCRIPTIONS, PlainConv, apply_between, rewrite_stage
from vgg_ablate.models.layers import Conv, Pool, build_layers, split_head
from vgg_ablate.models.receptive_field import trace_receptive_fields

SHAPE = Shape(64, 3, 10)
CONV = st.sampled_from(["8", "8@5", "8@7", "8@1", "8@1x3"])
STAGES = st.lists(st.lists(CONV, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=4).map(" | ".join)
FIELD_KEEPING_RULES = st.sampled_from([3, 5, 7, "1xn"])


def fields_before_pools(net: Arch) -> list[tuple[int, int]]:
    body, _ = split_head(build_layers(net))
    receptive_fields = trace_receptive_fields(body)
    return [receptive_fields[index - 1].field for index, layer in enumerate(body) if isinstance(layer, Pool)]


def make_net(stages: str, **knobs: object) -> Arch:
    try:
        return make_arch({"stages": stages, **knobs}, SHAPE)
    except ValueError:
        assume(False)
        raise


@given(STAGES, st.lists(FIELD_KEEPING_RULES, min_size=1, max_size=3))
def test_the_receptive_field_after_every_stage_is_kept(stages: str, rules: list[int | str]) -> None:
    assert fields_before_pools(make_net(stages, kernel=rules)) == fields_before_pools(make_net(stages))


@given(STAGES, st.sampled_from([3, 5, 7]))
def test_every_kernel_can_be_set_while_the_depth_stays(stages: str, side: int) -> None:
    before, after = make_net(stages), make_net(stages, kernel=f"every-{side}")
    assert [[conv.channels for conv in stage.convs] for stage in after.stages] == [
        [conv.channels for conv in stage.convs] for stage in before.stages
    ]
    assert {conv.kernel for stage in after.stages for conv in stage.convs} == {(side, side)}


@given(st.integers(1, 4), st.sampled_from([(5, 2), (7, 3)]))
def test_splitting_undoes_merging(times: int, rule: tuple[int, int]) -> None:
    side, count = rule
    convs = [PlainConv(8, (3, 3), "activation")] * (times * count)
    assert rewrite_stage(rewrite_stage(convs, side), 3) == convs


@given(st.integers(1, 9), st.sampled_from([(5, 2), (7, 3)]))
def test_a_merged_group_has_one_activation(depth: int, rule: tuple[int, int]) -> None:
    side, count = rule
    merged = rewrite_stage([PlainConv(8, (3, 3), "activation")] * depth, side)
    assert [conv.kernel for conv in merged] == [(side, side)] * (depth // count) + [(3, 3)] * (depth % count)
    assert all(conv.then == "activation" for conv in merged)


@given(STAGES)
def test_rows_and_columns_have_an_activation_each(stages: str) -> None:
    before, after = make_net(stages), make_net(stages, kernel="1xn")
    square = sum(1 not in conv.kernel for stage in before.stages for conv in stage.convs)
    count = sum(len(stage.convs) for stage in before.stages)
    assert sum(conv.then == "activation" for stage in after.stages for conv in stage.convs) == count + square
    assert all(1 in conv.kernel for stage in after.stages for conv in stage.convs)


def test_every_rule_has_a_description() -> None:
    assert set(RULE_DESCRIPTIONS) == set(get_args(KernelRule))


def test_rules_turn_configurations_of_the_paper_into_each_other() -> None:
    assert make_arch({"preset": "D", "kernel": "1x1-last"}) == make_arch("C")
    assert make_arch({"preset": "B", "kernel": 5}) == make_arch("shallow")
    assert make_arch({"preset": "shallow", "kernel": 3}) == make_arch("B")
    assert make_arch({"preset": "B", "depth": [2, 2, 3, 3, 3]}) == make_arch("D")
    assert make_arch({"preset": "D", "depth": [1, 1, 2, 2, 2]}) == make_arch("A")


def test_one_stage_can_be_rewritten_alone() -> None:
    first = make_arch(
        {"stages": [{"convs": [{"channels": 8}] * 2, "kernel": 5}, {"convs": [{"channels": 16}] * 2}]}, SHAPE
    )
    assert first.to_notation() == "8@5 | 16 16"


@given(st.integers(1, 8), st.sampled_from([None, 1, 2, 3]), st.sampled_from(["none", "norm"]))
def test_only_the_last_of_a_stack_keeps_its_activation(depth: int, stack: int | None, between: str) -> None:
    convs = apply_between([PlainConv(8, (3, 3), "activation")] * depth, between, stack)
    size = stack or depth
    kept = [index for index, conv in enumerate(convs) if conv.then == "activation"]
    assert kept == sorted({*range(size - 1, depth, size), depth - 1})
    assert {conv.then for conv in convs} <= {"activation", "norm" if between == "norm" else "nothing"}


@given(st.integers(0, 1000), st.sampled_from([2, 3]))
def test_a_linear_stack_of_3x3_is_exactly_one_larger_kernel(seed: int, count: int) -> None:
    """Claim A05, in float64 and without padding: the kernel is the response of the stack to single pixels."""
    side, draw = 2 * count + 1, torch.Generator().manual_seed(seed)
    widths = [3, 4, 5, 2][: count + 1]
    kernels = [torch.randn(b, a, 3, 3, generator=draw, dtype=torch.float64) for a, b in pairwise(widths)]

    def stack(maps: torch.Tensor) -> torch.Tensor:
        for kernel in kernels:
            maps = functional.conv2d(maps, kernel)
        return maps

    pixels = torch.zeros(3, 3, 2 * side - 1, 2 * side - 1, dtype=torch.float64)
    for channel in range(3):
        pixels[channel, channel, side - 1, side - 1] = 1
    whole = stack(pixels).flip(2, 3).transpose(0, 1)
    assert whole.shape == (widths[-1], 3, side, side)
    image = torch.randn(1, 3, 17, 17, generator=draw, dtype=torch.float64)
    assert torch.allclose(functional.conv2d(image, whole), stack(image), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("stages", "rule"),
    [("8 | 8", 5), ("8 8 | 8 8", 7), ("8@1 | 8@1", "1xn"), ("8 8@1", 3), ("8@5 8", 5), ("8 8", "1x1-last")],
)
def test_a_rule_that_applies_to_nothing_is_an_error(stages: str, rule: object) -> None:
    with pytest.raises(ValueError, match="no convolution to rewrite"):
        make_arch({"stages": stages, "kernel": rule}, SHAPE)


def test_a_rule_of_a_stage_that_applies_to_nothing_is_an_error() -> None:
    convs = [{"channels": 8}, {"channels": 8}]
    assert make_arch({"stages": [{"convs": convs, "kernel": 3}]}, SHAPE).to_notation() == "8 8"
    with pytest.raises(ValueError, match=r"stages\[0\].kernel: no convolution to rewrite"):
        make_arch({"stages": [{"convs": convs, "kernel": 7}]}, SHAPE)


@pytest.mark.parametrize(
    ("stages", "rule"),
    [
        ("8 8 | 16", 3),
        ("8@5 | 16@5", 5),
        ("8@7", 7),
        ("8@1x3 8@3x1 | 16@1x5", "1xn"),
        ("8 8", [3, 3]),
        ("8@5 | 8@5", "every-5"),
    ],
)
def test_a_net_that_already_has_the_form_of_a_rule_is_unchanged(stages: str, rule: object) -> None:
    """A factor can then have the levels 3 and 5 on a net of 3x3 kernels."""
    plain = make_arch({"stages": stages}, SHAPE)
    assert make_arch({"stages": stages, "kernel": rule}, SHAPE).to_notation() == plain.to_notation() == stages


def test_convolutions_stay_odd_and_padded() -> None:
    net = build_layers(make_arch({"preset": "D", "kernel": [7, "1xn"]}))
    convs = [layer for layer in net if isinstance(layer, Conv)]
    assert all(layer.size == layer.size_in for layer in convs)

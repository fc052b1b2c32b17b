"""Nets that cannot exist are refused with one line; unusual nets that can exist are built. Memory estimates."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.nets import make_arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.errors import SpecError
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.models.layers import Conv, Pool, build_layers
from vgg_ablate.models.memory import build_size_warning, estimate_training_memory

CIFAR = Shape(32, 3, 10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stages": "8 | 8 | 8 | 8 | 8 | 8"}, "arch.stages[5].pool: pooling number 6 finds a 1x1 map"),
        ({"stages": "8 | 8 | 8 | 8 | 8@7"}, "arch.stages[4].convs[0].kernel: most of the kernel lies outside the 2x2"),
        ({"stages": "12", "norm": {"kind": "group", "groups": 8}}, "arch.stages[0].convs[0].channels: must be a mult"),
    ],
)
def test_a_net_that_cannot_exist_is_refused_with_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_layers(make_arch(given, CIFAR))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"stages": "8 | 8 | 8 | 8 | 8@5"},  # a padded kernel over the edges of a 2x2 map: the shallow net on CIFAR
        {"stages": "8 | 8 | 8 | 8 | 8 | 8 /"},  # 3x3 on 1x1
        {"stages": "8", "head": {"pool": 7, "hidden": [4, 4, 4]}},
        {"stages": "8 | 8 | 8 | 8 | 8", "head": {"pool": 7}},  # torchvision's pooling of 1x1 to 7x7: copies
    ],
)
def test_an_unusual_net_that_can_exist_has_costs(given: dict[str, Any]) -> None:
    assert compute_costs(make_arch(given, CIFAR)).params > 0


def test_five_poolings_reduce_32_px_to_a_map_of_1x1() -> None:
    last = [layer for layer in build_layers(make_arch({"preset": "D"}, CIFAR)) if isinstance(layer, Conv)][-1]
    assert last.size == 2
    assert compute_costs(make_arch({"preset": "D", "head": {"hidden": []}}, CIFAR)).params == 14_719_818


def test_a_billion_parameters_give_a_warning_with_the_memory_that_they_need() -> None:
    params = compute_costs(make_arch({"preset": "D", "width": 10.0}, Shape(224, 3, 1000))).params
    warning = build_size_warning(params)
    assert warning is not None
    assert f"{3 * 4 * params / 2**30:,.0f} GiB" in warning
    assert build_size_warning(138_357_544) is None


def test_memory_grows_with_the_batch_the_precision_and_the_optimizer_states() -> None:
    net = make_arch({"preset": "A"}, CIFAR)
    half = estimate_training_memory(net, 8, precision_bytes=2)
    full = estimate_training_memory(net, 8)
    indices = 8 * 8 * sum(layer.channels * layer.size**2 for layer in build_layers(net) if isinstance(layer, Pool))
    assert full.activations - indices == 2 * (half.activations - indices)  # positions of maxima are int64 in both
    adam, plain = estimate_training_memory(net, 8, states=2), estimate_training_memory(net, 8, states=0)
    assert adam.weights == adam.gradients == 4 * compute_costs(net).params
    assert adam.total - plain.total == 8 * compute_costs(net).params
    assert estimate_training_memory(net, 16).activations == 2 * adam.activations

"""What cannot exist is refused in one line that says where; what looks odd but can exist, exists."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.nets import make_arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.errors import SpecError
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.models.layers import Conv, build_layers
from vgg_ablate.models.memory import build_size_warning, compute_output_bytes, estimate_training_memory

CIFAR = Shape(32, 3, 10)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stages": "8 | 8 | 8 | 8 | 8 | 8"}, "arch.stages[5].pool: pooling number 6 finds a 1x1 map"),
        ({"stages": "8 | 8 | 8 | 8 | 8@7"}, "arch.stages[4].convs[0].kernel: most of the kernel lies outside the 2x2"),
        ({"stages": "12", "norm": {"kind": "group", "groups": 8}}, "arch.stages[0].convs[0].channels: must be a mult"),
    ],
)
def test_what_cannot_exist_is_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_layers(make_arch(given, CIFAR))
    assert said in str(caught.value)
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
def test_what_can_exist_does(given: dict[str, Any]) -> None:
    assert compute_costs(make_arch(given, CIFAR)).params > 0


def test_one_by_one_maps_are_what_five_poolings_leave_of_32_px() -> None:
    last = [layer for layer in build_layers(make_arch({"preset": "D"}, CIFAR)) if isinstance(layer, Conv)][-1]
    assert last.size == 2
    assert compute_costs(make_arch({"preset": "D", "head": {"hidden": []}}, CIFAR)).params == 14_719_818


def test_a_billion_parameters_are_warned_of_before_anything_is_allocated() -> None:
    found = compute_costs(make_arch({"preset": "D", "width": 10.0}, Shape(224, 3, 1000)))
    said = build_size_warning(found.params)
    assert said is not None
    assert "GiB" in said
    assert build_size_warning(138_357_544) is None


def test_bytes_follow_the_batch_and_the_precision() -> None:
    net = make_arch({"preset": "A"}, CIFAR)
    assert compute_output_bytes(net, 1) == 4 * compute_costs(net).activations
    assert compute_output_bytes(net, 8, precision_bytes=2) == 16 * compute_costs(net).activations
    adam, plain = estimate_training_memory(net, 8, states=2), estimate_training_memory(net, 8, states=0)
    assert adam.weights == adam.gradients == 4 * compute_costs(net).params
    assert adam.total - plain.total == 8 * compute_costs(net).params
    assert estimate_training_memory(net, 16).activations == 2 * adam.activations

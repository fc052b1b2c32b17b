"""The paper's nets as they were: 224 px, three channels, 1000 classes; and small stacks to count on."""

from __future__ import annotations

from functools import cache

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.models.costs import count_params
from vgg_ablate.models.layers import Conv, Layer, build_layers

TABLE_1_NETS = ("A", "A-LRN", "B", "C", "D", "E")


@cache
def build_net_layers(preset: str, image_size: int = 224, channels: int = 3, classes: int = 1000) -> tuple[Layer, ...]:
    """The layers of a preset."""
    arch = Arch.model_validate({"preset": preset})
    return build_layers(arch.with_shape(Shape(image_size, channels, classes)).to_normal_form())


def build_stack_layers(stages: str, *, channels: int, **knobs: object) -> tuple[Layer, ...]:
    """The layers of a few convolutions without biases on maps of 32 px, without pooling and without the head."""
    arch = Arch.model_validate({"stages": f"{stages} /", "bias": False, **knobs})
    shaped = arch.with_shape(Shape(32, channels, 2)).to_normal_form()
    found = build_layers(shaped)
    return tuple(layer for layer in found if not layer.name.startswith(("flatten", "fc")))


def select_convs(net: tuple[Layer, ...]) -> tuple[Conv, ...]:
    """Those of its layers."""
    return tuple(layer for layer in net if isinstance(layer, Conv))


def sum_params(net: tuple[Layer, ...]) -> int:
    """Of all its layers."""
    return sum(count_params(layer) for layer in net)

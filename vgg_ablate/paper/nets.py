"""The paper's nets as they were: 224 px, three channels, 1000 classes; and small stacks to count on."""

from __future__ import annotations

from functools import cache

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.models.costs import params
from vgg_ablate.models.layers import Conv, Layer, layers

TABLE_1 = ("A", "A-LRN", "B", "C", "D", "E")


@cache
def net(preset: str, image_size: int = 224, channels: int = 3, classes: int = 1000) -> tuple[Layer, ...]:
    """The layers of a preset."""
    arch = Arch.model_validate({"preset": preset})
    return layers(arch.with_shape(Shape(image_size, channels, classes)).spelled_out())


def stack(stages: str, *, channels: int, **knobs: object) -> tuple[Layer, ...]:
    """The layers of a few convolutions without biases on maps of 32 px, without pooling and without the head."""
    arch = Arch.model_validate({"stages": f"{stages} /", "bias": False, **knobs})
    shaped = arch.with_shape(Shape(32, channels, 2)).spelled_out()
    found = layers(shaped)
    return tuple(layer for layer in found if not layer.name.startswith(("flatten", "fc")))


def convolutions(net: tuple[Layer, ...]) -> tuple[Conv, ...]:
    """Those of its layers."""
    return tuple(layer for layer in net if isinstance(layer, Conv))


def total_params(net: tuple[Layer, ...]) -> int:
    """Of all its layers."""
    return sum(params(layer) for layer in net)

"""Layers of the paper's nets at their original size, and of small stacks of convolutions."""

from __future__ import annotations

from functools import cache

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.models.costs import count_params
from vgg_ablate.models.layers import Conv, Layer, build_layers

TABLE_1_NETS = ("A", "A-LRN", "B", "C", "D", "E")


@cache  # most statements look at the same few nets
def build_net_layers(preset: str, image_size: int = 224, channels: int = 3, classes: int = 1000) -> tuple[Layer, ...]:
    """Return the layers of a preset, for ImageNet's shape unless another is given."""
    arch = Arch.model_validate({"preset": preset})
    return build_layers(arch.with_shape(Shape(image_size, channels, classes)).to_normal_form())


def build_stack_layers(stages: str, *, channels: int, **knobs: object) -> tuple[Layer, ...]:
    """Return the layers of a few convolutions on maps of 32 x 32, without biases, pooling and head."""
    arch = Arch.model_validate({"stages": f"{stages} /", "bias": False, **knobs})
    layers = build_layers(arch.with_shape(Shape(32, channels, 2)).to_normal_form())
    return tuple(layer for layer in layers if not layer.name.startswith(("flatten", "fc")))


def select_convs(layers: tuple[Layer, ...]) -> tuple[Conv, ...]:
    """Return the convolutions among the layers."""
    return tuple(layer for layer in layers if isinstance(layer, Conv))


def sum_params(layers: tuple[Layer, ...]) -> int:
    """Return the number of parameters of all layers, biases included."""
    return sum(count_params(layer) for layer in layers)

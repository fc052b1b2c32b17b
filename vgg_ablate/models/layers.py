"""Expansion of an arch into its layers, each with its shape.

Only this module decides how layers follow each other. Costs, the torch module, diagrams and error messages all read the
same tuple of layers, so that they always describe the same net.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from vgg_ablate.config.arch import Arch, BatchNorm, GroupNorm, LocalResponseNorm, Stage
from vgg_ablate.errors import Problem, SpecError


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution; maps are `size` x `size` after it and `size_in` x `size_in` before it."""

    name: str
    in_channels: int
    channels: int
    kernel: tuple[int, int]  # rows, columns
    stride: int
    padding: tuple[int, int]
    bias: bool
    size_in: int
    size: int


@dataclass(frozen=True, slots=True)
class Norm:
    """A normalisation of `channels` maps of `size` x `size`."""

    name: str
    spec: BatchNorm | GroupNorm | LocalResponseNorm
    channels: int
    size: int


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation of `channels` maps of `size` x `size`; of a vector, `size` is 1."""

    name: str
    kind: str
    channels: int
    size: int


@dataclass(frozen=True, slots=True)
class Pool:
    """A 2x2 pooling with stride 2 (max, average), or an adaptive average pooling to `size` x `size` (adaptive)."""

    name: str
    kind: str
    channels: int
    size_in: int
    size: int


@dataclass(frozen=True, slots=True)
class Flatten:
    """The step from maps to one vector of `features`."""

    name: str
    features: int


@dataclass(frozen=True, slots=True)
class Dense:
    """A fully connected layer."""

    name: str
    in_features: int
    features: int


@dataclass(frozen=True, slots=True)
class Dropout:
    """Dropout of a vector of `features`."""

    name: str
    features: int
    probability: float


HEAD_PREFIXES = ("avgpool", "flatten", "fc")  # name prefixes of the layers that a head can start with
Layer = Conv | Norm | Activation | Pool | Flatten | Dense | Dropout


def build_layers(arch: Arch) -> tuple[Layer, ...]:
    """Return the layers of an arch in its normal form (`Arch.to_normal_form`), in order.

    Raises SpecError where the net cannot exist (a map too small for a pooling or a kernel, channels that a group norm
    does not divide), and ValueError where the arch is not in its normal form.
    """
    if arch.image_size is None or arch.in_channels is None or arch.classes is None:
        raise ValueError("image_size, in_channels and classes must be known")
    layers: list[Layer] = []
    channels, size = arch.in_channels, arch.image_size
    for index, stage in enumerate(arch.stages):
        layers.extend(_build_stage(arch, index, stage, channels, size))
        channels = stage.convs[-1].channels
        if stage.pool:
            layers.append(_build_pooling(arch, index, channels, size))
            size //= 2
    return (*layers, *_build_head(arch, channels, size))


def split_head(net: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """Return the layers before the head, and those of the head."""
    head_indices = (index for index, layer in enumerate(net) if layer.name.startswith(HEAD_PREFIXES))
    start = next(head_indices, len(net))
    return net[:start], net[start:]


def find_copyable_layers(source: Arch, arch: Arch, convs: int) -> tuple[str, ...]:
    """Return the names of the layers whose weights can be copied from `source` to `arch`.

    These are the first `convs` convolutions and the dense layers of `source` for which `arch` has a layer of the same
    name and shape (paper, section 3.1: nets start from the first four convolutions and the dense layers of A).
    """
    shapes = {layer.name: _find_weight_shape(layer) for layer in build_layers(arch)}
    candidates = [layer for layer in build_layers(source) if isinstance(layer, Conv | Dense)]
    late = [layer.name for layer in candidates if isinstance(layer, Conv)][convs:]
    return tuple(
        layer.name
        for layer in candidates
        if layer.name not in late and shapes.get(layer.name) == _find_weight_shape(layer)
    )


def _find_weight_shape(layer: Layer) -> tuple[object, ...] | None:
    """Return what two layers must share for weights to be copied; None for layers without such weights."""
    if isinstance(layer, Conv):
        return layer.in_channels, layer.channels, layer.kernel, layer.bias
    return (layer.in_features, layer.features) if isinstance(layer, Dense) else None


def _build_stage(arch: Arch, index: int, stage: Stage, channels: int, size: int) -> Iterator[Layer]:
    for number, conv in enumerate(stage.convs, start=1):
        name = f"{index + 1}_{number}"
        rows, columns = conv.kernel
        # A kernel may be larger than its map, since maps are padded: the shallow preset on 32 px ends in 5x5 on 2x2.
        # Beyond 2 * size + 1, more than its outermost ring never meets the map, wherever it is placed.
        if max(rows, columns) > 2 * size + 1:
            path = f"arch.stages[{index}].convs[{number - 1}].kernel"
            rule = f"most of the kernel lies outside the {size}x{size} map"
            raise SpecError(Problem(rule, path, got=f"{rows}x{columns}"))
        yield Conv(
            f"conv{name}", channels, conv.channels, conv.kernel, 1, (rows // 2, columns // 2), arch.bias, size, size
        )
        channels = conv.channels
        if conv.then != "nothing" and isinstance(arch.norm, BatchNorm | GroupNorm):
            yield _build_norm(arch.norm, index, number, channels, size)
        if conv.then == "activation":
            yield Activation(f"{arch.activation}{name}", arch.activation, channels, size)
            # The paper's A-LRN has one such layer, after the first activation (table 1), and not one per convolution.
            if isinstance(arch.norm, LocalResponseNorm) and (index, number) == (0, 1):
                yield Norm(f"lrn{name}", arch.norm, channels, size)


def _build_norm(norm: BatchNorm | GroupNorm, index: int, number: int, channels: int, size: int) -> Norm:
    if isinstance(norm, GroupNorm) and channels % norm.groups:
        path = f"arch.stages[{index}].convs[{number - 1}].channels"
        raise SpecError(Problem(f"must be a multiple of the {norm.groups} groups of the norm", path, got=channels))
    return Norm(f"norm{index + 1}_{number}", norm, channels, size)


def _build_pooling(arch: Arch, index: int, channels: int, size: int) -> Conv | Pool:
    if size < 2:
        rule = (
            f"pooling number {index + 1} finds a {size}x{size} map that cannot be halved (image_size {arch.image_size})"
        )
        raise SpecError(Problem(rule, f"arch.stages[{index}].pool"))
    if arch.pool == "conv":
        return Conv(f"pool{index + 1}", channels, channels, (2, 2), 2, (0, 0), arch.bias, size, size // 2)
    return Pool(f"pool{index + 1}", arch.pool, channels, size, size // 2)


def _build_head(arch: Arch, channels: int, size: int) -> Iterator[Layer]:
    head, classes = arch.head, arch.classes or 0
    side = size if head.pool == "none" else 1 if head.pool == "global" else head.pool
    # An adaptive pooling to the side that the map has changes nothing at the net's own size. A convolutional head
    # leaves it out: it would pool the map of a larger image to that side too, and the head could not slide.
    slides = head.convolutional and side == size and head.pool != "global"
    if head.pool != "none" and not slides:
        yield Pool("avgpool", "adaptive", channels, size, side)
    if not head.convolutional:
        yield Flatten("flatten", channels * side * side)
    widths = (*head.hidden, classes)
    for number, (before, after) in enumerate(pairwise((channels, *widths))):
        name = f"{number + 6}"  # as in the published Caffe models: fc6, fc7, fc8
        window = side if number == 0 else 1
        if head.convolutional:
            yield Conv(f"fc{name}", before, after, (window, window), 1, (0, 0), True, window, 1)
        else:
            yield Dense(f"fc{name}", before * window * window, after)
        if number < len(head.hidden):
            yield Activation(f"{arch.activation}{name}", arch.activation, after, 1)
            yield Dropout(f"dropout{name}", after, head.dropout)

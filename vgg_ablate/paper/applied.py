"""A14, A15, A17 and A18: how the nets are applied, and for how long they are trained (paper, sections 3.1 and 3.2)."""

from __future__ import annotations

import numpy as np

from vgg_ablate.models.costs import count_macs, count_params
from vgg_ablate.models.layers import Conv, Dense, Pool
from vgg_ablate.paper.computed import Check, Computation
from vgg_ablate.paper.nets import build_net_layers, select_convs
from vgg_ablate.paper.stacks import convolve_maps

_SIDES = {224: 1, 256: 2, 288: 3, 352: 5, 384: 6, 416: 7, 512: 10}  # pixels of the image -> of the class map
_TRAINING_IMAGES = 1_281_167  # ILSVRC-2012


def check_dense_as_convolution() -> Computation:
    """A14: the same weights; and the same output, on small maps and in float64."""
    pairs = zip(_dense(), _as_convolutions(224), strict=True)
    same = [count_params(dense) == count_params(conv) for dense, conv in pairs]
    draw = np.random.default_rng(0)
    maps, hidden, classes = (draw.standard_normal(shape) for shape in ((6, 7, 7), (5, 6, 7, 7), (4, 5, 1, 1)))
    flat = classes[:, :, 0, 0] @ np.maximum(hidden.reshape(5, -1) @ maps.reshape(-1), 0)
    slid = convolve_maps(np.maximum(convolve_maps(maps, hidden), 0), classes)
    return Computation(
        (
            Check("fc6 as a 7x7 convolution", 102_764_544, count_params(_as_convolutions(224)[0]), "params"),
            Check("params of fc6, fc7 and fc8 stay", True, all(same)),
            Check("class map at the training size", (4, 1, 1), slid.shape),
            Check("output stays, to 1e-12", True, bool(np.allclose(slid[:, 0, 0], flat, rtol=1e-12, atol=0))),
        )
    )


def check_class_map_sizes() -> Computation:
    """A15."""
    return Computation(
        tuple(Check(f"{size} px", side, _as_convolutions(size)[-1].size, "a side") for size, side in _SIDES.items())
    )


def check_crop_macs() -> Computation:
    """A17: D, square image."""
    crops = 3 * 5 * 5 * 2
    of_crops = crops * _dense_macs(224)
    of_dense = sum(2 * _dense_macs(size) for size in (256, 384, 512))
    return Computation(
        (
            Check("5x5 grid and flips over 3 scales", 150, crops, "crops"),
            Check("crops", 2320.5, round(of_crops / 1e9, 1), "G macs"),
            Check("3 scales and 2 flips of dense evaluation", 325.3, round(of_dense / 1e9, 1), "G macs"),
            Check("crops cost", 7.1, round(of_crops / of_dense, 1), "times as much"),
        )
    )


def check_training_epochs() -> Computation:
    """A18."""
    epochs = 370_000 * 256 / _TRAINING_IMAGES
    return Computation((Check("370,000 x 256 / 1,281,167", 74, round(epochs), "epochs"),))


def _dense() -> list[Dense]:
    return [layer for layer in build_net_layers("D") if isinstance(layer, Dense)]


def _as_convolutions(image_size: int) -> list[Conv]:
    """D's dense layers as convolutions over the last map of an image of `image_size` pixels a side."""
    size = [layer for layer in build_net_layers("D", image_size) if isinstance(layer, Pool)][-1].size
    kernel = [layer for layer in build_net_layers("D") if isinstance(layer, Pool)][-1].size
    channels, found = select_convs(build_net_layers("D"))[-1].channels, []
    for dense in _dense():
        after = size - kernel + 1
        found.append(Conv(dense.name, channels, dense.features, (kernel, kernel), 1, (0, 0), True, size, after))
        channels, size, kernel = dense.features, after, 1
    return found


def _dense_macs(image_size: int) -> int:
    layers = (*select_convs(build_net_layers("D", image_size)), *_as_convolutions(image_size))
    return sum(count_macs(layer) for layer in layers)

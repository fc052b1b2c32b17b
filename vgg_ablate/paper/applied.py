"""Computations on evaluation and length of training: A14, A15, A17 and A18 (paper, sections 3.1 and 3.2)."""

from __future__ import annotations

import numpy as np

from vgg_ablate.models.costs import count_macs, count_params
from vgg_ablate.models.layers import Conv, Dense, Pool
from vgg_ablate.paper.computed import Check, Computation
from vgg_ablate.paper.nets import build_net_layers, select_convs
from vgg_ablate.paper.stacks import convolve_maps

# image size in pixels -> side of the class map. Five poolings leave size / 32, then the 7x7 loses six.
_CLASS_MAP_SIDES = {224: 1, 256: 2, 288: 3, 352: 5, 384: 6, 416: 7, 512: 10}
_TRAINING_IMAGES = 1_281_167  # of ILSVRC-2012; the paper prints 1.3M


def check_dense_as_convolution() -> Computation:
    """Compare the parameters of D's dense layers with those of the convolutions, and both outputs (A14).

    The outputs are those of small random layers in float64: at full size fc6 alone would take 800 MB.
    """
    pairs = zip(_list_dense_layers(), _convert_dense_layers(224), strict=True)
    equal_params = [count_params(dense) == count_params(conv) for dense, conv in pairs]
    generator = np.random.default_rng(0)
    maps, hidden, classes = (generator.standard_normal(shape) for shape in ((6, 7, 7), (5, 6, 7, 7), (4, 5, 1, 1)))
    flat = classes[:, :, 0, 0] @ np.maximum(hidden.reshape(5, -1) @ maps.reshape(-1), 0)
    class_map = convolve_maps(np.maximum(convolve_maps(maps, hidden), 0), classes)
    return Computation(
        (
            Check("fc6 as a 7x7 convolution", 102_764_544, count_params(_convert_dense_layers(224)[0]), "params"),
            Check("params of fc6, fc7 and fc8 stay", True, all(equal_params)),
            Check("class map at the training size", (4, 1, 1), class_map.shape),
            Check("output stays, to 1e-12", True, bool(np.allclose(class_map[:, 0, 0], flat, rtol=1e-12, atol=0))),
        )
    )


def check_class_map_sizes() -> Computation:
    """Compute the side of D's class map for each image size (A15)."""
    return Computation(
        tuple(
            Check(f"{size} px", side, _convert_dense_layers(size)[-1].size, "per side")
            for size, side in _CLASS_MAP_SIDES.items()
        )
    )


def check_crop_macs() -> Computation:
    """Compare the MACs of 150 crops with those of dense evaluation, for D and a square image (A17)."""
    crops = 3 * 5 * 5 * 2  # scales x grid x flips
    crop_macs = crops * _count_dense_macs(224)
    dense_macs = sum(2 * _count_dense_macs(size) for size in (256, 384, 512))
    return Computation(
        (
            Check("5x5 grid and flips over 3 scales", 150, crops, "crops"),
            Check("crops", 2320.5, round(crop_macs / 1e9, 1), "G MACs"),
            Check("3 scales and 2 flips of dense evaluation", 325.3, round(dense_macs / 1e9, 1), "G MACs"),
            Check("crops cost", 7.1, round(crop_macs / dense_macs, 1), "times as much"),
        )
    )


def check_training_epochs() -> Computation:
    """Convert iterations into epochs (A18)."""
    epochs = 370_000 * 256 / _TRAINING_IMAGES
    return Computation((Check("370,000 x 256 / 1,281,167", 74, round(epochs), "epochs"),))


def _list_dense_layers() -> list[Dense]:
    return [layer for layer in build_net_layers("D") if isinstance(layer, Dense)]


def _convert_dense_layers(image_size: int) -> list[Conv]:
    """Return D's dense layers as convolutions over its last map, for an image of `image_size` x `image_size`."""
    size = [layer for layer in build_net_layers("D", image_size) if isinstance(layer, Pool)][-1].size
    kernel = [layer for layer in build_net_layers("D") if isinstance(layer, Pool)][-1].size
    channels, convs = select_convs(build_net_layers("D"))[-1].channels, []
    for dense in _list_dense_layers():
        after = size - kernel + 1
        convs.append(Conv(dense.name, channels, dense.features, (kernel, kernel), 1, (0, 0), True, size, after))
        channels, size, kernel = dense.features, after, 1
    return convs


def _count_dense_macs(image_size: int) -> int:
    layers = (*select_convs(build_net_layers("D", image_size)), *_convert_dense_layers(image_size))
    return sum(count_macs(layer) for layer in layers)

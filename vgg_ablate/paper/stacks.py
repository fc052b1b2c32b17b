"""A01 to A05 and N1 to N4: stacks of small convolutions against one large one (paper, section 2.3)."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vgg_ablate.models.costs import compute_receptive_field, count_activations
from vgg_ablate.models.layers import Activation, Layer
from vgg_ablate.paper.computed import Check, Computation
from vgg_ablate.paper.nets import build_stack_layers, sum_params

FloatMaps = NDArray[np.float64]
_C = 64  # channels in and out; the ratios hold for any


def check_field_of_two_3x3() -> Computation:
    """A01."""
    return Computation((*_same_field(2, 5),))


def check_field_of_three_3x3() -> Computation:
    """A02."""
    return Computation((*_same_field(3, 7),))


def check_weights_of_three_3x3() -> Computation:
    """A03."""
    three, seven = sum_params(_threes(3)), sum_params(_single(7))
    return Computation(
        (
            Check(f"three 3x3, C = {_C}", 27 * _C**2, three, "weights"),
            Check(f"one 7x7, C = {_C}", 49 * _C**2, seven, "weights"),
            Check("more weights in the 7x7", 81, round(100 * (seven / three - 1)), "%"),
        )
    )


def check_activations_of_three_3x3() -> Computation:
    """A04."""
    return Computation(
        (Check("three 3x3", 3, _acts(_threes(3)), "ReLU"), Check("one 7x7", 1, _acts(_single(7)), "ReLU"))
    )


def check_composed_kernel() -> Computation:
    """A05: three random 3x3, without activation and padding, against the 7x7 that they compose to, in float64."""
    draw = np.random.default_rng(0)
    image = draw.standard_normal((3, 20, 20))
    kernels = [draw.standard_normal(shape) for shape in ((4, 3, 3, 3), (5, 4, 3, 3), (2, 5, 3, 3))]
    one_by_one = image
    for kernel in kernels:
        one_by_one = convolve_maps(one_by_one, kernel)
    whole = compose_kernels(compose_kernels(kernels[0], kernels[1]), kernels[2])
    difference = float(np.abs(convolve_maps(image, whole) - one_by_one).max() / np.abs(one_by_one).max())
    return Computation(
        (
            Check("side of the composed kernel", 7, whole.shape[-1], "pixels"),
            Check("largest relative difference below 1e-12", True, difference < 1e-12),
        )
    )


def check_stacks_replace_kernels() -> Computation:
    """N1."""
    return Computation((*_same_field(3, 7), *_same_field(2, 5), *check_composed_kernel().checks))


def check_weights_of_stacks() -> Computation:
    """N2: per pair of channels, n x n against its stack of 3x3."""
    one = {side: sum_params(_single(side)) // _C**2 for side in (5, 7)}
    many = {side: sum_params(_threes(side // 2)) // _C**2 for side in (5, 7)}
    saved = [1 - many[side] / one[side] for side in (5, 7)]
    return Computation(
        (
            Check("one 5x5", 25, one[5], "weights"),
            Check("two 3x3", 18, many[5], "weights"),
            Check("one 7x7", 49, one[7], "weights"),
            Check("three 3x3", 27, many[7], "weights"),
            Check("the longer stack saves more", True, saved[1] > saved[0]),
        )
    )


def check_fields_of_stacks() -> Computation:
    """N3."""
    return Computation(
        (
            Check(
                "1, 2, 3, 4 times 3x3",
                (3, 5, 7, 9),
                tuple(compute_receptive_field(_threes(n)) for n in range(1, 5)),
                "pixels",
            ),
        )
    )


def check_activations_between() -> Computation:
    """N4: an activation after each layer of the stack, at the same size of the maps."""
    pair, linear, five = _threes(2), build_stack_layers(f"{_C}*2", channels=_C, between="none"), _single(5)
    return Computation(
        (
            Check("two 3x3", 2, _acts(pair), "activation layers"),
            Check("two 3x3 without one in between", 1, _acts(linear), "activation layer"),
            Check("one 5x5", 1, _acts(five), "activation layer"),
            Check("weights with and without are equal", True, sum_params(pair) == sum_params(linear)),
            Check("activated elements, pair over 5x5", 2, _elements(pair) // _elements(five), "times"),
        )
    )


def convolve_maps(image: FloatMaps, kernel: FloatMaps) -> FloatMaps:
    """`image` (in, H, W) by `kernel` (out, in, n, n), stride 1, no padding: (out, H - n + 1, W - n + 1)."""
    windows = sliding_window_view(image, kernel.shape[2:], axis=(1, 2))  # in, H', W', n, n
    maps: FloatMaps = np.einsum("ihwrc,oirc->ohw", windows, kernel)
    return maps


def compose_kernels(first: FloatMaps, second: FloatMaps) -> FloatMaps:
    """The one kernel (out, in, n + m - 1, n + m - 1) that does what `first`, then `second`, do."""
    side = first.shape[2] + second.shape[2] - 1
    whole = np.zeros((second.shape[0], first.shape[1], side, side))
    for row in range(second.shape[2]):
        for column in range(second.shape[3]):
            part = np.einsum("om,mirc->oirc", second[:, :, row, column], first)
            whole[:, :, row : row + first.shape[2], column : column + first.shape[3]] += part
    return whole


def _same_field(count: int, side: int) -> tuple[Check, Check]:
    words = {2: "two", 3: "three"}
    return (
        Check(f"{words[count]} 3x3", side, compute_receptive_field(_threes(count)), "pixels"),
        Check(f"one {side}x{side}", side, compute_receptive_field(_single(side)), "pixels"),
    )


def _threes(count: int) -> tuple[Layer, ...]:
    return build_stack_layers(f"{_C}*{count}", channels=_C)


def _single(side: int) -> tuple[Layer, ...]:
    return build_stack_layers(f"{_C}@{side}", channels=_C)


def _acts(net: tuple[Layer, ...]) -> int:
    return sum(isinstance(layer, Activation) for layer in net)


def _elements(net: tuple[Layer, ...]) -> int:
    return sum(count_activations(layer) for layer in net)

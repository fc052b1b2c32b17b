"""Computations on stacks of small convolutions against one large one: A01 to A05, N1 to N4 (paper, section 2.3)."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vgg_ablate.models.costs import compute_receptive_field, count_activations
from vgg_ablate.models.layers import Activation, Layer
from vgg_ablate.paper.computed import Check, Computation
from vgg_ablate.paper.nets import build_stack_layers, sum_params

FloatMaps = NDArray[np.float64]
_C = 64  # input and output channels; the ratios hold for any number


def check_field_of_two_3x3() -> Computation:
    """Compare the receptive fields of two 3x3 and one 5x5 (A01)."""
    return Computation((*_compare_fields(2, 5),))


def check_field_of_three_3x3() -> Computation:
    """Compare the receptive fields of three 3x3 and one 7x7 (A02)."""
    return Computation((*_compare_fields(3, 7),))


def check_weights_of_three_3x3() -> Computation:
    """Compare the weights of three 3x3 and one 7x7 (A03)."""
    three, seven = sum_params(_build_3x3_stack(3)), sum_params(_build_single_conv(7))
    return Computation(
        (
            Check(f"three 3x3, C = {_C}", 27 * _C**2, three, "weights"),
            Check(f"one 7x7, C = {_C}", 49 * _C**2, seven, "weights"),
            Check("more weights in the 7x7", 81, round(100 * (seven / three - 1)), "%"),
        )
    )


def check_activations_of_three_3x3() -> Computation:
    """Count the activation layers of three 3x3 and of one 7x7 (A04)."""
    return Computation(
        (
            Check("three 3x3", 3, _count_activation_layers(_build_3x3_stack(3)), "ReLU"),
            Check("one 7x7", 1, _count_activation_layers(_build_single_conv(7)), "ReLU"),
        )
    )


def check_composed_kernel() -> Computation:
    """Compare the outputs of three linear 3x3 and of the 7x7 that they compose to (A05).

    With random kernels in float64, without padding: at a padded border the two differ.
    """
    generator = np.random.default_rng(0)
    image = generator.standard_normal((3, 20, 20))
    kernels = [generator.standard_normal(shape) for shape in ((4, 3, 3, 3), (5, 4, 3, 3), (2, 5, 3, 3))]
    stacked = image
    for kernel in kernels:
        stacked = convolve_maps(stacked, kernel)
    composed = compose_kernels(compose_kernels(kernels[0], kernels[1]), kernels[2])
    difference = float(np.abs(convolve_maps(image, composed) - stacked).max() / np.abs(stacked).max())
    return Computation(
        (
            Check("side of the composed kernel", 7, composed.shape[-1], "pixels"),
            Check("largest relative difference below 1e-12", True, difference < 1e-12),
        )
    )


def check_stacks_replace_kernels() -> Computation:
    """Check receptive field and linear function of both replacements (N1)."""
    return Computation((*_compare_fields(3, 7), *_compare_fields(2, 5), *check_composed_kernel().checks))


def check_weights_of_stacks() -> Computation:
    """Compare n x n with its stack of 3x3, in weights per pair of input and output channel (N2)."""
    single = {side: sum_params(_build_single_conv(side)) // _C**2 for side in (5, 7)}
    stacked = {side: sum_params(_build_3x3_stack(side // 2)) // _C**2 for side in (5, 7)}
    saved = [1 - stacked[side] / single[side] for side in (5, 7)]
    return Computation(
        (
            Check("one 5x5", 25, single[5], "weights"),
            Check("two 3x3", 18, stacked[5], "weights"),
            Check("one 7x7", 49, single[7], "weights"),
            Check("three 3x3", 27, stacked[7], "weights"),
            Check("the longer stack saves more", True, saved[1] > saved[0]),
        )
    )


def check_fields_of_stacks() -> Computation:
    """Compute the receptive field of one to four 3x3 (N3)."""
    return Computation(
        (
            Check(
                "1, 2, 3, 4 times 3x3",
                (3, 5, 7, 9),
                tuple(compute_receptive_field(_build_3x3_stack(n)) for n in range(1, 5)),
                "pixels",
            ),
        )
    )


def check_activations_between() -> Computation:
    """Count the activation layers of a pair of 3x3, with and without the one in between, and of one 5x5 (N4)."""
    pair, linear, five = (
        _build_3x3_stack(2),
        build_stack_layers(f"{_C}*2", channels=_C, between="none"),
        _build_single_conv(5),
    )
    return Computation(
        (
            Check("two 3x3", 2, _count_activation_layers(pair), "activation layers"),
            Check("two 3x3 without one in between", 1, _count_activation_layers(linear), "activation layer"),
            Check("one 5x5", 1, _count_activation_layers(five), "activation layer"),
            Check("weights with and without are equal", True, sum_params(pair) == sum_params(linear)),
            Check(
                "activated elements, pair over 5x5", 2, _count_activations(pair) // _count_activations(five), "times"
            ),
        )
    )


def convolve_maps(image: FloatMaps, kernel: FloatMaps) -> FloatMaps:
    """Convolve maps with a kernel, with stride 1 and without padding.

    `image` is in x H x W, `kernel` out x in x n x n, the result out x (H - n + 1) x (W - n + 1).
    """
    windows = sliding_window_view(image, kernel.shape[2:], axis=(1, 2))  # in, H', W', n, n
    maps: FloatMaps = np.einsum("ihwrc,oirc->ohw", windows, kernel)
    return maps


def compose_kernels(first: FloatMaps, second: FloatMaps) -> FloatMaps:
    """Return the kernel of which one convolution equals one with `first`, then one with `second`.

    For n x n and m x m kernels it is (n + m - 1) x (n + m - 1): each tap of `second` adds a shifted copy of `first`.
    """
    side = first.shape[2] + second.shape[2] - 1
    composed = np.zeros((second.shape[0], first.shape[1], side, side))
    for row in range(second.shape[2]):
        for column in range(second.shape[3]):
            tap = np.einsum("om,mirc->oirc", second[:, :, row, column], first)
            composed[:, :, row : row + first.shape[2], column : column + first.shape[3]] += tap
    return composed


def _compare_fields(count: int, side: int) -> tuple[Check, Check]:
    number_words = {2: "two", 3: "three"}
    return (
        Check(f"{number_words[count]} 3x3", side, compute_receptive_field(_build_3x3_stack(count)), "pixels"),
        Check(f"one {side}x{side}", side, compute_receptive_field(_build_single_conv(side)), "pixels"),
    )


def _build_3x3_stack(count: int) -> tuple[Layer, ...]:
    return build_stack_layers(f"{_C}*{count}", channels=_C)


def _build_single_conv(side: int) -> tuple[Layer, ...]:
    return build_stack_layers(f"{_C}@{side}", channels=_C)


def _count_activation_layers(layers: tuple[Layer, ...]) -> int:
    return sum(isinstance(layer, Activation) for layer in layers)


def _count_activations(layers: tuple[Layer, ...]) -> int:
    return sum(count_activations(layer) for layer in layers)

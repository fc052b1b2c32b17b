"""The layers of a net in a faster order, which compute the same function up to rounding.

- A max pooling and a monotone activation commute: pooling first leaves the activation a quarter of the work.
- A convolution's bias before a batch norm is subtracted again with the mean. While it is 0, its gradient is 0 too, so
  training leaves it out and it stays 0. It remains a parameter of the net, counted and saved.
- For evaluation a batch norm is a scale and a shift, which are folded into the convolution before it.

Tests compare logits and gradients with those of the plain net. The convolutions themselves stay torch's: a weight
gradient by matrix products was slower (benchmarks/loop.md), and a kernel in C would need a compiler on every machine.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

_MONOTONE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Tanh)  # not GELU and SiLU, which fall before they rise

LayerCall = Callable[[Tensor], Tensor]


class FusedForward:
    """The forward pass of a net in training. Parameters and buffers are the net's own."""

    def __init__(self, layers: Sequence[LayerCall]) -> None:
        self._layers = layers

    @classmethod
    def from_net(cls, net: nn.Module) -> FusedForward:
        """Return the forward pass of a net with `features`, `avgpool`, `flatten` and `classifier` (models/vgg.py)."""
        layers: list[LayerCall] = [
            *_leave_out_biases(_pool_before_activation(net.get_submodule("features").children())),
            net.get_submodule("avgpool"),
            net.get_submodule("flatten"),
            *net.get_submodule("classifier").children(),
        ]
        return cls(layers)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits, in the mode (training or not) of the net."""
        for layer in self._layers:
            images = layer(images)
        return images


@torch.no_grad()
def fold_batch_norms(net: nn.Module, dtype: torch.dtype) -> nn.Sequential:
    """Return a copy for evaluation: batch norms folded into convolutions in fp32, then everything in `dtype`."""
    # A copy, because folding overwrites weights, and the net goes on training.
    frozen = copy.deepcopy(net).eval()
    features = _pool_before_activation(_fold_norms(frozen.get_submodule("features").children()))
    middle = [frozen.get_submodule("avgpool"), frozen.get_submodule("flatten")]
    layers = [*features, *middle, *frozen.get_submodule("classifier").children()]
    active = [layer for layer in layers if not isinstance(layer, nn.Dropout | nn.Identity)]
    return nn.Sequential(*active).to(dtype).to(memory_format=torch.channels_last).requires_grad_(False)


def _pool_before_activation(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """Exchange every monotone activation with a max pooling that follows it."""
    order: list[nn.Module] = []
    # Only direct neighbours: a norm between the two may have a negative scale, which turns maxima into minima.
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d) and order and isinstance(order[-1], _MONOTONE):
            order.insert(-1, layer)
        else:
            order.append(layer)
    return order


def _leave_out_biases(layers: list[nn.Module]) -> Iterator[LayerCall]:
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        # A bias that is not 0 stays: evaluation adds it, so the running mean must contain it.
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d) and _has_zero_bias(layer):
            yield _ConvWithoutBias(layer)
        else:
            yield layer


def _has_zero_bias(layer: nn.Conv2d) -> bool:
    return layer.bias is not None and not bool(layer.bias.any())


class _ConvWithoutBias:
    def __init__(self, conv: nn.Conv2d) -> None:
        self._conv = conv

    def __call__(self, maps: Tensor) -> Tensor:
        conv = self._conv
        return functional.conv2d(maps, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)


def _fold_norms(layers: Iterable[nn.Module]) -> list[nn.Module]:
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and folded and isinstance(folded[-1], nn.Conv2d):
            folded[-1] = fuse_conv_bn_eval(folded[-1], layer)
        else:
            folded.append(layer)
    return folded

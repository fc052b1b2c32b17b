"""The same net in a quicker order: what is computed stays what the arch says, up to rounding.

- A max-pooling and a monotone activation commute: pooling first leaves the activation a quarter of the work.
- A convolution's bias before a batch norm is subtracted again with the mean: while it is 0, training leaves it out,
  and it stays 0. It remains a parameter of the net, counted and saved.
- For evaluation a batch norm is a factor and a shift, and goes into the convolution before it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

_MONOTONE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Tanh)

LayerCall = Callable[[Tensor], Tensor]


class FusedForward:
    """A net's layers as steps; the parameters are the net's own."""

    def __init__(self, net: nn.Module) -> None:
        """`net` has `features`, `avgpool`, `flatten` and `classifier` (models/vgg.py)."""
        self._steps: list[LayerCall] = [
            *_biasless(_pooled_first(net.get_submodule("features").children())),
            net.get_submodule("avgpool"),
            net.get_submodule("flatten"),
            *net.get_submodule("classifier").children(),
        ]

    def __call__(self, images: Tensor) -> Tensor:
        """Logits, in the mode (training or not) that the net is in."""
        for step in self._steps:
            images = step(images)
        return images


@torch.no_grad()
def fold_batch_norms(net: nn.Module, dtype: torch.dtype) -> nn.Sequential:
    """A copy for evaluation: batch norms folded into convolutions in fp32, then everything in `dtype`."""
    still = copy.deepcopy(net).eval()
    features = _pooled_first(_without_norms(still.get_submodule("features").children()))
    head = [still.get_submodule("avgpool"), still.get_submodule("flatten")]
    parts = [*features, *head, *still.get_submodule("classifier").children()]
    kept = [part for part in parts if not isinstance(part, nn.Dropout | nn.Identity)]
    return nn.Sequential(*kept).to(dtype).to(memory_format=torch.channels_last).requires_grad_(False)


def _pooled_first(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """Every [monotone activation, max-pooling] the other way round."""
    order: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d) and order and isinstance(order[-1], _MONOTONE):
            order.insert(-1, layer)
        else:
            order.append(layer)
    return order


def _biasless(layers: list[nn.Module]) -> Iterator[LayerCall]:
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d) and _adds_nothing(layer):
            yield _WithoutBias(layer)
        else:
            yield layer


def _adds_nothing(layer: nn.Conv2d) -> bool:
    return layer.bias is not None and not bool(layer.bias.any())


class _WithoutBias:
    def __init__(self, conv: nn.Conv2d) -> None:
        self._conv = conv

    def __call__(self, maps: Tensor) -> Tensor:
        conv = self._conv
        return functional.conv2d(maps, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)


def _without_norms(layers: Iterable[nn.Module]) -> list[nn.Module]:
    kept: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and kept and isinstance(kept[-1], nn.Conv2d):
            kept[-1] = fuse_conv_bn_eval(kept[-1], layer)
        else:
            kept.append(layer)
    return kept

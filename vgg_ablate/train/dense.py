"""A net's dense layers as convolutions, so that it slides over images larger than it was built for (paper, 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Sliding(nn.Module):
    """Images of any size -> logits, averaged over the class map."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, images: Tensor) -> Tensor:
        """N x classes."""
        class_map: Tensor = self.parts(images)
        return class_map.mean((2, 3))


@torch.no_grad()
def sliding(folded: nn.Sequential) -> nn.Module:
    """The folded net (train/swift.py), fully convolutional; one that pools to a fixed size takes any as it is."""
    if any(isinstance(part, nn.AdaptiveAvgPool2d) for part in folded):
        return folded
    channels = [part.out_channels for part in folded if isinstance(part, nn.Conv2d)][-1]
    parts: list[nn.Module] = []
    first = True
    for part in folded:
        if isinstance(part, nn.Linear):
            side = round((part.in_features / channels) ** 0.5) if first else 1
            parts.append(_convolution(part, side))
            first = False
        elif not isinstance(part, nn.Flatten):
            parts.append(part)
    return Sliding(parts).to(memory_format=torch.channels_last)


def _convolution(dense: nn.Linear, side: int) -> nn.Conv2d:
    weight = dense.weight.reshape(dense.out_features, -1, side, side)
    conv = nn.Conv2d(weight.shape[1], dense.out_features, side, dtype=weight.dtype, device=weight.device)
    conv.weight.copy_(weight)
    if conv.bias is not None and dense.bias is not None:
        conv.bias.copy_(dense.bias)
    return conv.requires_grad_(False)

"""How an image is shown to a net under test: its centre, crops, or the whole of it; at which scales; mirrored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vgg_ablate.spec.recipe import Evaluate
from vgg_ablate.train import boxes


class Shown(NamedTuple):
    """One view of a batch."""

    images: Tensor  # uint8, N x H x W x C
    whole: bool  # larger than the net was built for: it slides over them


def views(images: Tensor, how: Evaluate, size: int) -> Iterator[Shown]:
    """Every view of a batch of square images (uint8, N x H x H x C) for a net of `size` pixels a side."""
    for scale in how.scales or (size,):
        scaled = boxes.resized(images, scale)
        for kind in how.view:
            if kind == "dense":
                seen = [Shown(scaled, whole=True)]
            else:
                corners = _grid(scale, size, how.grid) if kind == "crops" else [(scale - size) // 2]
                seen = [
                    Shown(scaled[:, top : top + size, left : left + size], whole=False)
                    for top in corners
                    for left in corners
                ]
            for view in seen:
                yield view
                if how.flip:
                    yield view._replace(images=view.images.flip(2))


def validation(how: Evaluate) -> Evaluate:
    """What validation between epochs shows: the centre at the first scale."""
    return Evaluate(scales=how.scales[:1])


def _grid(scale: int, size: int, count: int) -> list[int]:
    """First pixels of `count` crops, evenly spaced from edge to edge; fewer where they would be the same."""
    if count == 1:
        return [(scale - size) // 2]
    return sorted({round(step * (scale - size) / (count - 1)) for step in range(count)})


def mean_of(probabilities: list[Tensor]) -> Tensor:
    """Log of the mean class probabilities of several views, or of several nets: N x classes."""
    return torch.stack(probabilities).mean(0).clamp_min(1e-30).log()

"""How an image is shown to a net under test: its centre, crops, or the whole of it; at which scales; mirrored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Augment, Evaluate
from vgg_ablate.data import resample
from vgg_ablate.models.dense_coverage import compute_dense_side


class ImageView(NamedTuple):
    """One view of a batch."""

    images: Tensor  # uint8, N x H x W x C
    whole: bool  # the net slides over them: they may be larger than those that it was built for


def iterate_views(images: Tensor, how: Evaluate, arch: Arch) -> Iterator[ImageView]:
    """Yield every view of a batch of square images (uint8, N x H x H x C) for a net of this arch.

    A dense view is the centred square that the class map covers (models/dense_coverage.py).
    """
    size = arch.image_size
    assert size is not None  # a net could not have been built
    for scale in how.scales or (size,):
        scaled = resample.resize_images(images, scale)
        for kind in how.view:
            if kind == "dense":
                seen = [ImageView(_centre(scaled, compute_dense_side(arch, scale)), whole=True)]
            else:
                corners = _grid(scale, size, how.grid) if kind == "crops" else [(scale - size) // 2]
                seen = [
                    ImageView(scaled[:, top : top + size, left : left + size], whole=False)
                    for top in corners
                    for left in corners
                ]
            for view in seen:
                yield view
                if how.flip:
                    yield view._replace(images=view.images.flip(2))


def get_validation_view(augment: Augment) -> Evaluate:
    """Return what validation between epochs shows: the centre crop at the training scale, never `data.evaluate`.

    The training scale is the middle of the scale jitter, or without jitter the net's image size.
    """
    jitter = augment.scale_jitter
    return Evaluate(scales=() if jitter is None else ((jitter.low + jitter.high) // 2,))


def _centre(images: Tensor, side: int) -> Tensor:
    first = (images.shape[1] - side) // 2
    return images[:, first : first + side, first : first + side]


def _grid(scale: int, size: int, count: int) -> list[int]:
    """First pixels of `count` crops, evenly spaced from edge to edge; fewer where they would be the same."""
    if count == 1:
        return [(scale - size) // 2]
    return sorted({round(step * (scale - size) / (count - 1)) for step in range(count)})


def average_probabilities(probabilities: list[Tensor]) -> Tensor:
    """Log of the mean class probabilities of several views, or of several nets: N x classes."""
    return torch.stack(probabilities).mean(0).clamp_min(1e-30).log()

"""The views of an image that a net is tested on: centre, crops or the whole; at which scales; mirrored or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Augment, Evaluate
from vgg_ablate.data import resample
from vgg_ablate.models.dense_coverage import compute_dense_side

_MIN_PROBABILITY = 1e-30  # keeps the logarithm of a probability that underflowed finite


class ImageView(NamedTuple):
    """One view of a batch."""

    images: Tensor  # uint8, N x H x W x C
    is_whole: bool  # the net slides over these images, which may be larger than its own image size


def iterate_views(images: Tensor, evaluate: Evaluate, arch: Arch) -> Iterator[ImageView]:
    """Yield every view of a batch of square images (uint8, N x H x H x C) for a net of this arch.

    A dense view is the centred square that the class map covers (models/dense_coverage.py).
    """
    size = arch.image_size
    assert size is not None  # a net cannot be built without
    for scale in evaluate.scales or (size,):
        scaled = resample.resize_images(images, scale)
        for kind in evaluate.view:
            if kind == "dense":
                views = [ImageView(_crop_center(scaled, compute_dense_side(arch, scale)), is_whole=True)]
            else:
                corners = _list_grid_corners(scale, size, evaluate.grid) if kind == "crops" else [(scale - size) // 2]
                # Crops are views of one tensor: nothing is copied before the net runs on them.
                views = [
                    ImageView(scaled[:, top : top + size, left : left + size], is_whole=False)
                    for top in corners
                    for left in corners
                ]
            for view in views:
                yield view
                if evaluate.flip:
                    yield view._replace(images=view.images.flip(2))


def get_validation_view(augment: Augment) -> Evaluate:
    """Return the view of validation between epochs: the centre crop at the training scale.

    The training scale is the middle of the scale jitter, or without jitter the net's image size. Never
    `data.evaluate`: runs that differ only in how they are tested share one training.
    """
    jitter = augment.scale_jitter
    return Evaluate(scales=() if jitter is None else ((jitter.low + jitter.high) // 2,))


def average_probabilities(probabilities: list[Tensor]) -> Tensor:
    """Return the log of the mean class probabilities (N x classes each) of several views or nets."""
    return torch.stack(probabilities).mean(0).clamp_min(_MIN_PROBABILITY).log()


def _crop_center(images: Tensor, side: int) -> Tensor:
    first = (images.shape[1] - side) // 2
    return images[:, first : first + side, first : first + side]


def _list_grid_corners(scale: int, size: int, count: int) -> list[int]:
    """Return the first pixels of `count` crops, evenly spaced from edge to edge, without repetitions."""
    if count == 1:
        return [(scale - size) // 2]
    return sorted({round(step * (scale - size) / (count - 1)) for step in range(count)})

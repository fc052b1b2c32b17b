"""Augmentation of whole batches on the device: which pixels of which image, drawn for (seed, epoch, example).

The draws are a table with a row for every example of the training split, so that they depend neither on the order nor
on the size of the batches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vgg_ablate.spec.recipe import Augment
from vgg_ablate.train.streams import Stream, generator


class Augmenter:
    """Random crops from padded images, and flips: one gather from images that were padded once."""

    def __init__(self, augment: Augment, images: Tensor, seed: int) -> None:
        """`images`: uint8, N x H x W x C, resident."""
        padding = augment.crop_padding
        self._augment, self._seed, self._side = augment, seed, images.shape[1]
        self._images = functional.pad(images, (0, 0, padding, padding, padding, padding)) if padding else images
        self._draws = torch.empty(0)

    def begin(self, epoch: int) -> None:
        """Draw for every example what happens to it in this epoch."""
        chance = generator(self._seed, Stream.AUGMENT, epoch)
        draws = torch.rand(len(self._images), 3, generator=chance)  # top, left, flip
        self._draws = draws.to(self._images.device, non_blocking=True)

    def batch(self, examples: Tensor) -> Tensor:
        """uint8, N x H x W x C: the examples (int64 indices) as this epoch shows them."""
        padding, side = self._augment.crop_padding, self._side
        if not padding and not self._augment.flip:
            return self._images[examples]
        draws = self._draws[examples]
        offsets = (draws[:, :2] * (2 * padding + 1)).long()
        along = torch.arange(side, device=examples.device)
        rows = offsets[:, :1] + along
        columns = offsets[:, 1:] + along
        if self._augment.flip:
            columns = torch.where(draws[:, 2:] < 0.5, columns.flip(1), columns)
        return self._images[examples[:, None, None], rows[:, :, None], columns[:, None, :]]


class Normaliser:
    """uint8, N x H x W x C -> float, N x C x H x W in channels_last, by the training split's mean and deviation."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self._scale, self._shift = 1 / std, -mean / std

    def __call__(self, images: Tensor) -> Tensor:
        return torch.addcmul(self._shift, images.float(), self._scale).permute(0, 3, 1, 2)

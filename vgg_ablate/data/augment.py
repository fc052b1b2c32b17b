"""Augmentation of whole batches on the device: what of which image is shown, drawn for (seed, epoch, example).

The draws are tables with a row for every example of the training split, so that they depend neither on the order nor
on the size of the batches; every kind of augmentation draws its own, so that switching one on leaves the others alone.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor
from torch.nn import functional

from vgg_ablate.config.training import Augment
from vgg_ablate.data import resample, streaming
from vgg_ablate.data.rng import RandomStream, make_torch_generator
from vgg_ablate.data.streaming import StreamedImages


class AugmentDraw(IntEnum):
    """What is drawn. The numbers are part of every result: append, never renumber."""

    CROP = 0
    FLIP = 1
    COLOUR = 2
    CUTOUT = 3


class Normalizer:
    """N x H x W x C in units of 1/255 -> float, N x C x H x W in channels_last, by the training split's statistics."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self._scale, self._shift = 1 / std, -mean / std
        self._lines: dict[int, tuple[Tensor, Tensor]] = {}  # pixels -> both, repeated for every pixel of an image

    def __call__(self, images: Tensor) -> Tensor:
        count, pixels = len(images), images.shape[1] * images.shape[2]
        if pixels not in self._lines:  # numbers that lie in one line are what a processor is quick with
            self._lines[pixels] = (self._scale.repeat(pixels), self._shift.repeat(pixels))
        scale, shift = self._lines[pixels]
        shown = images.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        shown.view(count, -1).mul_(scale).add_(shift)
        return shown.permute(0, 3, 1, 2)


class Augmenter:
    """Examples of the training split, as an epoch shows them."""

    def __init__(
        self, augment: Augment, images: Tensor | StreamedImages, size: int, normalise: Normalizer, seed: int
    ) -> None:
        """`images`: uint8, N x H x W x C, resident or on disk; they are shown at `size` pixels a side."""
        self._augment, self._size, self._normalise, self._seed = augment, size, normalise, seed
        self._boxed = bool(augment.resized_crop or augment.scale_jitter)
        self._moved = bool(augment.crop_padding or augment.flip) and not self._boxed
        shape: tuple[int, ...] = tuple(images.shape)
        self._count, stored, _, self._channels = shape
        self._side = stored if self._boxed else size + 2 * augment.crop_padding
        self._device = images.device
        self._axes = (
            resample.compute_color_axes(streaming.iterate_batches(images, 4096)) if augment.pca_color_std else None
        )
        self._source = images if isinstance(images, StreamedImages) else None
        self._images = torch.empty(0) if isinstance(images, StreamedImages) else self._prepared(images)
        self._drawn: dict[AugmentDraw, Tensor] = {}  # for every example
        self._held: dict[AugmentDraw, Tensor] = {}  # for those that `batch` can show

    @property
    def streamed(self) -> bool:
        """Whether images are on disk, so that `load` must come before `batch`."""
        return self._source is not None

    def begin(self, epoch: int, order: Tensor | None = None) -> None:
        """Draw for every example what happens to it in this epoch; `order`: its batches, one a row, to be read ahead.

        Tables stay where they are in memory: a recorded graph reads them there.
        """
        wanted = {
            AugmentDraw.CROP: resample.DRAWS_PER_BOX if self._boxed else 2 * bool(self._augment.crop_padding),
            AugmentDraw.FLIP: int(self._augment.flip),
            AugmentDraw.COLOUR: self._channels if self._augment.pca_color_std else 0,
            AugmentDraw.CUTOUT: 2 * bool(self._augment.cutout),
        }
        for purpose, columns in wanted.items():
            if columns:
                _keep(self._drawn, purpose, self._table(epoch, purpose, columns))
        if self._source is None:
            self._held = self._drawn
        elif order is not None:
            self._source.announce(order)

    def load(self, examples: Tensor) -> Tensor:
        """The indices by which `batch` knows these examples: they themselves, or where their images were loaded to."""
        if self._source is None:
            return examples
        images = self._prepared(self._source.take(examples))
        if self._images.shape == images.shape:
            self._images.copy_(images)
        else:
            self._images = images
        for purpose, table in self._drawn.items():
            _keep(self._held, purpose, table[examples])
        return torch.arange(len(examples), device=self._device)

    def _prepared(self, images: Tensor) -> Tensor:
        """As they are kept on the device: at the size to be shown, padded, a number a pixel."""
        padding = self._augment.crop_padding
        still = images if self._boxed else resample.resize_images(images, self._size)
        padded = functional.pad(still, (0, 0, padding, padding, padding, padding)) if padding else still
        return _words(padded) if self._moved else padded

    def batch(self, examples: Tensor) -> Tensor:
        """float, N x C x H x W in channels_last, normalised: the examples (int64 indices) as this epoch shows them."""
        images = self._in_boxes(examples) if self._boxed else self._cropped(examples)
        if self._axes is not None:
            weights = self._held[AugmentDraw.COLOUR][examples] * self._augment.pca_color_std
            images = images.float() + (weights @ self._axes)[:, None, None, :]
        shown = self._normalise(images)
        return self._with_holes(shown, examples) if self._augment.cutout else shown

    def _table(self, epoch: int, purpose: AugmentDraw, columns: int) -> Tensor:
        """N x columns: uniform in [0, 1), and normal for colours."""
        chance = make_torch_generator(self._seed, RandomStream.AUGMENT, epoch, purpose)
        draw = torch.randn if purpose is AugmentDraw.COLOUR else torch.rand
        table = draw(self._count, columns, generator=chance)
        return table.to(self._device, non_blocking=True)

    def _flipped(self, examples: Tensor) -> Tensor:
        """bool, N x 1."""
        return self._held[AugmentDraw.FLIP][examples] < 0.5

    def _cropped(self, examples: Tensor) -> Tensor:
        """Crops from the padded images, and flips: one gather."""
        padding = self._augment.crop_padding
        if not self._moved:
            return self._images[examples]
        along = torch.arange(self._size, device=examples.device)
        rows = columns = along.expand(len(examples), -1)
        if padding:
            offsets = (self._held[AugmentDraw.CROP][examples] * (2 * padding + 1)).long()
            rows, columns = offsets[:, :1] + along, offsets[:, 1:] + along
        if self._augment.flip:
            columns = torch.where(self._flipped(examples), columns.flip(1), columns)
        return self._looked_up(examples, rows, columns)

    def _looked_up(self, examples: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """uint8, N x size x size x C: pixels of images at rows and columns (N x size each)."""
        where = (examples[:, None] * self._side + rows)[:, :, None] * self._side + columns[:, None, :]
        found = self._images.index_select(0, where.flatten())
        return found.view(torch.uint8).view(*where.shape, -1)[..., : self._channels]

    def _in_boxes(self, examples: Tensor) -> Tensor:
        """Boxes of the stored images, resized."""
        draws = self._held[AugmentDraw.CROP][examples]
        rows, columns = resample.compute_positions(self._augment, draws, self._side, self._size)
        if self._augment.flip:
            columns = torch.where(self._flipped(examples), columns.flip(1), columns)
        return resample.sample_bilinear(self._images[examples], rows, columns)

    def _with_holes(self, images: Tensor, examples: Tensor) -> Tensor:
        """A square with its centre anywhere in the image becomes 0: the mean colour."""
        side, along = self._augment.cutout, torch.arange(self._size, device=examples.device)
        first = (self._held[AugmentDraw.CUTOUT][examples] * self._size).long() - side // 2
        within = (along >= first[:, :, None]) & (along < first[:, :, None] + side)  # N x 2 x size
        return images.masked_fill((within[:, 0, :, None] & within[:, 1, None, :])[:, None], 0.0)


def _words(images: Tensor) -> Tensor:
    """Every pixel as one number, so that looking it up is one read: int32 for three channels, uint8 for one."""
    if images.shape[3] == 1:
        return images.flatten()
    return functional.pad(images, (0, 1)).view(torch.int32).flatten()


def _keep(tables: dict[AugmentDraw, Tensor], purpose: AugmentDraw, table: Tensor) -> None:
    """Put the table where the one before it was."""
    if purpose in tables and tables[purpose].shape == table.shape:
        tables[purpose].copy_(table)
    else:
        tables[purpose] = table

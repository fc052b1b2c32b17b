"""Augmentation of whole batches on the device.

Every random decision is a function of (seed, epoch, example): `begin_epoch` draws one table per kind of augmentation,
with one row per example of the training split. The decisions therefore depend neither on the order nor on the size of
the batches, and switching one kind on leaves the draws of the others unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor
from torch.nn import functional

from vgg_ablate.config.training import Augment
from vgg_ablate.data import resample, streaming
from vgg_ablate.data.rng import RandomStream, make_torch_generator
from vgg_ablate.data.streaming import StreamedImages


class AugmentDraw(IntEnum):
    """A kind of random decision. The numbers seed it, so they are part of every result: append, never renumber."""

    CROP = 0
    FLIP = 1
    COLOR = 2
    CUTOUT = 3


class Normalizer:
    """Normalisation of a batch by the training split's mean and standard deviation per channel.

    Maps pixels in units of 1/255 (N x H x W x C, uint8 or float) to float32, N x C x H x W in channels_last.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self._scale = 1 / std
        self._shift = -mean / std
        self._rows: dict[int, tuple[Tensor, Tensor]] = {}  # pixels per image -> scale and shift, repeated per pixel

    def __call__(self, images: Tensor) -> Tensor:
        count, pixels = len(images), images.shape[1] * images.shape[2]
        # Broadcasting over a last axis of 1 or 3 channels defeats vectorisation on the CPU; a row per image does not.
        if pixels not in self._rows:
            self._rows[pixels] = (self._scale.repeat(pixels), self._shift.repeat(pixels))
        scale, shift = self._rows[pixels]
        normalized = images.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        normalized.view(count, -1).mul_(scale).add_(shift)
        return normalized.permute(0, 3, 1, 2)  # N x H x W x C in memory is channels_last


@dataclass(frozen=True, slots=True)
class ImageGeometry:
    """The shapes of a training split's images, and where they are."""

    count: int  # examples
    side: int  # pixels per side, as the images are held
    size: int  # pixels per side, as the net is shown them
    channels: int
    device: torch.device


class Augmenter:
    """The examples of the training split, augmented for each epoch.

    Per epoch: `begin_epoch`; then per batch: `load_examples`, and `make_batch` with the indices that it returned.
    """

    def __init__(
        self,
        augment: Augment,
        normalize: Normalizer,
        seed: int,
        images: Tensor,
        source: StreamedImages | None,
        geometry: ImageGeometry,
        color_axes: Tensor | None,
    ) -> None:
        self._augment = augment
        self._normalize = normalize
        self._seed = seed
        self._images = images  # as `_prepare_images` returns them: all resident ones, or those of the batch
        self._source = source  # None: the images are resident
        self._geometry = geometry
        self._color_axes = color_axes  # C x C, as `resample.compute_color_axes` returns them
        self._draws: dict[AugmentDraw, Tensor] = {}  # one row per example of the training split
        self._loaded_draws: dict[AugmentDraw, Tensor] = {}  # one row per index that `make_batch` accepts

    @classmethod
    def prepare(
        cls, augment: Augment, images: Tensor | StreamedImages, size: int, normalize: Normalizer, seed: int
    ) -> Augmenter:
        """Prepare images (uint8, N x H x W x C, resident or on disk) to be shown at `size` pixels per side."""
        count, stored_side, _, channels = tuple(images.shape)
        side = stored_side if _cuts_boxes(augment) else size + 2 * augment.crop_padding
        geometry = ImageGeometry(count, side, size, channels, images.device)
        axes = resample.compute_color_axes(streaming.iterate_batches(images, 4096)) if augment.pca_color_std else None
        if isinstance(images, StreamedImages):
            return cls(augment, normalize, seed, torch.empty(0), images, geometry, axes)
        return cls(augment, normalize, seed, _prepare_images(images, augment, size), None, geometry, axes)

    @property
    def is_streamed(self) -> bool:
        """Whether images are on disk, so that `load_examples` renumbers the examples of each batch."""
        return self._source is not None

    def begin_epoch(self, epoch: int, order: Tensor | None = None) -> None:
        """Draw the epoch's random decisions for every example.

        `order` (int64, one batch per row) lets streamed images be read ahead.
        """
        augment = self._augment
        columns_by_draw = {
            AugmentDraw.CROP: resample.DRAWS_PER_BOX if _cuts_boxes(augment) else 2 * bool(augment.crop_padding),
            AugmentDraw.FLIP: int(augment.flip),
            AugmentDraw.COLOR: self._geometry.channels if augment.pca_color_std else 0,
            AugmentDraw.CUTOUT: 2 * bool(augment.cutout),
        }
        for draw, columns in columns_by_draw.items():
            if columns:
                _store_in_place(self._draws, draw, self._draw_table(epoch, draw, columns))
        if self._source is None:
            self._loaded_draws = self._draws
        elif order is not None:
            self._source.announce(order)

    def load_examples(self, examples: Tensor) -> Tensor:
        """Load a batch (int64 indices) and return the indices under which `make_batch` finds its examples.

        These are the same indices for resident images, and 0 to N - 1 for streamed ones.
        """
        if self._source is None:
            return examples
        images = _prepare_images(self._source.take(examples), self._augment, self._geometry.size)
        if self._images.shape == images.shape:
            self._images.copy_(images)  # in place: a recorded graph reads this memory
        else:
            self._images = images
        for draw, table in self._draws.items():
            _store_in_place(self._loaded_draws, draw, table[examples])
        return torch.arange(len(examples), device=self._geometry.device)

    def make_batch(self, examples: Tensor) -> Tensor:
        """Return the augmented, normalised examples: float32, N x C x H x W in channels_last."""
        images = self._sample_boxes(examples) if _cuts_boxes(self._augment) else self._crop(examples)
        if self._color_axes is not None:
            weights = self._loaded_draws[AugmentDraw.COLOR][examples] * self._augment.pca_color_std
            images = images.float() + (weights @ self._color_axes)[:, None, None, :]
        normalized = self._normalize(images)
        return self._cut_out(normalized, examples) if self._augment.cutout else normalized

    def _draw_table(self, epoch: int, draw: AugmentDraw, columns: int) -> Tensor:
        """Return N x columns draws: uniform in [0, 1), standard normal for colours."""
        generator = make_torch_generator(self._seed, RandomStream.AUGMENT, epoch, draw)
        distribution = torch.randn if draw is AugmentDraw.COLOR else torch.rand
        # Drawn on the CPU on every device: a GPU's generator would give other numbers for the same seed.
        table = distribution(self._geometry.count, columns, generator=generator)
        return table.to(self._geometry.device, non_blocking=True)

    def _is_flipped(self, examples: Tensor) -> Tensor:
        """Return bool, N x 1: whether each example is mirrored."""
        return self._loaded_draws[AugmentDraw.FLIP][examples] < 0.5

    def _crop(self, examples: Tensor) -> Tensor:
        """Return crops of the padded images, mirrored where drawn, by one gather."""
        padding = self._augment.crop_padding
        if not _shifts_pixels(self._augment):
            return self._images[examples]
        steps = torch.arange(self._geometry.size, device=examples.device)
        rows = columns = steps.expand(len(examples), -1)
        if padding:
            offsets = (self._loaded_draws[AugmentDraw.CROP][examples] * (2 * padding + 1)).long()
            rows, columns = offsets[:, :1] + steps, offsets[:, 1:] + steps
        if self._augment.flip:
            columns = torch.where(self._is_flipped(examples), columns.flip(1), columns)
        return self._gather_pixels(examples, rows, columns)

    def _gather_pixels(self, examples: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return uint8, N x size x size x C: the packed images' pixels at rows and columns (N x size each)."""
        index = (examples[:, None] * self._geometry.side + rows)[:, :, None] * self._geometry.side + columns[:, None, :]
        words = self._images.index_select(0, index.flatten())
        return words.view(torch.uint8).view(*index.shape, -1)[..., : self._geometry.channels]

    def _sample_boxes(self, examples: Tensor) -> Tensor:
        """Return random boxes of the stored images, resized to `size` and mirrored where drawn."""
        draws = self._loaded_draws[AugmentDraw.CROP][examples]
        rows, columns = resample.compute_positions(self._augment, draws, self._geometry.side, self._geometry.size)
        # Reversing the columns mirrors the sampled box, without another pass over its pixels.
        if self._augment.flip:
            columns = torch.where(self._is_flipped(examples), columns.flip(1), columns)
        return resample.sample_bilinear(self._images[examples], rows, columns)

    def _cut_out(self, images: Tensor, examples: Tensor) -> Tensor:
        """Set one square per image to 0, the mean colour after normalisation; its centre may be any pixel."""
        side, steps = self._augment.cutout, torch.arange(self._geometry.size, device=examples.device)
        first = (self._loaded_draws[AugmentDraw.CUTOUT][examples] * self._geometry.size).long() - side // 2
        inside = (steps >= first[:, :, None]) & (steps < first[:, :, None] + side)  # N x 2 x size
        return images.masked_fill((inside[:, 0, :, None] & inside[:, 1, None, :])[:, None], 0.0)


def _cuts_boxes(augment: Augment) -> bool:
    """Return whether images are boxes that are cut from the stored images and resized, batch by batch."""
    return bool(augment.resized_crop or augment.scale_jitter)


def _shifts_pixels(augment: Augment) -> bool:
    """Return whether images are gathered pixel by pixel from the padded images, to crop and to mirror them."""
    return bool(augment.crop_padding or augment.flip) and not _cuts_boxes(augment)


def _prepare_images(images: Tensor, augment: Augment, size: int) -> Tensor:
    """Return images as they are held on the device: resized, padded and packed into one word per pixel."""
    padding = augment.crop_padding
    # Boxes are cut from the stored image and resized per batch; everything else is resized once, here.
    resized = images if _cuts_boxes(augment) else resample.resize_images(images, size)
    padded = functional.pad(resized, (0, 0, padding, padding, padding, padding)) if padding else resized
    return _pack_pixels(padded) if _shifts_pixels(augment) else padded


def _pack_pixels(images: Tensor) -> Tensor:
    """Return one word per pixel, so that a gather reads each pixel once: int32 for 3 channels, uint8 for 1."""
    if images.shape[3] == 1:
        return images.flatten()
    return functional.pad(images, (0, 1)).view(torch.int32).flatten()


def _store_in_place(tables: dict[AugmentDraw, Tensor], draw: AugmentDraw, table: Tensor) -> None:
    """Store the table in the previous one's memory, from which a recorded CUDA graph goes on reading."""
    if draw in tables and tables[draw].shape == table.shape:
        tables[draw].copy_(table)
    else:
        tables[draw] = table

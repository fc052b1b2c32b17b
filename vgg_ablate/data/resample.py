"""Resampling of images: random boxes, resizing, and the principal axes of their colours."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from vgg_ablate.config.training import Augment, ResizedCrop, ScaleJitter

_TRIES = 10  # candidate boxes per image, of which the first that fits is used; torchvision's number
DRAWS_PER_BOX = 2 * _TRIES + 2  # uniform draws: area and aspect ratio of each candidate, then the corner

PixelPositions = tuple[Tensor, Tensor]  # rows and columns to sample at, float, N x size, in pixels of the stored image


def compute_positions(augment: Augment, draws: Tensor, stored: int, size: int) -> PixelPositions:
    """Return where the pixels of every example's random box lie in its stored image.

    `draws`: uniform in [0, 1), N x DRAWS_PER_BOX; `stored`: the images' side, `size`: the result's, in pixels. Boxes
    are sampled bilinearly without antialiasing: they differ per image, and one gather serves the whole batch.
    """
    if augment.scale_jitter is not None:
        return _jitter_scale(augment.scale_jitter, draws, stored, size)
    assert augment.resized_crop is not None
    return _resize_random_crops(augment.resized_crop, draws, stored, size)


def locate_box_pixels(top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: int) -> PixelPositions:
    """Return where the pixels of boxes (each N x 1, in pixels), resized to `size` per side, lie in their images.

    Positions are clamped to the box, as if it had been cut out before resizing.
    """
    return _space_positions(top, height, size), _space_positions(left, width, size)


def sample_bilinear(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return float, N x size x size x C: images (N x H x H x C) sampled at rows and columns (N x size each)."""
    side = images.shape[1]
    # grid_sample with align_corners=False counts from -1 to 1, from edge to edge of the image.
    vertical, horizontal = ((2 * positions + 1) / side - 1 for positions in (rows, columns))
    shape = (len(rows), rows.shape[1], columns.shape[1])
    grid = torch.stack((horizontal[:, None, :].expand(shape), vertical[:, :, None].expand(shape)), dim=-1)
    maps = images.permute(0, 3, 1, 2).float()
    sampled = functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.permute(0, 2, 3, 1)


def resize_images(images: Tensor, size: int) -> Tensor:
    """Resize square images (uint8, N x H x H x C) to `size` pixels per side: bilinear, antialiased, rounded."""
    if images.shape[1] == size:
        return images
    resized = [
        functional.interpolate(
            part.permute(0, 3, 1, 2).float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        .permute(0, 2, 3, 1)
        for part in torch.split(images, 1024)  # the float copy of a whole data set would not fit
    ]
    return torch.cat(resized).contiguous()


def compute_color_axes(batches: Iterable[Tensor]) -> Tensor:
    """Return C x C: one row per principal component of the pixels' colours, scaled to its standard deviation.

    `batches`: uint8, N x H x W x C, together all images. AlexNet (2012, section 4.1) shifts colours along these axes by
    draws from N(0, 0.1), but scales them by the variances; standard deviations give the shift the unit of a pixel.
    """
    # In float64, from sums: a second pass over a data set on disk would cost as much as the first.
    count, total, square = 0, torch.zeros(()), torch.zeros(())
    for images in batches:
        pixels = images.reshape(-1, images.shape[3]).double()
        count, total, square = count + len(pixels), total + pixels.sum(0), square + pixels.T @ pixels
    mean = total / count
    values, vectors = torch.linalg.eigh(square / count - mean[:, None] * mean)
    # The sign of an eigenvector is the solver's choice: make the largest component positive on every machine.
    signs = torch.sign(vectors.gather(0, vectors.abs().argmax(0, keepdim=True)))
    axes: Tensor = vectors * signs * values.clamp_min(0).sqrt()
    return axes.T.float()


def _jitter_scale(jitter: ScaleJitter, draws: Tensor, stored: int, size: int) -> PixelPositions:
    """Resize to S x S with S drawn from `jitter`, then crop (paper, section 3.1), as one box of the stored image."""
    scale = jitter.low + (draws[:, :1] * (jitter.high - jitter.low + 1)).floor()  # S
    corner = (draws[:, 1:3] * (scale - size + 1)).floor()  # top and left of the crop, in pixels of the resized image
    steps = torch.arange(size, device=draws.device)
    rows, columns = (((corner[:, axis, None] + steps + 0.5) * stored / scale - 0.5) for axis in (0, 1))
    return rows.clamp(0, stored - 1), columns.clamp(0, stored - 1)


def _resize_random_crops(crop: ResizedCrop, draws: Tensor, stored: int, size: int) -> PixelPositions:
    """Reproduce torchvision's RandomResizedCrop for a batch.

    Of ten candidate boxes the first that fits is used; without one, the largest centred box of the nearest ratio.
    """
    low, high = (math.log(ratio) for ratio in crop.ratio)
    area = (crop.area[0] + draws[:, :_TRIES] * (crop.area[1] - crop.area[0])) * stored**2
    ratio = torch.exp(low + draws[:, _TRIES : 2 * _TRIES] * (high - low))
    width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (width <= stored) & (height <= stored) & (width > 0) & (height > 0)
    first = fits.int().argmax(1, keepdim=True)
    any_fits = fits.any(1, keepdim=True)
    fallback_width, fallback_height = _compute_largest_box(crop, stored)
    width = torch.where(any_fits, width.gather(1, first), torch.full_like(area[:, :1], fallback_width))
    height = torch.where(any_fits, height.gather(1, first), torch.full_like(area[:, :1], fallback_height))
    space = torch.cat((stored - height, stored - width), dim=1)
    corner = torch.where(any_fits, (draws[:, -2:] * (space + 1)).floor(), (space / 2).round())
    return locate_box_pixels(corner[:, :1], corner[:, 1:], height, width, size)


def _compute_largest_box(crop: ResizedCrop, stored: int) -> tuple[float, float]:
    """Return width and height of the largest box in a square whose aspect ratio is allowed."""
    if crop.ratio[0] > 1:
        return stored, round(stored / crop.ratio[0])
    if crop.ratio[1] < 1:
        return round(stored * crop.ratio[1]), stored
    return stored, stored


def _space_positions(first: Tensor, length: Tensor, size: int) -> Tensor:
    """Return N x size: pixel centres of `length` pixels from `first` on, resized to `size` pixels."""
    steps = torch.arange(size, device=first.device)
    offsets = ((steps + 0.5) * length / size - 0.5).clamp_min(0)
    return first + torch.minimum(offsets, length - 1)

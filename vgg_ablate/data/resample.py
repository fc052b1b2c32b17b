"""Boxes of images, resized: where every pixel of the result is looked up. Bilinear, without antialiasing."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from vgg_ablate.config.training import Augment, ResizedCrop, ScaleJitter

_TRIES = 10  # boxes drawn for one that fits into the image, as torchvision draws them
DRAWS_PER_BOX = 2 * _TRIES + 2  # uniform draws for one box

PixelPositions = tuple[Tensor, Tensor]  # rows and columns, float, N x size: where to look, in stored pixels


def compute_positions(augment: Augment, draws: Tensor, stored: int, size: int) -> PixelPositions:
    """The box of every example. `draws`: uniform, N x COLUMNS; `stored`: pixels a side of the images."""
    if augment.scale_jitter is not None:
        return _jittered(augment.scale_jitter, draws, stored, size)
    assert augment.resized_crop is not None
    return _resized_crops(augment.resized_crop, draws, stored, size)


def locate_box_pixels(top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: int) -> PixelPositions:
    """Each box (N x 1, in pixels) resized to `size` pixels a side by itself: nothing outside it is looked at."""
    return _along(top, height, size), _along(left, width, size)


def sample_bilinear(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """float, N x size x size x C: images (N x H x W x C) looked up at rows and columns."""
    side = images.shape[1]
    vertical, horizontal = ((2 * at + 1) / side - 1 for at in (rows, columns))  # as grid_sample counts: -1 to 1
    shape = (len(rows), rows.shape[1], columns.shape[1])
    grid = torch.stack((horizontal[:, None, :].expand(shape), vertical[:, :, None].expand(shape)), dim=-1)
    maps = images.permute(0, 3, 1, 2).float()
    found = functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.permute(0, 2, 3, 1)


def resize_images(images: Tensor, size: int) -> Tensor:
    """Square uint8 images, N x H x H x C, resized to `size` pixels a side: bilinear, antialiased, rounded."""
    if images.shape[1] == size:
        return images
    parts = [
        functional.interpolate(
            part.permute(0, 3, 1, 2).float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        .permute(0, 2, 3, 1)
        for part in torch.split(images, 1024)
    ]
    return torch.cat(parts).contiguous()


def compute_color_axes(parts: Iterable[Tensor]) -> Tensor:
    """C x C: a row for every principal component of the pixels' colours, as long as its standard deviation.

    AlexNet (2012, section 4.1) shifts colours by these, each times a draw from N(0, 0.1). `parts`: uint8, all images.
    """
    count, total, square = 0, torch.zeros(()), torch.zeros(())
    for part in parts:
        pixels = part.reshape(-1, part.shape[3]).double()
        count, total, square = count + len(pixels), total + pixels.sum(0), square + pixels.T @ pixels
    mean = total / count
    values, vectors = torch.linalg.eigh(square / count - mean[:, None] * mean)
    signs = torch.sign(vectors.gather(0, vectors.abs().argmax(0, keepdim=True)))  # they have no sign of their own
    axes: Tensor = vectors * signs * values.clamp_min(0).sqrt()
    return axes.T.float()


def _jittered(jitter: ScaleJitter, draws: Tensor, stored: int, size: int) -> PixelPositions:
    """The image resized to S x S, and a crop of it: the same pixels as a box of the stored image."""
    scale = jitter.low + (draws[:, :1] * (jitter.high - jitter.low + 1)).floor()  # S
    first = (draws[:, 1:3] * (scale - size + 1)).floor()  # top, left of the crop
    along = torch.arange(size, device=draws.device)
    rows, columns = (((first[:, axis, None] + along + 0.5) * stored / scale - 0.5) for axis in (0, 1))
    return rows.clamp(0, stored - 1), columns.clamp(0, stored - 1)


def _resized_crops(crop: ResizedCrop, draws: Tensor, stored: int, size: int) -> PixelPositions:
    """torchvision's RandomResizedCrop: the first of ten boxes that fits, or else the largest of the nearest ratio."""
    low, high = (math.log(ratio) for ratio in crop.ratio)
    area = (crop.area[0] + draws[:, :_TRIES] * (crop.area[1] - crop.area[0])) * stored**2
    ratio = torch.exp(low + draws[:, _TRIES : 2 * _TRIES] * (high - low))
    width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (width <= stored) & (height <= stored) & (width > 0) & (height > 0)
    first = fits.int().argmax(1, keepdim=True)
    some = fits.any(1, keepdim=True)
    wide, tall = _largest(crop, stored)
    width = torch.where(some, width.gather(1, first), torch.full_like(area[:, :1], wide))
    height = torch.where(some, height.gather(1, first), torch.full_like(area[:, :1], tall))
    space = torch.cat((stored - height, stored - width), dim=1)
    corner = (draws[:, -2:] * (space + 1)).floor()
    centre = (space / 2).round()
    corner = torch.where(some, corner, centre)
    return locate_box_pixels(corner[:, :1], corner[:, 1:], height, width, size)


def _largest(crop: ResizedCrop, stored: int) -> tuple[float, float]:
    """Width and height of the largest box in a square whose ratio is allowed."""
    if crop.ratio[0] > 1:
        return stored, round(stored / crop.ratio[0])
    if crop.ratio[1] < 1:
        return round(stored * crop.ratio[1]), stored
    return stored, stored


def _along(first: Tensor, length: Tensor, size: int) -> Tensor:
    steps = torch.arange(size, device=first.device)
    inside = ((steps + 0.5) * length / size - 0.5).clamp_min(0)
    return first + torch.minimum(inside, length - 1)

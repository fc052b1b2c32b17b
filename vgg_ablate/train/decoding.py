"""Image files and arrays of any kind -> uint8 arrays of one size.

An image becomes: upright (EXIF), 8 bits a channel, RGB or grey, its shorter side resized to the stored size
(bilinear, antialiased), its centre square.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from vgg_ablate.errors import DataMissing
from vgg_ablate.train import boxes
from vgg_ablate.train.downloads import Arrays
from vgg_ablate.train.sources import Listed

Images = npt.NDArray[np.uint8]  # N x H x W x C
Labels = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]  # images done, of how many


class Decoded(NamedTuple):
    """Images and labels, and the files that could not be read."""

    images: Images
    labels: Labels
    skipped: tuple[str, ...] = ()


def from_files(
    files: Sequence[Listed], size: int, channels: int, *, skip_corrupt: bool, progress: Progress | None = None
) -> Decoded:
    """Decode image files. Raises DataMissing naming every file that cannot be read, unless they are to be skipped."""
    images: Images = np.empty((len(files), size, size, channels), np.uint8)
    labels = np.empty(len(files), np.int64)
    skipped: list[str] = []
    count = 0
    for done, listed in enumerate(files, start=1):
        try:
            with Image.open(listed.path) as image:
                images[count] = pixels(image, size, channels)
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            skipped.append(f"{listed.path}: {error}")
        else:
            labels[count] = listed.label
            count += 1
        if progress and (done % 100 == 0 or done == len(files)):
            progress(done, len(files))
    if skipped and not skip_corrupt:
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise DataMissing(f"{skipped[0]}{more}; data.on_corrupt: skip leaves such files out")
    return Decoded(images[:count], labels[:count], tuple(skipped))


def pixels(image: Image.Image, size: int, channels: int) -> Images:
    """One image as size x size x channels. Alpha is dropped; 16 bits are cut to the upper 8."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # 16 bits of grey; `convert` would clip them to 255
        upright = Image.fromarray((np.asarray(upright).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")
    plain = upright.convert("RGB" if channels == 3 else "L")
    if min(plain.size) != size:
        scale = size / min(plain.size)
        sides = (max(size, round(plain.width * scale)), max(size, round(plain.height * scale)))
        plain = plain.resize(sides, Image.Resampling.BILINEAR)
    left, top = (plain.width - size) // 2, (plain.height - size) // 2
    squared = np.asarray(plain.crop((left, top, left + size, top + size)), dtype=np.uint8)
    return squared.reshape(size, size, channels)


def from_arrays(arrays: Arrays, size: int, channels: int) -> Decoded:
    """Arrays of square images, resized, and their channels repeated or mixed to luma (ITU-R 601, as PIL mixes them)."""
    images = _with_channels(arrays.images, channels)
    if images.shape[1] != size and len(images):
        images = boxes.resized(torch.from_numpy(np.ascontiguousarray(images)), size).numpy()
    return Decoded(np.ascontiguousarray(images).reshape(-1, size, size, channels), arrays.labels)


def _with_channels(images: Images, channels: int) -> Images:
    if images.shape[3] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=3)
    luma = images @ np.array([0.299, 0.587, 0.114], np.float32)
    return luma.round().astype(np.uint8)[..., None]

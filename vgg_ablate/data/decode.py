"""Image files and arrays -> uint8 pixels of one size. Imports no torch.

Every example takes the same path, whether it is an image file or a row of a binary file, so that the same pixels give
the same training: native pixels first (upright by EXIF, 8 bits per channel, RGB or grey), whose digest names the
example; then the shorter side is resized to the stored size (bilinear, antialiased) and the centre square kept.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

DECODING_VERSION = 2  # bumped by hand when the same files decode to other pixels; part of the cache's names

ImageArray = npt.NDArray[np.uint8]  # N x H x W x C; one image: H x W x C
LabelArray = npt.NDArray[np.int64]
ReportProgress = Callable[[int, int], None]  # images done, of how many

_THREADS = min(16, os.cpu_count() or 1)  # PIL decodes outside the interpreter's lock
_BATCH = 64  # images per task: a task for each small image would cost more than decoding it


class RawExample(NamedTuple):
    """One example before it is decoded: an image file, or its pixels (uint8, H x W x C)."""

    image: str | Path | ImageArray
    label: int


class DecodedExample(NamedTuple):
    """One decoded example."""

    digest: bytes  # SHA-256 of the native pixels and their shape
    label: int
    pixels: bytes  # size x size x channels, as stored


class UnreadableImage(NamedTuple):
    """An image file that cannot be decoded."""

    path: str | Path
    reason: str


def decode_examples(
    sources: Sequence[RawExample], size: int, channels: int
) -> Iterator[DecodedExample | UnreadableImage]:
    """Yield every source, in order, decoded to `size` pixels a side and `channels` channels."""
    Image.init()  # PIL loads its rarer formats at first need, and a second thread would miss them meanwhile
    waiting: deque[Future[list[DecodedExample | UnreadableImage]]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as threads:
        for at in range(0, len(sources), _BATCH):
            waiting.append(threads.submit(_decode_batch, sources[at : at + _BATCH], size, channels))
            if len(waiting) > 2 * _THREADS:  # no more than this is held in memory, however slow the disk takes it
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def convert_native(image: Image.Image, channels: int) -> Image.Image:
    """Return the image upright, in mode RGB (3 channels) or L (1), at its own size.

    Alpha is dropped; 16 bits are cut to the upper 8.
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # 16 bits of grey; `convert` would clip them to 255
        upright = Image.fromarray((np.asarray(upright).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return upright.convert("RGB" if channels == 3 else "L")


def digest_native(image: Image.Image) -> bytes:
    """Return the SHA-256 of an image's height, width, channels and pixels."""
    shape = f"{image.height} {image.width} {len(image.getbands())}\n"
    return hashlib.sha256(shape.encode() + image.tobytes()).digest()


def fit_square(image: Image.Image, size: int) -> Image.Image:
    """Return the centre square of the image, its shorter side resized to `size`."""
    if min(image.size) != size:
        scale = size / min(image.size)
        sides = (max(size, round(image.width * scale)), max(size, round(image.height * scale)))
        image = image.resize(sides, Image.Resampling.BILINEAR)
    if image.size == (size, size):
        return image
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def _decode_batch(sources: Sequence[RawExample], size: int, channels: int) -> list[DecodedExample | UnreadableImage]:
    return [_decode_one(source, size, channels) for source in sources]


def _decode_one(source: RawExample, size: int, channels: int) -> DecodedExample | UnreadableImage:
    if isinstance(source.image, np.ndarray):
        grey = source.image.shape[2] == 1
        image = Image.fromarray(np.ascontiguousarray(source.image[..., 0] if grey else source.image))
        return _make_example(image, source.label, size, channels)
    try:
        with Image.open(source.image) as image:
            return _make_example(image, source.label, size, channels)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        return UnreadableImage(source.image, str(error))


def _make_example(image: Image.Image, label: int, size: int, channels: int) -> DecodedExample:
    native = convert_native(image, channels)
    return DecodedExample(digest_native(native), label, fit_square(native, size).tobytes())

"""Decoding of image files and arrays to uint8 pixels of one size. Imports no torch.

Contract: image files and rows of binary files take the same path, so that equal pixels give equal trainings. An example
is first converted to native pixels (upright by EXIF, 8 bits per channel, RGB or grey), whose digest identifies it.
Then its shorter side is resized to the stored size (bilinear, antialiased) and the centre square is kept: all images of
a cache entry have one shape, at the price of the margins of non-square images.
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

DECODING_VERSION = 2  # part of the cache's names: increase it by hand when the same files decode to other pixels

ImageArray = npt.NDArray[np.uint8]  # N x H x W x C; one image: H x W x C
LabelArray = npt.NDArray[np.int64]
ReportProgress = Callable[[int, int], None]  # images decoded so far, images in total

_THREADS = min(16, os.cpu_count() or 1)  # threads are enough: PIL releases the GIL while it decodes
_BATCH_SIZE = 64  # images per task: one task per small image would cost more than decoding it


class RawExample(NamedTuple):
    """An example before decoding: an image file, or its pixels (uint8, H x W x C)."""

    image: str | Path | ImageArray
    label: int


class DecodedExample(NamedTuple):
    """An example after decoding."""

    digest: bytes  # SHA-256 of the native pixels and their shape
    label: int
    pixels: bytes  # uint8, size x size x channels, in C order


class UnreadableImage(NamedTuple):
    """An image file that cannot be decoded."""

    path: str | Path
    reason: str


def decode_examples(
    examples: Sequence[RawExample], size: int, channels: int
) -> Iterator[DecodedExample | UnreadableImage]:
    """Yield every example in order, decoded to `size` pixels per side and `channels` channels."""
    Image.init()  # PIL registers rarer formats at first use; a second thread fails to open them meanwhile
    pending: deque[Future[list[DecodedExample | UnreadableImage]]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as threads:
        for start in range(0, len(examples), _BATCH_SIZE):
            pending.append(threads.submit(_decode_batch, examples[start : start + _BATCH_SIZE], size, channels))
            if len(pending) > 2 * _THREADS:  # bounds the memory held where the disk is slower than decoding
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def convert_native(image: Image.Image, channels: int) -> Image.Image:
    """Return the image upright, in mode RGB (3 channels) or L (1 channel), at its own size.

    Alpha is dropped. Of 16 bits per channel the upper 8 are kept. Raises ValueError where these hold nothing.
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # 16-bit grey: `convert` would clip every value above 255
        levels = np.asarray(upright).astype(np.uint32)
        if 0 < levels.max() <= 255:
            raise ValueError("a 16-bit image with no value above 255 would turn black; save it with 8 bits")
        upright = Image.fromarray((levels >> 8).clip(0, 255).astype(np.uint8))
    if upright.mode == "P" and "transparency" in upright.info:  # PIL warns where such a palette becomes RGB directly
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


def _decode_batch(examples: Sequence[RawExample], size: int, channels: int) -> list[DecodedExample | UnreadableImage]:
    return [_decode_example(example, size, channels) for example in examples]


def _decode_example(example: RawExample, size: int, channels: int) -> DecodedExample | UnreadableImage:
    if isinstance(example.image, np.ndarray):
        is_gray = example.image.shape[2] == 1
        image = Image.fromarray(np.ascontiguousarray(example.image[..., 0] if is_gray else example.image))
        return _finish_example(image, example.label, size, channels)
    if not os.path.isfile(example.image):  # reading a pipe or a device could wait forever
        return UnreadableImage(example.image, "not a regular file")
    try:
        with Image.open(example.image) as image:
            return _finish_example(image, example.label, size, channels)
    # SyntaxError: PIL's for broken PNG chunks. DecompressionBombError: a header that claims more than 179 megapixels.
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return UnreadableImage(example.image, str(error))


def _finish_example(image: Image.Image, label: int, size: int, channels: int) -> DecodedExample:
    native = convert_native(image, channels)
    return DecodedExample(digest_native(native), label, fit_square(native, size).tobytes())

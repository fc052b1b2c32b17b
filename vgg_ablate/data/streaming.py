"""Images that do not fit on the device, read from the memory-mapped cache one batch ahead.

Contract: a training on streamed images equals the one on resident images, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from vgg_ablate.data.decode import ImageArray, LabelArray

_RESIDENT_FRACTION = 0.5  # of the free memory that resident images may fill: nets and batches need the rest


class StreamedImages:
    """The images of a split on disk: uint8, N x H x W x C.

    Announce the order of an epoch's batches, then take them one by one; each is read while the one before it trains.
    """

    def __init__(self, images: ImageArray, rows: LabelArray, device: torch.device) -> None:
        """Take the memory map of the images, and the split's rows of it."""
        self.device = device
        self.shape = (len(rows), *images.shape[1:])
        self._images = images
        self._rows = rows
        self._upcoming: Iterator[Tensor] = iter(())
        self._next_batch: Future[Tensor] | None = None
        # One thread, because only the next batch is ever read ahead.
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")

    def select_first(self, count: int) -> StreamedImages:
        """Return the first `count` images, or all where there are fewer."""
        return StreamedImages(self._images, self._rows[:count], self.device)

    def announce(self, batches: Tensor) -> None:
        """Announce the batches (int64 indices, one per row) that `take` will return, in this order."""
        self._upcoming = iter(batches.cpu())
        self._read_ahead()

    def take(self, examples: Tensor) -> Tensor:
        """Return the next announced batch on the device, uint8, N x H x W x C; without one, read `examples`."""
        # The pending batch is the one asked for: an epoch takes its batches in the announced order.
        images = self._next_batch.result() if self._next_batch else self._read(examples.cpu())
        self._read_ahead()
        return images.to(self.device, non_blocking=True)

    def iterate_batches(self, count: int) -> Iterator[Tensor]:
        """Yield all images in order, `count` at a time, on the device."""
        for start in range(0, len(self._rows), count):
            yield self._read(torch.arange(start, min(start + count, len(self._rows)))).to(self.device)

    def _read_ahead(self) -> None:
        batch = next(self._upcoming, None)
        self._next_batch = None if batch is None else self._reader.submit(self._read, batch)

    def _read(self, examples: Tensor) -> Tensor:
        rows = self._rows[examples.numpy()]
        order = np.argsort(rows, kind="stable")  # read the disk in one direction
        pixels = np.empty((len(rows), *self.shape[1:]), np.uint8)
        pixels[order] = self._images[rows[order]]
        images = torch.from_numpy(pixels)
        return images.pin_memory() if self.device.type == "cuda" else images  # pinned: the copy does not block


def fits_in_memory(size_bytes: int, device: torch.device) -> bool:
    """Return whether images of this size may be held on the device, or for the CPU in memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        import psutil  # not at import time: on Linux it imports the POSIX-only module `resource`

        free = psutil.virtual_memory().available  # counts memory that the system's file cache would give up
    return size_bytes <= free * _RESIDENT_FRACTION


def iterate_batches(images: Tensor | StreamedImages, count: int) -> Iterator[Tensor]:
    """Yield all images in order, `count` at a time, on the device."""
    if isinstance(images, StreamedImages):
        return images.iterate_batches(count)
    return iter(torch.split(images, count))

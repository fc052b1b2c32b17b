"""Images that do not fit on the device: read from the memory-mapped cache a batch ahead. No example differs for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from vgg_ablate.data.decode import ImageArray, LabelArray

_SHARE = 0.5  # of the memory that is free: what resident images may fill


class StreamedImages:
    """The images of a split, on disk: uint8, N x H x W x C."""

    def __init__(self, images: ImageArray, rows: LabelArray, device: torch.device) -> None:
        """`images`: the memory map; `rows`: which of them are the split's."""
        self._images, self._rows, self.device = images, rows, device
        self.shape = (len(rows), *images.shape[1:])
        self._coming: Iterator[Tensor] = iter(())
        self._ahead: Future[Tensor] | None = None
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")

    def first(self, count: int) -> StreamedImages:
        """The first `count` images, or all where there are fewer."""
        return StreamedImages(self._images, self._rows[:count], self.device)

    def announce(self, batches: Tensor) -> None:
        """The batches (int64 indices, one a row) that `take` will be asked for, in this order."""
        self._coming = iter(batches.cpu())
        self._read_on()

    def take(self, examples: Tensor) -> Tensor:
        """uint8, N x H x W x C, on the device; the next announced batch is read meanwhile."""
        images = self._ahead.result() if self._ahead else self._read(examples.cpu())
        self._read_on()
        return images.to(self.device, non_blocking=True)

    def split(self, count: int) -> Iterator[Tensor]:
        """All images in order, `count` at a time, on the device."""
        for at in range(0, len(self._rows), count):
            yield self._read(torch.arange(at, min(at + count, len(self._rows)))).to(self.device)

    def _read_on(self) -> None:
        batch = next(self._coming, None)
        self._ahead = None if batch is None else self._reader.submit(self._read, batch)

    def _read(self, examples: Tensor) -> Tensor:
        wanted = self._rows[examples.numpy()]
        order = np.argsort(wanted, kind="stable")  # the disk is read in one direction
        found = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        found[order] = self._images[wanted[order]]
        images = torch.from_numpy(found)
        return images.pin_memory() if self.device.type == "cuda" else images


def fits_in_memory(byte_count: int, device: torch.device) -> bool:
    """Whether so many bytes of images may live on the device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return byte_count <= free * _SHARE


def iterate_batches(images: Tensor | StreamedImages, count: int) -> Iterator[Tensor]:
    """All images in order, `count` at a time, on the device."""
    if isinstance(images, StreamedImages):
        return images.split(count)
    return iter(torch.split(images, count))

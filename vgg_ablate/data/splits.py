"""The examples of a run: decoded once, cached by content, split by the seed, resident on the device as uint8.

The seed draws positions in the cache's order, which is that of the pixels and not of files: see pixel_cache.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vgg_ablate.config.training import Data
from vgg_ablate.data import sources
from vgg_ablate.data.decode import ImageArray, LabelArray, ReportProgress
from vgg_ablate.data.pixel_cache import DecodedSplit, read_split
from vgg_ablate.data.rng import RandomStream, make_numpy_generator
from vgg_ablate.data.streaming import StreamedImages, fits_in_memory
from vgg_ablate.errors import DatasetError


class DecodedDataset(NamedTuple):
    """A decoded data set, memory-mapped: what the seed splits.

    Without a test split of its own, `test` is empty and the seed draws the test examples from the training files; they
    are then read from `test_source`, which holds these files at the size of testing.
    """

    train: DecodedSplit  # at data.train_size
    test: DecodedSplit  # at data.test_size
    test_source: DecodedSplit  # at data.test_size; `test`, or the files of `train`


class Split(NamedTuple):
    """Examples that live on the device, or whose images are read ahead of it."""

    images: Tensor | StreamedImages  # uint8, N x H x W x C
    labels: Tensor  # int64, N

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Split:
        """The first `count` examples, or all where there are fewer."""
        images = self.images.first(count) if isinstance(self.images, StreamedImages) else self.images[:count]
        return Split(images, self.labels[:count])


class Splits(NamedTuple):
    """Validation chooses; test is read once, at the end."""

    train: Split
    validation: Split
    test: Split
    mean: Tensor  # float32, C; of the training split, in units of 1/255
    std: Tensor  # float32, C; ones where the recipe subtracts the mean alone
    skipped: int  # files that could not be read


def load_splits(
    data: Data, fingerprint: str, seed: int, device: torch.device, *, resident: bool | None = None
) -> Splits:
    """The three splits that the seed draws, on the device; images resident where they fit (None) or where it is said.

    Raises DataMissing.
    """
    pool = load_decoded_dataset(data, fingerprint)
    train, validation, test = _drawn(data, len(pool.train.labels), len(pool.test.labels), seed)
    images = pool.train.images
    mean, std = _statistics(images, train)
    std = std if data.normalize == "standard" else torch.ones_like(std)
    if resident is None:
        tested = pool.test_source.images[:1].nbytes * len(test)
        resident = fits_in_memory(4 * (images.nbytes + tested) // 3, device)  # 4 bytes a pixel of three

    def split(of: DecodedSplit, rows: LabelArray) -> Split:
        here = torch.from_numpy(of.labels[rows]).to(device)
        return Split(
            torch.from_numpy(of.images[rows]).to(device) if resident else StreamedImages(of.images, rows, device), here
        )

    return Splits(
        split(pool.train, train),
        split(pool.train, validation),
        split(pool.test_source, test),
        mean.to(device),
        std.to(device),
        len(pool.train.skipped) + len(pool.test.skipped),
    )


def load_test_split(
    data: Data, fingerprint: str, seed: int, device: torch.device, *, resident: bool | None = None
) -> Split:
    """Return the test split of `splits` alone: another evaluation of a trained net may need larger images."""
    pool = load_decoded_dataset(data, fingerprint)
    _, _, rows = _drawn(data, len(pool.train.labels), len(pool.test.labels), seed)
    held = pool.test_source
    if resident is None:
        resident = fits_in_memory(held.images[:1].nbytes * len(rows), device)
    labels = torch.from_numpy(held.labels[rows]).to(device)
    if not resident:
        return Split(StreamedImages(held.images, rows, device), labels)
    return Split(torch.from_numpy(held.images[rows]).to(device), labels)


def load_decoded_dataset(data: Data, fingerprint: str, progress: ReportProgress | None = None) -> DecodedDataset:
    """The data set as arrays, from the cache or decoded into it. Safe when several processes start at once.

    `progress` hears of images. Raises DataMissing where the files are not what was planned.
    """
    train = _opened(sources.prepare_split(data, fingerprint, "train", data.train_size, progress))
    test = _opened(sources.prepare_split(data, fingerprint, "test", data.test_size, progress))
    if len(test.labels):
        return DecodedDataset(train, test, test)
    return DecodedDataset(
        train, test, _opened(sources.prepare_split(data, fingerprint, "train", data.test_size, progress))
    )


@lru_cache(maxsize=8)
def _opened(folder: Path) -> DecodedSplit:
    return read_split(folder)


def _drawn(data: Data, count: int, tests: int, seed: int) -> tuple[LabelArray, LabelArray, LabelArray]:
    """Indices of the training, validation and test examples. Without official tests they are drawn first."""
    order = make_numpy_generator(seed, RandomStream.SPLIT).permutation(count)
    held = 0 if tests else round(count * data.test_fraction)
    test, rest = (np.arange(tests) if tests else order[:held]), order[held:]
    rest = rest[: data.limit]
    chosen = round(len(rest) * data.validation_fraction)
    if not len(test) or not chosen or chosen == len(rest):
        rule = "every split needs an example"
        raise DatasetError(f"{data.name}: {rule}: {len(rest) - chosen} train, {chosen} validation, {len(test)} test")
    return rest[chosen:], rest[:chosen], test


def _statistics(images: ImageArray, rows: LabelArray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel, from its histogram: exact, whatever the number of images."""
    counts = np.zeros((images.shape[3], 256), np.int64)
    for at in range(0, len(rows), 4096):
        part = images[rows[at : at + 4096]]
        for channel in range(images.shape[3]):
            counts[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256, dtype=np.float64)
    mean = (counts * values).sum(1) / counts.sum(1)
    variance = (counts * (values - mean[:, None]) ** 2).sum(1) / counts.sum(1)
    std = torch.from_numpy(np.sqrt(variance)).float().clamp_min(1.0)  # a constant channel stays what it is
    return torch.from_numpy(mean).float(), std

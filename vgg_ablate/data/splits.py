"""The examples of a run: decoded once, cached by content, split by the seed, held on the device as uint8.

Contract: the seed draws positions in the cache's order, which is that of the pixels and not of files (pixel_cache). The
split depends on seed, data set and `data.*_fraction`, `data.limit` alone, so that all variants of a seed share it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vgg_ablate.config.training import Data
from vgg_ablate.data import sources, streaming
from vgg_ablate.data.augment import Normalizer
from vgg_ablate.data.decode import ImageArray, LabelArray, ReportProgress
from vgg_ablate.data.pixel_cache import DecodedSplit, read_split
from vgg_ablate.data.rng import RandomStream, make_numpy_generator
from vgg_ablate.data.streaming import StreamedImages, fits_in_memory
from vgg_ablate.data.views import get_validation_view, iterate_views
from vgg_ablate.errors import DatasetError, Problem, SpecError
from vgg_ablate.models.dense_coverage import find_scale_problems
from vgg_ablate.records import Run


class DecodedDataset(NamedTuple):
    """A decoded data set, memory-mapped, before the seed splits it.

    A data set without a test split of its own has an empty `test`. The seed then draws the test examples from the
    training files, and they are read from `test_source`, which holds these files at the test size.
    """

    train: DecodedSplit  # at data.train_size
    test: DecodedSplit  # at data.test_size
    test_source: DecodedSplit  # at data.test_size: `test`, or the files of `train`


class Split(NamedTuple):
    """Examples whose labels, and where they fit also images, are on the device."""

    images: Tensor | StreamedImages  # uint8, N x H x W x C
    labels: Tensor  # int64, N

    def __len__(self) -> int:
        return len(self.labels)

    def select_first(self, count: int) -> Split:
        """Return the first `count` examples, or all where there are fewer."""
        images = self.images.select_first(count) if isinstance(self.images, StreamedImages) else self.images[:count]
        return Split(images, self.labels[:count])


class Splits(NamedTuple):
    """The three splits of a run: validation chooses between epochs, test is read once, at the end."""

    train: Split
    validation: Split
    test: Split
    mean: Tensor  # float32, C; of the training split, in units of 1/255
    std: Tensor  # float32, C; ones for `data.normalize: mean`
    skipped: tuple[str, ...]  # path below the root, and reason, of every file that could not be read


def load_splits(
    data: Data, fingerprint: str, seed: int, device: torch.device, *, resident: bool | None = None
) -> Splits:
    """Return the three splits that the seed draws, on the device. Raises DatasetError.

    `resident`: whether images are held on the device; None means where they fit. The examples are the same either way.
    """
    dataset = load_decoded_dataset(data, fingerprint)
    # Drawn on the CPU by numpy, so that every device trains on the same split.
    train, validation, test = _draw_rows(data, len(dataset.train.labels), len(dataset.test.labels), seed)
    mean, std = _compute_statistics(dataset.train.images, train)
    std = std if data.normalize == "standard" else torch.ones_like(std)
    if resident is None:
        test_bytes = dataset.test_source.images[:1].nbytes * len(test)
        # The augmenter pads each 3-channel pixel to a word of 4 bytes.
        resident = fits_in_memory(4 * (dataset.train.images.nbytes + test_bytes) // 3, device)
    return Splits(
        _select_rows(dataset.train, train, device, resident=resident),
        _select_rows(dataset.train, validation, device, resident=resident),
        _select_rows(dataset.test_source, test, device, resident=resident),
        mean.to(device),
        std.to(device),
        sources.list_skipped_files(data, fingerprint),
    )


def load_test_split(
    data: Data, fingerprint: str, seed: int, device: torch.device, *, resident: bool | None = None
) -> Split:
    """Return the test split of `load_splits` alone, at `data.test_size`. Raises DatasetError.

    Another evaluation of a trained net may need larger test images than its training loaded.
    """
    dataset = load_decoded_dataset(data, fingerprint)
    _, _, rows = _draw_rows(data, len(dataset.train.labels), len(dataset.test.labels), seed)
    if resident is None:
        resident = fits_in_memory(dataset.test_source.images[:1].nbytes * len(rows), device)
    return _select_rows(dataset.test_source, rows, device, resident=resident)


def load_decoded_dataset(data: Data, fingerprint: str, progress: ReportProgress | None = None) -> DecodedDataset:
    """Return the data set as arrays, decoded into the cache where it is not there yet.

    Several processes may start at once. Raises DatasetError where the files are missing, damaged, or not those of the
    `fingerprint` that the run was planned with.
    """
    # Two sizes of one split are two entries of the cache, so that a larger test scale changes no training image.
    train = _read_cached_split(sources.prepare_split(data, fingerprint, "train", data.train_size, progress))
    test = _read_cached_split(sources.prepare_split(data, fingerprint, "test", data.test_size, progress))
    if len(test.labels):
        return DecodedDataset(train, test, test)
    test_source = sources.prepare_split(data, fingerprint, "train", data.test_size, progress)
    return DecodedDataset(train, test, _read_cached_split(test_source))


def load_validation_images(run: Run, count: int) -> Tensor:
    """Return the first `count` validation images, or all, as the net gets them in validation: float32, N x C x H x W.

    Drawings of a trained net use them, so that the test split is not read. Raises DatasetError, SpecError.
    """
    check_image_size(run)
    splits = load_splits(run.data, run.fingerprint, run.seed, torch.device("cpu"), resident=False)
    images = next(streaming.iterate_batches(splits.validation.images, count))
    view = next(iterate_views(images, get_validation_view(run.data.augment), run.arch))
    return Normalizer(splits.mean, splits.std)(view.images)


def check_image_size(run: Run) -> int:
    """Return the side, in pixels, of the images that the net gets. Raises SpecError where net and data do not fit.

    A study checks arch and data separately; whether they fit together is checked here.
    """
    data_size, channels, classes = run.data.shape
    size = run.arch.image_size or data_size
    assert size is not None  # Data requires image_size for data sets of many sizes
    problems = []
    if run.arch.in_channels not in (None, channels):
        problems.append(
            Problem(f"{run.data.name} has {channels} channels", "arch.in_channels", got=run.arch.in_channels)
        )
    if run.arch.classes is not None and classes is not None and run.arch.classes < classes:
        problems.append(Problem(f"{run.data.name} has {classes} classes", "arch.classes", got=run.arch.classes))
    jitter = run.data.augment.scale_jitter
    if jitter is not None and jitter.low < size:
        rule, path = f"must not be less than the net's image size {size}", "data.augment.scale_jitter.low"
        problems.append(Problem(rule, path, got=jitter.low))
    problems += find_scale_problems(run.arch, run.data.evaluate)
    if problems:
        raise SpecError(problems)
    return size


@lru_cache(maxsize=8)  # a worker trains many runs of one data set: map its files once
def _read_cached_split(folder: Path) -> DecodedSplit:
    return read_split(folder)


def _select_rows(source: DecodedSplit, rows: LabelArray, device: torch.device, *, resident: bool) -> Split:
    labels = torch.from_numpy(source.labels[rows]).to(device)
    if not resident:
        return Split(StreamedImages(source.images, rows, device), labels)
    return Split(torch.from_numpy(source.images[rows]).to(device), labels)


def _draw_rows(data: Data, count: int, test_count: int, seed: int) -> tuple[LabelArray, LabelArray, LabelArray]:
    """Draw the rows of the training, validation and test examples."""
    order = make_numpy_generator(seed, RandomStream.SPLIT).permutation(count)
    # Test examples are drawn before `limit` applies, so that a smaller training set is tested on the same ones.
    drawn = 0 if test_count else round(count * data.test_fraction)
    test, rest = (np.arange(test_count) if test_count else order[:drawn]), order[drawn:]
    rest = rest[: data.limit]
    validation_count = round(len(rest) * data.validation_fraction)
    train, validation = rest[validation_count:], rest[:validation_count]
    if not all(len(rows) for rows in (train, validation, test)):
        counts = f"{len(train)} train, {len(validation)} validation, {len(test)} test"
        raise DatasetError(f"{data.name}: every split needs an example: {counts}")
    return train, validation, test


def _compute_statistics(images: ImageArray, rows: LabelArray) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation per channel, in units of 1/255.

    From integer histograms: exact and independent of the order, and a memory-mapped data set is read once.
    """
    counts = np.zeros((images.shape[3], 256), np.int64)
    for start in range(0, len(rows), 4096):
        part = images[rows[start : start + 4096]]
        for channel in range(images.shape[3]):
            counts[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256, dtype=np.float64)
    mean = (counts * values).sum(1) / counts.sum(1)
    variance = (counts * (values - mean[:, None]) ** 2).sum(1) / counts.sum(1)
    std = torch.from_numpy(np.sqrt(variance)).float().clamp_min(1.0)  # a constant channel must not divide by 0
    return torch.from_numpy(mean).float(), std

"""The examples of a run: decoded once, cached by content, split by the seed, resident on the device as uint8."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vgg_ablate.errors import DataMissing
from vgg_ablate.spec.recipe import Data
from vgg_ablate.train import decoding, downloads, places, sources
from vgg_ablate.train.decoding import Decoded, Images, Labels, Progress
from vgg_ablate.train.streaming import Streamed, fits
from vgg_ablate.train.streams import Stream, numbers

DECODING = 1  # bumped by hand when the same files decode to other pixels; part of the cache's names


class Pool(NamedTuple):
    """A decoded data set, memory-mapped: what the seed splits.

    Without a test split of its own, `test` is empty and the seed draws the test examples from the training files; they
    are then read from `test_source`, which holds these files at the size of testing.
    """

    train: Decoded  # at data.train_size
    test: Decoded  # at data.test_size
    test_source: Decoded  # at data.test_size; `test`, or the files of `train`


class Split(NamedTuple):
    """Examples that live on the device, or whose images are read ahead of it."""

    images: Tensor | Streamed  # uint8, N x H x W x C
    labels: Tensor  # int64, N

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Split:
        """The first `count` examples, or all where there are fewer."""
        images = self.images.first(count) if isinstance(self.images, Streamed) else self.images[:count]
        return Split(images, self.labels[:count])


class Splits(NamedTuple):
    """Validation chooses; test is read once, at the end."""

    train: Split
    validation: Split
    test: Split
    mean: Tensor  # float32, C; of the training split, in units of 1/255
    std: Tensor  # float32, C; ones where the recipe subtracts the mean alone
    skipped: int  # files that could not be read


def splits(data: Data, fingerprint: str, seed: int, device: torch.device, *, resident: bool | None = None) -> Splits:
    """The three splits that the seed draws, on the device; images resident where they fit (None) or where it is said.

    Raises DataMissing.
    """
    pool = decoded(data, fingerprint)
    train, validation, test = _drawn(data, len(pool.train.labels), len(pool.test.labels), seed)
    images = pool.train.images
    mean, std = _statistics(images, train)
    std = std if data.normalize == "standard" else torch.ones_like(std)
    if resident is None:
        tested = pool.test_source.images[:1].nbytes * len(test)
        resident = fits(4 * (images.nbytes + tested) // 3, device)  # 4 bytes a pixel of three

    def split(of: Decoded, rows: Labels) -> Split:
        here = torch.from_numpy(of.labels[rows]).to(device)
        return Split(
            torch.from_numpy(of.images[rows]).to(device) if resident else Streamed(of.images, rows, device), here
        )

    return Splits(
        split(pool.train, train),
        split(pool.train, validation),
        split(pool.test_source, test),
        mean.to(device),
        std.to(device),
        len(pool.train.skipped) + len(pool.test.skipped),
    )


def decoded(data: Data, fingerprint: str, progress: Progress | None = None) -> Pool:
    """The data set as arrays, from the cache or decoded into it. Safe when several processes start at once.

    `progress` hears of image files, both splits together; arrays take no time. Raises DataMissing where the files are
    not what was planned.
    """
    train = _opened(_prepared(data, fingerprint, "train", data.train_size, progress))
    test = _opened(_prepared(data, fingerprint, "test", data.test_size, progress))
    if len(test.labels):
        return Pool(train, test, test)
    return Pool(train, test, _opened(_prepared(data, fingerprint, "train", data.test_size, progress)))


def _prepared(data: Data, fingerprint: str, split: str, size: int, progress: Progress | None) -> Path:
    """The cache folder of one split at one size: runs that differ only in `data.evaluate` share training images."""
    _, channels, classes = data.shape
    about = [DECODING, data.name, fingerprint, split, size, channels, classes, data.on_corrupt]
    name = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]

    def make(folder: Path) -> None:
        found = sources.fingerprint(data)
        if found != fingerprint:
            raise DataMissing(f"{data.name}: its files are {found}, the run was planned with {fingerprint}")
        counts = [len(sources.images(data, part)) if data.name in sources.FOLDERS else 0 for part in ("train", "test")]
        before = 0 if split == "train" else counts[0]
        _write(folder, _decode(data, split, size, progress and _part(progress, before, sum(counts))))

    return places.made_once(places.cache_folder() / "decoded" / name, make)


def _part(progress: Progress, before: int, total: int) -> Progress:
    """Progress of one split as that of the set."""
    return lambda done, _: progress(before + done, total)


def _decode(data: Data, split: str, size: int, progress: Progress | None) -> Decoded:
    channels = data.shape.channels
    if data.name in sources.FOLDERS:
        files = sources.images(data, split)
        skip = data.on_corrupt == "skip"
        return decoding.from_files(files, size, channels, skip_corrupt=skip, progress=progress)
    if data.name == "digits":
        arrays = _digits() if split == "train" else downloads.Arrays(np.empty((0, 8, 8, 1), np.uint8), np.empty(0, int))
    else:
        arrays = downloads.arrays(data, split)
    return decoding.from_arrays(arrays, size, channels)


def _digits() -> downloads.Arrays:
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    scaled = np.round(scans.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)  # the scans count from 0 to 16
    return downloads.Arrays(scaled, labels.astype(np.int64))


def _write(folder: Path, part: Decoded) -> None:
    np.save(folder / "images.npy", part.images)
    np.save(folder / "labels.npy", part.labels)
    (folder / "skipped.json").write_text(json.dumps(part.skipped), encoding="utf-8")


@lru_cache(maxsize=8)
def _opened(folder: Path) -> Decoded:
    images: Images = np.load(folder / "images.npy", mmap_mode="r")
    labels: Labels = np.load(folder / "labels.npy")
    return Decoded(images, labels, tuple(json.loads((folder / "skipped.json").read_text(encoding="utf-8"))))


def _drawn(data: Data, count: int, tests: int, seed: int) -> tuple[Labels, Labels, Labels]:
    """Indices of the training, validation and test examples. Without official tests they are drawn first."""
    order = numbers(seed, Stream.SPLIT).permutation(count)
    held = 0 if tests else round(count * data.test_fraction)
    test, rest = (np.arange(tests) if tests else order[:held]), order[held:]
    rest = rest[: data.limit]
    chosen = round(len(rest) * data.validation_fraction)
    if not len(test) or not chosen or chosen == len(rest):
        rule = "every split needs an example"
        raise DataMissing(f"{data.name}: {rule}: {len(rest) - chosen} train, {chosen} validation, {len(test)} test")
    return rest[chosen:], rest[:chosen], test


def _statistics(images: Images, rows: Labels) -> tuple[Tensor, Tensor]:
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

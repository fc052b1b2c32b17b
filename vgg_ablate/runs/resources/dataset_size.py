"""The number of examples of a run before its data are read: the published number, or that of the files."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from vgg_ablate.config.datasets import DATASETS
from vgg_ablate.config.training import Data
from vgg_ablate.data import sources
from vgg_ablate.errors import DatasetError
from vgg_ablate.records import Record


def count_training_examples(data: Data, records: Iterable[Record] = (), fingerprint: str | None = None) -> int | None:
    """Return the training examples per epoch; None if they are unknown.

    A record of the same data (with this `fingerprint`) has counted them: damaged images are left out there. Without
    such a record they follow from the size of the data set.
    """
    for record in records:
        if record.run.fingerprint == fingerprint and record.epochs and _has_same_split(record.run.data, data):
            return round(record.epochs[0].images_per_second * record.epochs[0].seconds)
    sizes = _count_split_examples(data)
    return None if sizes is None else sizes[0] - round(sizes[0] * data.validation_fraction)


def count_examples(data: Data) -> int:
    """Return the examples of all three splits together; 0 if they are unknown."""
    return sum(_count_split_examples(data) or (0, 0))


def _count_split_examples(data: Data) -> tuple[int, int] | None:
    """Return the examples for training and validation, and those for testing, in the order in which `splits` cuts."""
    sizes = DATASETS[data.name].examples or _count_files(data)
    if sizes is None:
        return None
    count, test_count = sizes
    drawn = 0 if test_count else round(count * data.test_fraction)
    remaining = count - drawn
    return min(remaining, data.limit or remaining), test_count or drawn


@cache  # listing a million files takes seconds, and every run of a plan needs the number
def _count_files(data: Data) -> tuple[int, int] | None:
    """Return the image files for training and for testing, damaged ones included; None if the folder is missing."""
    try:
        return len(sources.list_images(data, "train")), len(sources.list_images(data, "test"))
    except DatasetError:
        return None


def _has_same_split(data: Data, other: Data) -> bool:
    fields = ("limit", "validation_fraction", "test_fraction")
    return all(getattr(data, field) == getattr(other, field) for field in fields)

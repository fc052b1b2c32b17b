"""How many examples a run has to do with, before its data are read: by the data set's known size, or by listing it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from vgg_ablate.config.datasets import DATASETS
from vgg_ablate.config.training import Data
from vgg_ablate.data import sources
from vgg_ablate.errors import DatasetError
from vgg_ablate.records import Record


def count_training_examples(data: Data, records: Iterable[Record] = (), fingerprint: str | None = None) -> int | None:
    """Return the training examples per epoch, or None where they are not known.

    As a record of the same data (that `fingerprint`) has counted them, or by the data set's size.
    """
    for record in records:
        if record.epochs and record.run.fingerprint == fingerprint and _split_alike(record.run.data, data):
            return round(record.epochs[0].images_per_second * record.epochs[0].seconds)
    parts = _parts(data)
    return None if parts is None else parts[0] - round(parts[0] * data.validation_fraction)


def count_examples(data: Data) -> int:
    """Of all three splits; 0 where the data set's size is not known."""
    return sum(_parts(data) or (0, 0))


def _parts(data: Data) -> tuple[int, int] | None:
    """Examples to train on and to choose by, and to test on."""
    sizes = DATASETS[data.name].examples or _listed(data)
    if sizes is None:
        return None
    count, tests = sizes
    drawn = 0 if tests else round(count * data.test_fraction)
    own = count - drawn
    return min(own, data.limit or own), tests or drawn


@cache
def _listed(data: Data) -> tuple[int, int] | None:
    """Image files to train on and to test on, the damaged ones among them; None where the folder is not there."""
    try:
        return len(sources.list_images(data, "train")), len(sources.list_images(data, "test"))
    except DatasetError:
        return None


def _split_alike(one: Data, other: Data) -> bool:
    whats = ("limit", "validation_fraction", "test_fraction")
    return all(getattr(one, what) == getattr(other, what) for what in whats)

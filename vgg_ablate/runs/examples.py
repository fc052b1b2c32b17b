"""How many examples a run has to do with, as far as that can be said before its data are read."""

from __future__ import annotations

from collections.abc import Iterable

from vgg_ablate.records import Record
from vgg_ablate.spec.recipe import Data

_EXAMPLES = {  # training examples of data sets; of digits: of all, as it has no test split
    "digits": 1797,
    "mnist": 60_000,
    "fashion-mnist": 60_000,
    "kmnist": 60_000,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "svhn": 73_257,
    "stl10": 5_000,
    "imagenette": 9_469,
    "imagenet": 1_281_167,
}
_TESTED = {  # test examples of those that have a test split of their own
    "mnist": 10_000,
    "fashion-mnist": 10_000,
    "kmnist": 10_000,
    "cifar10": 10_000,
    "cifar100": 10_000,
    "svhn": 26_032,
    "stl10": 8_000,
    "imagenette": 3_925,
    "imagenet": 50_000,
}


def trained_on(data: Data, records: Iterable[Record] = ()) -> int | None:
    """Training examples of an epoch: as a record of the same data says, or by the data set's known size."""
    for record in records:
        if record.epochs and _same(record.run.data, data):
            return round(record.epochs[0].images_per_second * record.epochs[0].seconds)
    count = _EXAMPLES.get(data.name)
    if count is None:
        return None
    own = count - _tested(data)
    return round(min(own, data.limit or own) * (1 - data.validation))


def held(data: Data) -> int:
    """Of all three splits; 0 where the data set's size is not known."""
    count = _EXAMPLES.get(data.name, 0)
    own = count - _tested(data)
    return min(own, data.limit or own) + (_TESTED.get(data.name) or _tested(data))


def _tested(data: Data) -> int:
    """Those that the seed draws for testing from a data set without a test split."""
    return round(_EXAMPLES[data.name] * data.test) if data.name == "digits" else 0


def _same(one: Data, other: Data) -> bool:
    whats = ("name", "limit", "validation", "test", "image_size")
    return all(getattr(one, what) == getattr(other, what) for what in whats)

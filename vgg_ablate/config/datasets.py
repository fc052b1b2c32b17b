"""The data sets that a study can name, and the shape of what they hold. No files are touched here."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """What a data set's images and labels look like. `image_size` None: images come in many sizes."""

    image_size: int | None  # pixels a side
    channels: int
    classes: int | None  # None: the study must say


DATASETS: dict[str, Shape] = {
    "digits": Shape(8, 1, 10),  # scikit-learn's 1,797 scans; ships with it
    "mnist": Shape(28, 1, 10),
    "fashion-mnist": Shape(28, 1, 10),
    "kmnist": Shape(28, 1, 10),
    "cifar10": Shape(32, 3, 10),
    "cifar100": Shape(32, 3, 100),
    "svhn": Shape(32, 3, 10),
    "stl10": Shape(96, 3, 10),
    "imagenette": Shape(None, 3, 10),
    "imagenet": Shape(None, 3, 1000),
    "image-folder": Shape(None, 3, None),  # <root>/train/<class>/*, <root>/test/<class>/*
}

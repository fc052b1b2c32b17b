"""The data sets that a study can name, and the shapes of their images. This module opens no files."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """The image size, channels and classes of a data set."""

    image_size: int | None  # pixels per side; None: the images have various sizes
    channels: int
    classes: int | None  # None: the study must give the number


DATASETS: dict[str, Shape] = {
    "digits": Shape(8, 1, 10),  # 1,797 scans that ship with scikit-learn
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

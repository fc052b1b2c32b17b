"""torchvision's data sets by name: fetched when asked for, read as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

import numpy as np
import numpy.typing as npt

from vgg_ablate.errors import DataMissing
from vgg_ablate.spec.recipe import Data
from vgg_ablate.train import places

_CLASSES = {  # of torchvision.datasets
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "svhn": "SVHN",
    "stl10": "STL10",
    "imagenette": "Imagenette",
}
_BY_SPLIT = {"svhn": "test", "stl10": "test", "imagenette": "val"}  # `split="test"`; the others say `train=False`


class Arrays(NamedTuple):
    """A split as its files hold it."""

    images: npt.NDArray[np.uint8]  # N x H x W x C
    labels: npt.NDArray[np.int64]


def download(data: Data) -> None:
    """Fetch both splits into the root. Raises DataMissing where that fails."""
    root = places.root(data)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for split in ("train", "test"):
            _opened(data.name, root, split, download=True)
    except (OSError, URLError, RuntimeError) as error:
        reason = f"{data.name} could not be fetched into {root}: {_first_line(error)}"
        raise DataMissing(f"data.download: {reason}") from error


def arrays(data: Data, split: str) -> Arrays:
    """The `train` or `test` split of a data set whose files hold arrays. Raises DataMissing where they are damaged."""
    root = places.root(data)
    try:
        opened = _opened(data.name, root, split, download=False)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:  # torchvision asserts where a file is torn
        reason = _first_line(error).partition(". You can use")[0]  # torchvision's own option
        remedy = "where its files are removed, data.download: true fetches them anew"
        raise DataMissing(f"{root}: {data.name} cannot be read: {reason}; {remedy}") from error
    images = np.asarray(opened.data)
    if data.name in {"svhn", "stl10"}:  # N x C x H x W
        images = images.transpose(0, 2, 3, 1)
    labels = opened.targets if hasattr(opened, "targets") else opened.labels
    return Arrays(images if images.ndim == 4 else images[..., None], np.asarray(labels, dtype=np.int64))


def _opened(name: str, root: Path, split: str, *, download: bool) -> Any:
    from torchvision import datasets  # here: it takes as long as torch, and most workers need none of it

    which = {"split": _BY_SPLIT[name]} if name in _BY_SPLIT and split == "test" else {}
    if name in _BY_SPLIT and split == "train":
        which = {"split": "train"}
    options: dict[str, Any] = which or {"train": split == "train"}
    return getattr(datasets, _CLASSES[name])(str(root), download=download, **options)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

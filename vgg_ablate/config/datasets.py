"""The registry of data sets: all facts about each one, in one entry. Reads no file.

It is part of `config` and not of `data`, because imports go down: the study file is checked against it (names, image
sizes, classes), and so are plans, memory predictions and reports, none of which reads an image.

To add a data set, add an entry here. Its images lie in one folder per class (`folders`), or in array files that a class
of torchvision.datasets reads (`files` and `torchvision`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Shape(NamedTuple):
    """Image size, channels and number of classes of a data set."""

    image_size: int | None  # pixels a side; None: images come in many sizes
    channels: int
    classes: int | None  # None: the study must give it


class ExampleCounts(NamedTuple):
    """Number of examples of a data set as it is published."""

    train: int
    test: int


class ClassFolders(NamedTuple):
    """Layout with one folder of image files per class, below the data set's root."""

    parent: str  # of the two split folders, relative to the root; empty: the root itself
    train: str
    test: str


class TorchvisionClass(NamedTuple):
    """The class of torchvision.datasets that downloads a data set and, for array files, reads it."""

    name: str
    train: Mapping[str, str | bool]  # constructor arguments that select the training split
    test: Mapping[str, str | bool]
    channels_first: bool = False  # whether its `data` is N x C x H x W; otherwise N x H x W (x C)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """The facts about a data set that need none of its files."""

    shape: Shape
    examples: ExampleCounts | None  # None: depends on the files found
    # "drawn": the data set has no test split, so each seed draws its own test examples from the training files.
    # "fixed_or_drawn": drawn where the test folder does not exist.
    test_split: Literal["fixed", "drawn", "fixed_or_drawn"] = "fixed"
    files: tuple[str, ...] = ()  # array files, relative to the root, as torchvision lays them out
    folders: ClassFolders | None = None
    torchvision: TorchvisionClass | None = None
    class_names: tuple[str, ...] = ()  # in the order of the labels; empty: names of folders, or too many to print
    how_to_get: str = "data.download: true downloads it"  # the end of the message for missing files

    @property
    def is_downloadable(self) -> bool:
        """Whether `data.download: true` can download the data set."""
        return self.torchvision is not None


_DIGITS = tuple("0123456789")
_FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


def _build_idx_dataset(folder: str, class_names: tuple[str, ...] = ()) -> DatasetInfo:
    """Return the entry of a data set in MNIST's format; torchvision names its class and its folder alike."""
    names = ("t10k-images-idx3", "t10k-labels-idx1", "train-images-idx3", "train-labels-idx1")
    return DatasetInfo(
        shape=Shape(28, 1, 10),
        examples=ExampleCounts(60_000, 10_000),
        files=tuple(f"{folder}/raw/{name}-ubyte" for name in names),
        torchvision=TorchvisionClass(folder, {"train": True}, {"train": False}),
        class_names=class_names,
    )


_CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")

DATASETS: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(  # scikit-learn's scans, which ship with it
        shape=Shape(8, 1, 10), examples=ExampleCounts(1_797, 0), test_split="drawn", class_names=_DIGITS
    ),
    "mnist": _build_idx_dataset("MNIST", _DIGITS),
    "fashion-mnist": _build_idx_dataset("FashionMNIST", _FASHION),
    "kmnist": _build_idx_dataset("KMNIST"),
    "cifar10": DatasetInfo(
        shape=Shape(32, 3, 10),
        examples=ExampleCounts(50_000, 10_000),
        files=tuple(f"cifar-10-batches-py/{name}" for name in _CIFAR10_FILES),
        torchvision=TorchvisionClass("CIFAR10", {"train": True}, {"train": False}),
        class_names=_CIFAR10,
    ),
    "cifar100": DatasetInfo(
        shape=Shape(32, 3, 100),
        examples=ExampleCounts(50_000, 10_000),
        files=tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta")),
        torchvision=TorchvisionClass("CIFAR100", {"train": True}, {"train": False}),
    ),
    "svhn": DatasetInfo(
        shape=Shape(32, 3, 10),
        examples=ExampleCounts(73_257, 26_032),
        files=("train_32x32.mat", "test_32x32.mat"),
        torchvision=TorchvisionClass("SVHN", {"split": "train"}, {"split": "test"}, channels_first=True),
        class_names=_DIGITS,
    ),
    "stl10": DatasetInfo(
        shape=Shape(96, 3, 10),
        examples=ExampleCounts(5_000, 8_000),
        files=tuple(f"stl10_binary/{name}.bin" for name in ("train_X", "train_y", "test_X", "test_y")),
        torchvision=TorchvisionClass("STL10", {"split": "train"}, {"split": "test"}, channels_first=True),
        class_names=_STL10,
    ),
    "imagenette": DatasetInfo(
        shape=Shape(None, 3, 10),
        examples=ExampleCounts(9_469, 3_925),
        folders=ClassFolders("imagenette2", "train", "val"),
        torchvision=TorchvisionClass("Imagenette", {"split": "train"}, {"split": "val"}),
    ),
    "imagenet": DatasetInfo(  # not downloadable: its owners let nobody else distribute it
        shape=Shape(None, 3, 1000),
        examples=ExampleCounts(1_281_167, 50_000),
        folders=ClassFolders("", "train", "val"),
        how_to_get="its root holds train/<class>/* and val/<class>/*, as torchvision.datasets.ImageNet unpacks the"
        " archives of image-net.org",
    ),
    "image-folder": DatasetInfo(
        shape=Shape(None, 3, None),
        examples=None,
        test_split="fixed_or_drawn",
        folders=ClassFolders("", "train", "test"),
        how_to_get="its root holds train/<class>/* and test/<class>/*, one folder per class; test is optional",
    ),
}

"""Every data set that torchvision names, from files made in its format and read by torchvision's own reader.

The writers follow the formats as their owners describe them, so that a plane, an axis or a label in the wrong place
shows. Where a reader knows the real files by checksum, a subclass knows those made here.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision import datasets

from vgg_ablate.config.datasets import DATASETS
from vgg_ablate.config.training import Data
from vgg_ablate.data import sources
from vgg_ablate.data.splits import load_decoded_dataset, load_splits
from vgg_ablate.errors import DatasetError

Bytes = npt.NDArray[np.uint8]
Patch = pytest.MonkeyPatch
EACH = {"train": 3, "test": 1}  # images of every class


def made(name: str, split: str) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Noise in the set's shape, N x H x W x C, and labels of every class in no order."""
    shape = DATASETS[name].shape
    assert shape.classes is not None
    assert shape.image_size is not None
    draw = np.random.default_rng([sorted(DATASETS).index(name), EACH[split]])
    labels = draw.permutation(np.repeat(np.arange(shape.classes), EACH[split]))
    sides = (shape.image_size, shape.image_size, shape.channels)
    return draw.integers(0, 256, (len(labels), *sides), dtype=np.uint8), labels


def in_order(images: Bytes, labels: npt.NDArray[np.int64]) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Sorted by the digest of shape and pixels, then by label, as the cache keeps them."""

    def digest(row: int) -> tuple[bytes, int]:
        image = images[row]
        shape = " ".join(map(str, image.shape)).encode()
        return hashlib.sha256(shape + b"\n" + image.tobytes()).digest(), int(labels[row])

    order = sorted(range(len(images)), key=digest)
    return images[order], labels[order]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def known(name: str, patch: Patch, **checksums: Any) -> None:
    """From now on the set is read by a reader that knows these files."""
    reader = DATASETS[name].torchvision
    assert reader is not None
    patch.setattr(datasets, reader.name, type(reader.name, (getattr(datasets, reader.name),), checksums))


def idx(root: Path, name: str) -> None:
    """Images row by row, labels, each after a header of big-endian numbers."""
    folder = root / {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}[name] / "raw"
    folder.mkdir(parents=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = made(name, split)
        head, short = np.array([0x803, *images.shape[:3]], ">i4"), np.array([0x801, len(labels)], ">i4")
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(head.tobytes() + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(short.tobytes() + labels.astype(np.uint8).tobytes())


def planes(images: Bytes) -> Bytes:
    """A row an image: all of its red, row by row, then green, then blue."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


Arrays = tuple[Bytes, npt.NDArray[np.int64]]  # images and labels of a split


def cifar10(root: Path, patch: Patch) -> None:
    write_cifar10(root, patch, made("cifar10", "train"), made("cifar10", "test"))


def write_cifar10(root: Path, patch: Patch, train: Arrays, test: Arrays) -> None:
    """Five batches to train on, and one to test: pickled mappings, as Python 2 wrote them."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images, labels = train
    batches = [
        (f"data_batch_{n + 1}", rows, some.tolist())
        for n, (rows, some) in enumerate(zip(np.split(planes(images), 5), np.split(labels, 5), strict=True))
    ]
    tests, theirs = test
    for name, rows, some in [*batches, ("test_batch", planes(tests), theirs.tolist())]:
        (folder / name).write_bytes(pickle.dumps({"batch_label": name, "labels": some, "data": rows}, 2))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {n}" for n in range(10)]}, 2))
    known(
        "cifar10",
        patch,
        train_list=[[name, md5(folder / name)] for name, *_ in batches],
        test_list=[["test_batch", md5(folder / "test_batch")]],
        meta={**datasets.CIFAR10.meta, "md5": md5(folder / "batches.meta")},
    )


def cifar100(root: Path, patch: Patch) -> None:
    folder = root / "cifar-100-python"
    folder.mkdir()
    for split in ("train", "test"):
        images, labels = made("cifar100", split)
        entry = {"fine_labels": labels.tolist(), "coarse_labels": (labels // 5).tolist(), "data": planes(images)}
        (folder / split).write_bytes(pickle.dumps(entry, 2))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class {n}" for n in range(100)]}, 2))
    known(
        "cifar100",
        patch,
        train_list=[["train", md5(folder / "train")]],
        test_list=[["test", md5(folder / "test")]],
        meta={**datasets.CIFAR100.meta, "md5": md5(folder / "meta")},
    )


def svhn(root: Path, patch: Patch) -> None:
    """MATLAB files: X is rows x columns x colours x images, y a column in which the digit 0 is written 10."""
    split_list = {}
    for split in ("train", "test"):
        images, labels = made("svhn", split)
        file = f"{split}_32x32.mat"
        written = np.where(labels == 0, 10, labels).astype(np.uint8)
        scipy.io.savemat(root / file, {"X": images.transpose(1, 2, 3, 0), "y": written[:, None]})
        split_list[split] = ["", file, md5(root / file)]
    known("svhn", patch, split_list=split_list)


def stl10(root: Path, patch: Patch) -> None:
    """Planes of red, green, blue, each column by column; labels from 1."""
    folder = root / "stl10_binary"
    folder.mkdir()
    (folder / "unlabeled_X.bin").write_bytes(b"")
    for split in ("train", "test"):
        images, labels = made("stl10", split)
        (folder / f"{split}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    known(
        "stl10",
        patch,
        train_list=[[name, md5(folder / name)] for name in ("train_X.bin", "train_y.bin", "unlabeled_X.bin")],
        test_list=[[name, md5(folder / name)] for name in ("test_X.bin", "test_y.bin")],
    )


ARRAYS: dict[str, Callable[[Path, Patch], None]] = {
    "mnist": lambda root, _: idx(root, "mnist"),
    "fashion-mnist": lambda root, _: idx(root, "fashion-mnist"),
    "kmnist": lambda root, _: idx(root, "kmnist"),
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": svhn,
    "stl10": stl10,
}


def test_no_data_set_of_arrays_is_left_out() -> None:
    assert set(ARRAYS) == {name for name, info in DATASETS.items() if info.files}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_read_pixel_for_pixel_with_their_labels_and_splits(
    name: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    ARRAYS[name](tmp_path, monkeypatch)
    data = Data(name=name, root=str(tmp_path), validation_fraction=0.25)
    pool = load_decoded_dataset(data, sources.compute_data_fingerprint(data))
    for part, split in ((pool.train, "train"), (pool.test, "test")):
        images, labels = in_order(*made(name, split))
        assert np.array_equal(part.images, images)
        assert np.array_equal(part.labels, labels)
        assert set(labels) == set(range(data.shape.classes or 0))
    three = load_splits(data, sources.compute_data_fingerprint(data), 0, torch.device("cpu"))
    classes = data.shape.classes or 0
    held = round(0.25 * 3 * classes)
    assert [len(part) for part in three[:3]] == [3 * classes - held, held, classes]


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "stl10"])
def test_files_that_are_not_the_real_ones_are_refused_with_a_way_out(
    name: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    ARRAYS[name](tmp_path, monkeypatch)
    data = Data(name=name, root=str(tmp_path))
    _, path = sorted(sources.list_array_files(data))[-1]
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        sources.compute_data_fingerprint(data)
    assert str(caught.value) == (
        f"{tmp_path}: {name} cannot be read: Dataset not found or corrupted; "
        "where its files are removed, data.download: true fetches them anew"
    )


@pytest.mark.parametrize("name", ARRAYS)
def test_a_set_of_which_one_file_is_missing_is_missing(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    ARRAYS[name](tmp_path, monkeypatch)
    data = Data(name=name, root=str(tmp_path))
    for _, path in sources.list_array_files(data):
        path.rename(tmp_path / "away")
        with pytest.raises(DatasetError, match=rf"^data\.name: {name} is not there: no {path} \(.*download: true"):
            sources.compute_data_fingerprint(data)
        (tmp_path / "away").rename(path)


def photographs(top: Path, wnids: list[str], each: dict[str, int]) -> None:
    """JPEG files of noise, 8 x 8, one folder a class and split; colours and greys."""
    draw = np.random.default_rng(5)
    for split, count in each.items():
        for number, wnid in enumerate(wnids):
            (top / split / wnid).mkdir(parents=True)
            for index in range(count):
                noise = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                picture = Image.fromarray(noise if (number + index) % 4 else noise[..., 0])
                picture.save(top / split / wnid / f"{wnid}_{index}.JPEG")


def as_torchvision_reads(seen: Any) -> tuple[Bytes, npt.NDArray[np.int64]]:
    both = [seen[index] for index in range(len(seen))]
    return np.stack([np.asarray(image) for image, _ in both]), np.array([label for _, label in both])


def assert_equal_to(data: Data, train: Any, test: Any) -> None:
    pool = load_decoded_dataset(data, sources.compute_data_fingerprint(data))
    for part, seen in ((pool.train, train), (pool.test, test)):
        images, labels = in_order(*as_torchvision_reads(seen))
        assert np.array_equal(part.images, images)
        assert np.array_equal(part.labels, labels)


def test_imagenette_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    wnids = sorted(datasets.Imagenette._WNID_TO_CLASS)
    photographs(tmp_path / "imagenette2", wnids, {"train": 3, "val": 2})
    data = Data(name="imagenette", root=str(tmp_path), image_size=8)
    assert data.shape.classes == len(wnids)
    assert_equal_to(data, *(datasets.Imagenette(str(tmp_path), split) for split in ("train", "val")))


def test_imagenet_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    wnids = [f"n{number:08d}" for number in range(1000)]
    photographs(tmp_path, wnids, {"train": 1, "val": 1})
    torch.save(({wnid: (f"class of {wnid}",) for wnid in wnids}, wnids), tmp_path / "meta.bin")
    data = Data(name="imagenet", root=str(tmp_path), image_size=8)
    assert data.shape.classes == len(wnids)
    assert_equal_to(data, *(datasets.ImageNet(str(tmp_path), split) for split in ("train", "val")))


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"digits"}))
def test_every_data_set_that_is_missing_says_in_one_line_how_to_get_it(name: str, tmp_path: Path) -> None:
    known = DATASETS[name].shape
    data = Data(name=name, root=str(tmp_path), image_size=known.image_size or 32, classes=known.classes or 3)
    how = {
        "imagenet": r"train/<class>/\* and val/<class>/\*, as torchvision\.datasets\.ImageNet unpacks .*image-net\.org",
        "image-folder": r"train/<class>/\* and test/<class>/\*, one folder per class",
    }.get(name, r"data\.download: true fetches it")
    with pytest.raises(DatasetError, match=rf"^data\.name: {name} is not there: no .*{how}$"):
        sources.compute_data_fingerprint(data)

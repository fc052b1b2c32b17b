"""Every data set of torchvision, from files written here in its format and read by torchvision's own reader.

The writers follow the formats as their owners describe them, so that a plane, an axis or a label in the wrong place is
noticed. Where a reader checks the real files by checksum, a subclass has the checksums of those written here.
"""

from __future__ import annotations

import gzip
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
from vgg_ablate.data import sources, torchvision_sets
from vgg_ablate.data.splits import load_decoded_dataset, load_splits
from vgg_ablate.errors import DatasetError

Bytes = npt.NDArray[np.uint8]
Patch = pytest.MonkeyPatch
EACH = {"train": 3, "test": 1}  # images of every class


def draw_split(name: str, split: str) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Return noise in the data set's shape, N x H x W x C, and labels of every class in a random order."""
    shape = DATASETS[name].shape
    assert shape.classes is not None
    assert shape.image_size is not None
    generator = np.random.default_rng([sorted(DATASETS).index(name), EACH[split]])
    labels = generator.permutation(np.repeat(np.arange(shape.classes), EACH[split]))
    sides = (shape.image_size, shape.image_size, shape.channels)
    return generator.integers(0, 256, (len(labels), *sides), dtype=np.uint8), labels


def sort_examples(images: Bytes, labels: npt.NDArray[np.int64]) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Sort examples by the digest of shape and pixels, then by label, as the cache does."""

    def compute_key(row: int) -> tuple[bytes, int]:
        image = images[row]
        shape = " ".join(map(str, image.shape)).encode()
        return hashlib.sha256(shape + b"\n" + image.tobytes()).digest(), int(labels[row])

    order = sorted(range(len(images)), key=compute_key)
    return images[order], labels[order]


def compute_md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def accept_files(name: str, patch: Patch, **checksums: Any) -> None:
    """Replace torchvision's reader by a subclass with these checksums."""
    reader = DATASETS[name].torchvision
    assert reader is not None
    patch.setattr(datasets, reader.name, type(reader.name, (getattr(datasets, reader.name),), checksums))


def write_idx(root: Path, name: str) -> None:
    """Write images row by row, and labels, each after a header of big-endian numbers."""
    folder = root / {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}[name] / "raw"
    folder.mkdir(parents=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = draw_split(name, split)
        image_header, label_header = np.array([0x803, *images.shape[:3]], ">i4"), np.array([0x801, len(labels)], ">i4")
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(image_header.tobytes() + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(label_header.tobytes() + labels.astype(np.uint8).tobytes())


def flatten_planes(images: Bytes) -> Bytes:
    """Return one row per image: all of its red, row by row, then green, then blue."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


SplitContent = tuple[Bytes, npt.NDArray[np.int64]]  # images and labels of a split


def write_random_cifar10(root: Path, patch: Patch) -> None:
    write_cifar10(root, patch, draw_split("cifar10", "train"), draw_split("cifar10", "test"))


def write_cifar10(root: Path, patch: Patch, train: SplitContent, test: SplitContent) -> None:
    """Write five training batches and a test batch: pickled mappings, as Python 2 wrote them."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images, labels = train
    batches = [
        (f"data_batch_{n + 1}", rows, batch_labels.tolist())
        for n, (rows, batch_labels) in enumerate(
            zip(np.split(flatten_planes(images), 5), np.split(labels, 5), strict=True)
        )
    ]
    test_images, test_labels = test
    for name, rows, batch_labels in [*batches, ("test_batch", flatten_planes(test_images), test_labels.tolist())]:
        (folder / name).write_bytes(pickle.dumps({"batch_label": name, "labels": batch_labels, "data": rows}, 2))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {n}" for n in range(10)]}, 2))
    accept_files(
        "cifar10",
        patch,
        train_list=[[name, compute_md5(folder / name)] for name, *_ in batches],
        test_list=[["test_batch", compute_md5(folder / "test_batch")]],
        meta={**datasets.CIFAR10.meta, "md5": compute_md5(folder / "batches.meta")},
    )


def write_cifar100(root: Path, patch: Patch) -> None:
    folder = root / "cifar-100-python"
    folder.mkdir()
    for split in ("train", "test"):
        images, labels = draw_split("cifar100", split)
        entry = {
            "fine_labels": labels.tolist(),
            "coarse_labels": (labels // 5).tolist(),
            "data": flatten_planes(images),
        }
        (folder / split).write_bytes(pickle.dumps(entry, 2))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class {n}" for n in range(100)]}, 2))
    accept_files(
        "cifar100",
        patch,
        train_list=[["train", compute_md5(folder / "train")]],
        test_list=[["test", compute_md5(folder / "test")]],
        meta={**datasets.CIFAR100.meta, "md5": compute_md5(folder / "meta")},
    )


def write_svhn(root: Path, patch: Patch) -> None:
    """Write MATLAB files: X is rows x columns x channels x images, y a column in which the digit 0 is 10."""
    split_list = {}
    for split in ("train", "test"):
        images, labels = draw_split("svhn", split)
        file = f"{split}_32x32.mat"
        matlab_labels = np.where(labels == 0, 10, labels).astype(np.uint8)
        scipy.io.savemat(root / file, {"X": images.transpose(1, 2, 3, 0), "y": matlab_labels[:, None]})
        split_list[split] = ["", file, compute_md5(root / file)]
    accept_files("svhn", patch, split_list=split_list)


def write_stl10(root: Path, patch: Patch) -> None:
    """Write planes of red, green and blue, each column by column, and labels that count from 1."""
    folder = root / "stl10_binary"
    folder.mkdir()
    (folder / "unlabeled_X.bin").write_bytes(b"")
    for split in ("train", "test"):
        images, labels = draw_split("stl10", split)
        (folder / f"{split}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    accept_files(
        "stl10",
        patch,
        train_list=[[name, compute_md5(folder / name)] for name in ("train_X.bin", "train_y.bin", "unlabeled_X.bin")],
        test_list=[[name, compute_md5(folder / name)] for name in ("test_X.bin", "test_y.bin")],
    )


WRITERS: dict[str, Callable[[Path, Patch], None]] = {
    "mnist": lambda root, _: write_idx(root, "mnist"),
    "fashion-mnist": lambda root, _: write_idx(root, "fashion-mnist"),
    "kmnist": lambda root, _: write_idx(root, "kmnist"),
    "cifar10": write_random_cifar10,
    "cifar100": write_cifar100,
    "svhn": write_svhn,
    "stl10": write_stl10,
}


def test_every_data_set_of_arrays_has_a_writer() -> None:
    assert set(WRITERS) == {name for name, info in DATASETS.items() if info.files}


@pytest.mark.parametrize("name", WRITERS)
def test_arrays_are_read_with_their_labels_and_splits(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    WRITERS[name](tmp_path, monkeypatch)
    data = Data(name=name, root=str(tmp_path), validation_fraction=0.25)
    dataset = load_decoded_dataset(data, sources.compute_data_fingerprint(data))
    for part, split in ((dataset.train, "train"), (dataset.test, "test")):
        images, labels = sort_examples(*draw_split(name, split))
        assert np.array_equal(part.images, images)
        assert np.array_equal(part.labels, labels)
        assert set(labels) == set(range(data.shape.classes or 0))
    splits = load_splits(data, sources.compute_data_fingerprint(data), 0, torch.device("cpu"))
    classes = data.shape.classes or 0
    validation = round(0.25 * 3 * classes)
    assert [len(part) for part in splits[:3]] == [3 * classes - validation, validation, classes]


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "stl10"])
def test_files_with_a_wrong_checksum_are_an_error_with_a_remedy(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    WRITERS[name](tmp_path, monkeypatch)
    data = Data(name=name, root=str(tmp_path))
    _, path = sorted(sources.list_array_files(data))[-1]
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        sources.compute_data_fingerprint(data)
    assert str(caught.value) == (
        f"{tmp_path}: {name} cannot be read: Dataset not found or corrupted; "
        "remove its files and set data.download: true to download them again"
    )


@pytest.mark.parametrize("name", WRITERS)
def test_a_data_set_with_a_missing_file_is_an_error_that_names_the_file(
    name: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    WRITERS[name](tmp_path, monkeypatch)
    data = Data(name=name, root=str(tmp_path))
    for _, path in sources.list_array_files(data):
        path.rename(tmp_path / "away")
        with pytest.raises(DatasetError, match=rf"^data\.name: {name} not found: no {path} \(.*download: true"):
            sources.compute_data_fingerprint(data)
        (tmp_path / "away").rename(path)


def write_photographs(top: Path, wnids: list[str], counts: dict[str, int]) -> None:
    """Write JPEG files of 8 x 8 noise, in color and gray, in one folder per split and class."""
    generator = np.random.default_rng(5)
    for split, count in counts.items():
        for number, wnid in enumerate(wnids):
            (top / split / wnid).mkdir(parents=True)
            for index in range(count):
                noise = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                image = Image.fromarray(noise if (number + index) % 4 else noise[..., 0])
                image.save(top / split / wnid / f"{wnid}_{index}.JPEG")


def read_with_torchvision(reference: Any) -> tuple[Bytes, npt.NDArray[np.int64]]:
    examples = [reference[index] for index in range(len(reference))]
    return np.stack([np.asarray(image) for image, _ in examples]), np.array([label for _, label in examples])


def assert_equal_to(data: Data, train: Any, test: Any) -> None:
    dataset = load_decoded_dataset(data, sources.compute_data_fingerprint(data))
    for part, reference in ((dataset.train, train), (dataset.test, test)):
        images, labels = sort_examples(*read_with_torchvision(reference))
        assert np.array_equal(part.images, images)
        assert np.array_equal(part.labels, labels)


def test_imagenette_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    wnids = sorted(datasets.Imagenette._WNID_TO_CLASS)
    write_photographs(tmp_path / "imagenette2", wnids, {"train": 3, "val": 2})
    data = Data(name="imagenette", root=str(tmp_path), image_size=8)
    assert data.shape.classes == len(wnids)
    assert_equal_to(data, *(datasets.Imagenette(str(tmp_path), split) for split in ("train", "val")))


def test_imagenet_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    wnids = [f"n{number:08d}" for number in range(1000)]
    write_photographs(tmp_path, wnids, {"train": 1, "val": 1})
    torch.save(({wnid: (f"class of {wnid}",) for wnid in wnids}, wnids), tmp_path / "meta.bin")
    data = Data(name="imagenet", root=str(tmp_path), image_size=8)
    assert data.shape.classes == len(wnids)
    assert_equal_to(data, *(datasets.ImageNet(str(tmp_path), split) for split in ("train", "val")))


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"digits"}))
def test_the_error_for_a_missing_data_set_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    shape = DATASETS[name].shape
    data = Data(name=name, root=str(tmp_path), image_size=shape.image_size or 32, classes=shape.classes or 3)
    remedy = {
        "imagenet": r"train/<class>/\* and val/<class>/\*, as torchvision\.datasets\.ImageNet unpacks .*image-net\.org",
        "image-folder": r"train/<class>/\* and test/<class>/\*, one folder per class; test is optional",
    }.get(name, r"data\.download: true downloads it")
    with pytest.raises(DatasetError, match=rf"^data\.name: {name} not found: no .*{remedy}$"):
        sources.compute_data_fingerprint(data)


def test_idx_files_may_be_compressed_and_lie_in_the_root_as_in_debians_package(tmp_path: Path) -> None:
    write_idx(tmp_path / "plain", "fashion-mnist")
    plain = Data(name="fashion-mnist", root=str(tmp_path / "plain"))
    expected = sources.compute_data_fingerprint(plain)
    paths = dict(sources.list_array_files(plain))
    for layout, below, compress in (("flat", "", True), ("unpacked", "", False), ("raw", "FashionMNIST/raw", True)):
        folder = tmp_path / layout / below
        folder.mkdir(parents=True)
        for path in paths.values():
            content = path.read_bytes()
            (folder / (path.name + ".gz" * compress)).write_bytes(gzip.compress(content) if compress else content)
        data = Data(name="fashion-mnist", root=str(tmp_path / layout))
        assert sources.compute_data_fingerprint(data) == expected
        assert [name for name, _ in sources.list_array_files(data)] == list(paths)
        images, labels = draw_split("fashion-mnist", "train")
        train = torchvision_sets.read_arrays(data)["train"]
        assert np.array_equal(train.images, images)
        assert np.array_equal(train.labels, labels)


def test_idx_files_in_the_root_are_read_only_where_the_study_names_the_root(tmp_path: Path, monkeypatch: Patch) -> None:
    """They don't say which data set they are: $VGG_ABLATE_DATA would make Fashion-MNIST pass for MNIST."""
    write_idx(tmp_path, "mnist")
    for path in (tmp_path / "MNIST" / "raw").iterdir():
        path.rename(tmp_path / path.name)
    monkeypatch.setenv("VGG_ABLATE_DATA", str(tmp_path))
    assert sources.compute_data_fingerprint(Data(name="mnist", root="."))
    with pytest.raises(DatasetError, match=r"mnist not found: no .*MNIST/raw/t10k-images-idx3-ubyte"):
        sources.compute_data_fingerprint(Data(name="mnist"))


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b"not gzip"])
def test_a_damaged_compressed_file_is_an_error_that_names_it(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_idx(tmp_path, "kmnist")
    for path in (tmp_path / "KMNIST" / "raw").iterdir():
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    damaged = tmp_path / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damage(damaged.read_bytes()))
    with pytest.raises(DatasetError, match=rf"^{damaged}: cannot be read: "):
        sources.compute_data_fingerprint(Data(name="kmnist", root=str(tmp_path)))

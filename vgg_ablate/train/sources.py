"""The files of a data set: which they are, whether they are there, and the fingerprint of their content. No torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from vgg_ablate.errors import DataMissing, nearest
from vgg_ablate.records import link_into_place
from vgg_ablate.spec.recipe import Data
from vgg_ablate.train import places

IMAGES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_IDX = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "train-images-idx3-ubyte", "train-labels-idx1-ubyte")
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
_BINARY = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")

FILES: dict[str, tuple[str, ...]] = {  # as torchvision lays them out below its root; their order is the fingerprint's
    "mnist": tuple(f"MNIST/raw/{file}" for file in _IDX),
    "fashion-mnist": tuple(f"FashionMNIST/raw/{file}" for file in _IDX),
    "kmnist": tuple(f"KMNIST/raw/{file}" for file in _IDX),
    "cifar10": tuple(f"cifar-10-batches-py/{file}" for file in _BATCHES),
    "cifar100": ("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"),
    "svhn": ("train_32x32.mat", "test_32x32.mat"),
    "stl10": tuple(f"stl10_binary/{file}" for file in _BINARY),
}
FOLDERS: dict[str, tuple[str, str, str]] = {  # below the root: (folder, training, test) of one folder per class
    "imagenette": ("imagenette2", "train", "val"),
    "imagenet": ("", "train", "val"),
    "image-folder": ("", "train", "test"),
}
_READERS = 16  # files that are read at once
_TOGETHER = 64  # of these, read one after the other
_REMEDIES = {
    **dict.fromkeys([*FILES, "imagenette"], "data.download: true fetches it"),
    "imagenet": "its root holds train/<class>/* and val/<class>/*, as torchvision.datasets.ImageNet unpacks the"
    " archives of image-net.org",
    "image-folder": "its root holds train/<class>/* and test/<class>/*, one folder a class",
}
FETCHED = frozenset(FILES) | {"imagenette"}  # ImageNet's owners let nobody else hand it out


class Listed(NamedTuple):
    """One image file of a folder data set."""

    path: Path
    label: int


def fingerprint(data: Data) -> str:
    """16 hex digits of the SHA-256 of the data set's files: names and content. Raises DataMissing.

    Reading 60,000 files takes seconds, or minutes, so the answer is kept by the files' numbers, sizes and times.
    """
    if data.download and data.name in FETCHED:
        _fetched(data)
    found = list(files(data))
    kept = places.cache_folder() / "fingerprints" / _listing(places.root(data), found)
    if kept.exists():
        return kept.read_text(encoding="ascii")
    content = hashlib.sha256()
    for (name, _), digest in zip(found, _digests([path for _, path in found]), strict=True):
        content.update(f"{name}\0{digest}\n".encode())
    answer = content.hexdigest()[:16]
    link_into_place(kept, answer)
    return answer


def images(data: Data, split: str) -> list[Listed]:
    """The images of a folder data set's `train` or `test` split, by class and name; empty where there is no `test`.

    Raises DataMissing where the folder is not there or its classes are not as declared.
    """
    below, train, test = FOLDERS[data.name]
    top = places.root(data) / below
    classes = _classes(data, top / train)
    folder = top / (train if split == "train" else test)
    if split == "test" and not folder.is_dir() and data.name == "image-folder":
        return []
    if (found := _classes(data, folder)) != classes:
        differing = ", ".join(sorted(set(found) ^ set(classes)))
        raise DataMissing(f"{folder}: its class folders differ from those of {train}: {differing}")
    return [
        Listed(folder / name / file, label)
        for label, name in enumerate(classes)
        for file in sorted(os.listdir(folder / name))
        if os.path.splitext(file)[1].lower() in IMAGES
    ]


def files(data: Data) -> Iterator[tuple[str, Path]]:
    """The data set's files in the fingerprint's order: name below the root, and path. Raises DataMissing."""
    if data.name == "digits":
        yield "digits.csv.gz", _digits()
    elif data.name in FOLDERS:
        below = Path(FOLDERS[data.name][0]).parts
        for split in ("train", "test"):
            yield from (("/".join((*below, *listed.path.parts[-3:])), listed.path) for listed in images(data, split))
    else:
        top = places.root(data)
        for name in FILES[data.name]:
            if not (top / name).is_file():
                raise _missing(data, top / name)
            yield name, top / name


def _listing(top: Path, found: Sequence[tuple[str, Path]]) -> str:
    """32 hex digits: which files they are, and that nobody has written to them since."""
    listing = hashlib.sha256(f"{top.resolve()}\n".encode())
    for name, path in found:
        about = os.stat(path)
        listing.update(f"{name}\0{about.st_ino}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    return listing.hexdigest()[:32]


def _digests(paths: Sequence[Path]) -> Iterator[str]:
    """SHA-256 of every file, in order. Many are read at once: small files keep a disk waiting."""
    parts = [paths[at : at + _TOGETHER] for at in range(0, len(paths), _TOGETHER)]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="fingerprint") as readers:
        for digests in readers.map(_digests_of, parts):
            yield from digests


def _digests_of(paths: Sequence[Path]) -> list[str]:
    return [_digest(path) for path in paths]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:  # hashlib.file_digest takes twice the time for a small file
        while part := file.read(1 << 16):
            digest.update(part)
    return digest.hexdigest()


def _fetched(data: Data) -> None:
    """Fetch the files where the study asks for it and they are not there."""
    if data.name in FILES:
        there = all((places.root(data) / name).is_file() for name in FILES[data.name])
    else:
        there = (places.root(data) / FOLDERS[data.name][0]).is_dir()
    if not there:
        from vgg_ablate.train.downloads import download

        download(data)


def _digits() -> Path:
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataMissing("digits: scikit-learn, which ships the scans, is not installed")
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _classes(data: Data, folder: Path) -> list[str]:
    if not folder.is_dir():
        raise _missing(data, folder)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) != data.shape.classes:
        raise DataMissing(f"{folder}: holds {len(names)} class folders, the study says {data.shape.classes}")
    return names


def _missing(data: Data, path: Path) -> DataMissing:
    """One line: what is not there, where the root came from, and the way out."""
    top = places.root(data)
    if data.root and not top.exists():
        beside = [entry.name for entry in top.parent.iterdir()] if top.parent.is_dir() else []
        close = nearest(top.name, beside)
        meant = f"; did you mean {close!r}?" if close else ""
        below = "" if top.is_absolute() else "; $VGG_ABLATE_DATA names the folder that it lies in"
        return DataMissing(f"data.root: {top} is not there{meant or below}")
    origin = "data.root" if data.root else "$VGG_ABLATE_DATA, or data.root in the study, names another folder"
    return DataMissing(f"data.name: {data.name} is not there: no {path} ({origin}); {_REMEDIES[data.name]}")

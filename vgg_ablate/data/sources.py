"""A data set: where its files are, the fingerprint of its decoded pixels, and its place in the cache. Imports no torch.

Contract: data sets of equal native pixels, labels and splits have one fingerprint, share one cache folder and train
alike bit for bit, as image files of any lossless format or as a binary file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vgg_ablate.config.datasets import DATASETS
from vgg_ablate.config.training import Data
from vgg_ablate.data import cache, pixel_cache, torchvision_sets
from vgg_ablate.data.decode import DECODING_VERSION, RawExample, ReportProgress
from vgg_ablate.errors import DatasetError, find_nearest
from vgg_ablate.files import write_once

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

SPLITS = torchvision_sets.SPLITS


def compute_data_fingerprint(data: Data, progress: ReportProgress | None = None) -> str:
    """Return 16 hex digits of the SHA-256 of the data set's native pixels, labels and splits.

    Where the data lie, what their files are named, and their format are not part of it. The first call for a list of
    files decodes them, into the cache too; later ones compare their numbers, sizes and times. Raises DataMissing.
    """
    if data.download and DATASETS[data.name].downloadable:
        _fetched(data)
    kept = cache.get_cache_dir() / "fingerprints" / _listing(data)
    if not kept.exists():
        with cache.hold_cache_lock(kept):
            if not kept.exists():
                write_once(kept, _decode(data, progress))
    return kept.read_text(encoding="ascii")


def prepare_split(data: Data, planned: str, split: str, size: int, progress: ReportProgress | None = None) -> Path:
    """Return the cache folder of a split at `size` pixels a side, decoded where it is not there yet.

    `planned` is the fingerprint that the files had. Raises DataMissing where they are others now. Safe when several
    processes start at once.
    """
    folder = _folder(data, planned, split, size)
    if not folder.is_dir():
        with cache.hold_cache_lock(folder):
            if not folder.is_dir():
                _check_unchanged(data, planned, progress)
            if not folder.is_dir():  # the check has decoded it, unless the files are known or the size is another
                _decode_split(data, planned, split, size, progress)
    return folder


def list_images(data: Data, split: str) -> list[tuple[str, int]]:
    """List path and label of the images of a folder data set's `train` or `test` split; none where there is no `test`.

    Raises DataMissing where the folder is not there or its classes are not as declared.
    """
    info = DATASETS[data.name]
    assert info.folders is not None  # callers ask only for data sets of class folders
    parent, train, test = info.folders
    top = cache.find_data_root(data) / parent
    classes = _classes(data, top / train)
    folder = top / (train if split == "train" else test)
    if split == "test" and not folder.is_dir() and info.test_split == "fixed_or_drawn":
        return []
    if (found := _classes(data, folder)) != classes:
        differing = ", ".join(sorted(set(found) ^ set(classes)))
        raise DatasetError(f"{folder}: its class folders differ from those of {train}: {differing}")
    images: list[tuple[str, int]] = []
    for label, name in enumerate(classes):
        within = os.path.join(folder, name)  # strings: a Path for each of a million files takes seconds
        names = (file for file in sorted(os.listdir(within)) if os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES)
        images += [(os.path.join(within, file), label) for file in names]
    return images


def list_array_files(data: Data) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each file of a data set whose files hold arrays. Raises DataMissing."""
    if data.name == "digits":
        yield "digits.csv.gz", _digits()
        return
    top = cache.find_data_root(data)
    for name in DATASETS[data.name].files:
        if not (top / name).is_file():
            raise _missing(data, top / name)
        yield name, top / name


def _listing(data: Data) -> str:
    """32 hex digits: which files they are, how they are read, and that nobody has written to them since."""
    root = cache.find_data_root(data).resolve()
    reading = f"{DECODING_VERSION} {data.name} {data.shape.channels} {data.on_corrupt}"
    listing = hashlib.sha256(f"{reading}\n{root}\n".encode())
    for name, path in _listed(data):
        about = os.stat(path)
        listing.update(f"{name}\0{about.st_ino}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    return listing.hexdigest()[:32]


def _listed(data: Data) -> Iterator[tuple[str, str]]:
    """What each file is to the data set, and its path."""
    if DATASETS[data.name].folders is None:
        yield from ((name, str(path)) for name, path in list_array_files(data))
        return
    below = len(str(cache.find_data_root(data)))
    for split in SPLITS:
        yield from ((f"{split} {label} {path[below:]}", path) for path, label in list_images(data, split))


def _folder(data: Data, fingerprint: str, split: str, size: int) -> Path:
    """The cache folder of a split. Data sets of the same pixels share it."""
    name = f"{fingerprint}-{split}-{size}-v{DECODING_VERSION}"
    if data.on_corrupt == "skip":  # which files were skipped is kept beside the pixels, and is not the same elsewhere
        name += "-" + hashlib.sha256(str(cache.find_data_root(data).resolve()).encode()).hexdigest()[:8]
    return cache.get_cache_dir() / "decoded" / name


def _check_unchanged(data: Data, planned: str, progress: ReportProgress | None = None) -> None:
    if (found := compute_data_fingerprint(data, progress)) != planned:
        raise DatasetError(f"{data.name}: its files are {found}, the run was planned with {planned}")


def _decode(data: Data, progress: ReportProgress | None) -> str:
    """Decode both splits into the cache, at the sizes that these data are shown at; return the fingerprint."""
    sources, sizes = _sources(data), {"train": data.train_size, "test": data.test_size}
    total, done = sum(map(len, sources.values())), 0
    with cache.make_scratch_dir(cache.get_cache_dir() / "decoded") as aside:
        indices = {}
        for split, listed in sources.items():
            told = progress and _after(progress, done, total)
            indices[split] = _write(data, aside / split, listed, sizes[split], told)
            done += len(listed)
        found = pixel_cache.compute_fingerprint(indices)
        for split, size in sizes.items():
            cache.move_into_place(aside / split, _folder(data, found, split, size))
    return found


def _decode_split(data: Data, planned: str, split: str, size: int, progress: ReportProgress | None) -> None:
    """Decode one split, at another size, of files that were found to be the planned ones."""
    with cache.make_scratch_dir(cache.get_cache_dir() / "decoded") as aside:
        _write(data, aside / split, _sources(data)[split], size, progress)
        _check_unchanged(data, planned)  # nobody has written to them meanwhile
        cache.move_into_place(aside / split, _folder(data, planned, split, size))


def _write(
    data: Data, folder: Path, listed: Sequence[RawExample], size: int, progress: ReportProgress | None
) -> pixel_cache.ExampleIndex:
    skip = data.on_corrupt == "skip"
    return pixel_cache.write_split(folder, listed, size, data.shape.channels, skip_corrupt=skip, progress=progress)


def _after(progress: ReportProgress, before: int, total: int) -> ReportProgress:
    """Progress of one split as that of the set."""
    return lambda done, _: progress(before + done, total)


def _sources(data: Data) -> dict[str, Sequence[RawExample]]:
    """Every example of each split, not yet decoded."""
    if DATASETS[data.name].folders is not None:
        return {split: [RawExample(path, label) for path, label in list_images(data, split)] for split in SPLITS}
    if data.name == "digits":
        return {"train": _scans(), "test": []}
    return {
        split: [RawExample(image, label) for image, label in zip(arrays.images, arrays.labels.tolist(), strict=True)]
        for split, arrays in torchvision_sets.read_arrays(data).items()
    }


def _scans() -> list[RawExample]:
    """The digits: 8 x 8 scans that count from 0 to 16, row by row, and a label."""
    rows = np.loadtxt(_digits(), dtype=np.int64, delimiter=",")
    scaled = np.round(rows[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return [RawExample(scan, label) for scan, label in zip(scaled, rows[:, -1].tolist(), strict=True)]


def _fetched(data: Data) -> None:
    """Fetch the files where the study asks for it and they are not there."""
    info, root = DATASETS[data.name], cache.find_data_root(data)
    if info.folders is not None:
        complete = (root / info.folders.parent).is_dir()
    else:
        complete = all((root / name).is_file() for name in info.files)
    if not complete:
        torchvision_sets.download_files(data)


def _digits() -> Path:
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DatasetError("digits: scikit-learn, which ships the scans, is not installed")
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _classes(data: Data, folder: Path) -> list[str]:
    if not folder.is_dir():
        raise _missing(data, folder)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) != data.shape.classes:
        raise DatasetError(f"{folder}: holds {len(names)} class folders, the study says {data.shape.classes}")
    return names


def _missing(data: Data, path: Path) -> DatasetError:
    """One line: what is not there, where the root came from, and the way out."""
    top = cache.find_data_root(data)
    if data.root and not top.exists():
        beside = [entry.name for entry in top.parent.iterdir()] if top.parent.is_dir() else []
        close = find_nearest(top.name, beside)
        meant = f"; did you mean {close!r}?" if close else ""
        below = "" if top.is_absolute() else "; $VGG_ABLATE_DATA names the folder that it lies in"
        return DatasetError(f"data.root: {top} is not there{meant or below}")
    origin = "data.root" if data.root else "$VGG_ABLATE_DATA, or data.root in the study, names another folder"
    return DatasetError(f"data.name: {data.name} is not there: no {path} ({origin}); {DATASETS[data.name].how_to_get}")

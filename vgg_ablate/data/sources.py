"""A data set: where its files are, the fingerprint of its decoded pixels, and its place in the cache. Imports no torch.

Contract: data sets of equal native pixels, labels and splits have one fingerprint, share one cache folder, and train
alike bit for bit, whether they come as image files of a lossless format or as a binary file.
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
from vgg_ablate.data.torchvision_sets import SPLITS
from vgg_ablate.errors import DatasetError, find_nearest
from vgg_ablate.files import write_once

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def compute_data_fingerprint(data: Data, progress: ReportProgress | None = None) -> str:
    """Return the data set's fingerprint: 16 hex digits of the SHA-256 of its native pixels, labels and splits.

    The location, names and format of the files are not part of it. The first call decodes the files, into the cache
    too; later calls compare the files' inodes, sizes and times with those of the first. Raises DatasetError.
    """
    _check_root(data)
    if data.download and DATASETS[data.name].is_downloadable:
        _download_if_missing(data)
    # Reading a million files takes minutes, their stats seconds: the fingerprint is looked up by the stats.
    path = cache.get_cache_dir() / "fingerprints" / _hash_file_stats(data)
    if not path.exists():
        with cache.hold_cache_lock(path):
            if not path.exists():  # another process may have decoded while this one waited
                write_once(path, _decode_dataset(data, progress))
    return path.read_text(encoding="ascii")


def prepare_split(data: Data, fingerprint: str, split: str, size: int, progress: ReportProgress | None = None) -> Path:
    """Return the cache folder of a split at `size` pixels per side, decoded where it is not there yet.

    Several processes may start at once. Raises DatasetError where the files no longer have the `fingerprint` that the
    run was planned with; a split that is in the cache needs its files no more.
    """
    folder = _build_cache_path(data, fingerprint, split, size)
    if not folder.is_dir():
        with cache.hold_cache_lock(folder):
            if not folder.is_dir():
                _check_unchanged(data, fingerprint, progress)
            if not folder.is_dir():  # computing the fingerprint decodes too, unless it is cached or the size differs
                _decode_split(data, fingerprint, split, size, progress)
    return folder


def list_skipped_files(data: Data, fingerprint: str) -> tuple[str, ...]:
    """Return one line per file that the decoding could not read: its path below the root, and the reason.

    Empty where the data set is not decoded yet.
    """
    if data.on_corrupt != "skip":
        return ()
    root, sizes = f"{cache.find_data_root(data)}{os.sep}", {"train": data.train_size, "test": data.test_size}
    folders = [_build_cache_path(data, fingerprint, split, size) for split, size in sizes.items()]
    lines = (line for folder in folders if folder.is_dir() for line in pixel_cache.read_skipped(folder))
    return tuple(line.removeprefix(root) for line in lines)


def list_images(data: Data, split: str) -> list[tuple[str, int]]:
    """Return path and label of every image of the `train` or `test` split of a data set of class folders.

    An `image-folder` without a test folder has no test images. Raises DatasetError where the folder is missing, its
    classes are not as declared, one of them has no image, or a link leads out of the data folder.
    """
    info = DATASETS[data.name]
    assert info.folders is not None  # callers ask only for data sets of class folders
    parent, train, test = info.folders
    top = cache.find_data_root(data) / parent
    classes = _list_classes(data, top / train)
    folder = top / (train if split == "train" else test)
    if split == "test" and not folder.is_dir() and info.test_split == "fixed_or_drawn":
        return []
    if (split_classes := _list_classes(data, folder)) != classes:
        differing = ", ".join(sorted(set(split_classes) ^ set(classes)))
        raise DatasetError(f"{folder}: class folders differ from those of {train}: {differing}")
    images: list[tuple[str, int]] = []
    for label, name in enumerate(classes):
        class_folder = os.path.join(folder, name)  # strings: making a Path for each of a million files takes seconds
        with os.scandir(class_folder) as entries:
            is_link = {entry.name: entry.is_symlink() for entry in entries if _is_image_name(entry.name)}
        for file in filter(is_link.get, files := sorted(is_link)):
            _check_inside(data, os.path.join(class_folder, file))
        if not files:  # a class that is never seen would be trained as if it were one
            raise DatasetError(f"{class_folder}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
        images += [(os.path.join(class_folder, file), label) for file in files]
    return images


def read_class_names(data: Data) -> tuple[str, ...]:
    """Return the names of the class folders in the order of the labels.

    Empty where the data set has no class folders, or where they are gone: decoded examples outlive their files.
    """
    folders = DATASETS[data.name].folders
    if folders is None:
        return ()
    folder = cache.find_data_root(data) / folders.parent / folders.train
    return tuple(_list_classes(data, folder)) if folder.is_dir() else ()


def _is_image_name(name: str) -> bool:
    """Return whether a file is an image by its name. Hidden files are none: macOS writes `._x.png` beside x.png."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def list_array_files(data: Data) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each file of a data set whose files hold arrays. Raises DatasetError for a missing one."""
    if data.name == "digits":
        yield "digits.csv.gz", _find_digits()
        return
    for name in DATASETS[data.name].files:
        path = torchvision_sets.find_array_file(data, name)
        if path is None:
            raise _describe_missing(data, cache.find_data_root(data) / name)
        _check_inside(data, path)
        yield name, path


def _check_inside(data: Data, path: str | Path) -> None:
    """Raise DatasetError where a file or folder lies outside of the data folder once links are resolved.

    A downloaded archive may hold links to any file of this machine; the root itself may be a link.
    """
    target, root = os.path.realpath(path), os.path.realpath(cache.find_data_root(data))
    if not data.follow_links and os.path.commonpath([target, root]) != root:
        raise DatasetError(f"{path}: leads out of the data folder, to {target}; data.follow_links: true allows it")


def _check_root(data: Data) -> None:
    """Raise DatasetError where a relative `data.root` names a folder that is not below $VGG_ABLATE_DATA."""
    parent = os.environ.get("VGG_ABLATE_DATA")
    if parent is None or data.root is None or data.follow_links or os.path.isabs(os.path.expanduser(data.root)):
        return
    if os.path.normpath(data.root).split(os.sep)[0] == os.pardir:
        raise DatasetError(
            f"data.root: leads out of $VGG_ABLATE_DATA ({parent}): {data.root}; give an absolute path, "
            "or data.follow_links: true"
        )


def _hash_file_stats(data: Data) -> str:
    """Return 32 hex digits that change when the files, or the way in which they are decoded, change."""
    stats = hashlib.sha256(
        f"{DECODING_VERSION} {data.name} {data.shape.channels} {data.on_corrupt}\n"
        f"{cache.find_data_root(data).resolve()}\n".encode()
    )
    for name, path in _list_files(data):
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            stat = os.lstat(path)  # a link to a file that is missing: decoding reports it, or skips it
        # The inode, because renaming a file over another one may keep size and time.
        stats.update(f"{name}\0{stat.st_ino}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return stats.hexdigest()[:32]


def _list_files(data: Data) -> Iterator[tuple[str, str]]:
    """Yield the role of each file in the data set (for images: split, label and name) and its path."""
    if DATASETS[data.name].folders is None:
        yield from ((name, str(path)) for name, path in list_array_files(data))
        return
    prefix = len(str(cache.find_data_root(data)))
    for split in SPLITS:
        yield from ((f"{split} {label} {path[prefix:]}", path) for path, label in list_images(data, split))


def _build_cache_path(data: Data, fingerprint: str, split: str, size: int) -> Path:
    """Return the cache folder of a split. Data sets of the same pixels share it."""
    name = f"{fingerprint}-{split}-{size}-v{DECODING_VERSION}"
    if data.on_corrupt == "skip":  # the list of skipped files is kept beside the pixels, and differs between roots
        name += "-" + hashlib.sha256(str(cache.find_data_root(data).resolve()).encode()).hexdigest()[:8]
    return cache.get_cache_dir() / "decoded" / name


def _check_unchanged(data: Data, planned: str, progress: ReportProgress | None = None) -> None:
    if (fingerprint := compute_data_fingerprint(data, progress)) != planned:
        raise DatasetError(f"{data.name}: files have fingerprint {fingerprint}, the run was planned with {planned}")


def _decode_dataset(data: Data, progress: ReportProgress | None) -> str:
    """Decode both splits into the cache, each at the size that this study needs; return the fingerprint."""
    examples, sizes = _list_examples(data), {"train": data.train_size, "test": data.test_size}
    total, done = sum(map(len, examples.values())), 0
    with cache.make_scratch_dir(cache.get_cache_dir() / "decoded") as scratch_dir:
        indices = {}
        for split, raw in examples.items():
            split_progress = progress and _offset_progress(progress, done, total)
            indices[split] = _write_split(data, scratch_dir / split, raw, sizes[split], split_progress)
            done += len(raw)
        fingerprint = pixel_cache.compute_fingerprint(indices)
        for split, size in sizes.items():  # only now are the names of the cache folders known
            cache.move_into_place(scratch_dir / split, _build_cache_path(data, fingerprint, split, size))
    return fingerprint


def _decode_split(data: Data, planned: str, split: str, size: int, progress: ReportProgress | None) -> None:
    """Decode one split at another size, of files whose fingerprint has been checked."""
    with cache.make_scratch_dir(cache.get_cache_dir() / "decoded") as scratch_dir:
        _write_split(data, scratch_dir / split, _list_examples(data)[split], size, progress)
        _check_unchanged(data, planned)  # a file may have been written to while this one decoded it
        cache.move_into_place(scratch_dir / split, _build_cache_path(data, planned, split, size))


def _write_split(
    data: Data, folder: Path, examples: Sequence[RawExample], size: int, progress: ReportProgress | None
) -> pixel_cache.ExampleIndex:
    skip = data.on_corrupt == "skip"
    return pixel_cache.write_split(folder, examples, size, data.shape.channels, skip_corrupt=skip, progress=progress)


def _offset_progress(progress: ReportProgress, offset: int, total: int) -> ReportProgress:
    """Return a callback that reports the progress of one split as that of the data set."""
    return lambda done, _: progress(offset + done, total)


def _list_examples(data: Data) -> dict[str, Sequence[RawExample]]:
    """Return the examples of each split, not yet decoded."""
    if DATASETS[data.name].folders is not None:
        return {split: [RawExample(path, label) for path, label in list_images(data, split)] for split in SPLITS}
    if data.name == "digits":
        return {"train": _read_digits(), "test": []}
    return {
        split: [RawExample(image, label) for image, label in zip(arrays.images, arrays.labels.tolist(), strict=True)]
        for split, arrays in torchvision_sets.read_arrays(data).items()
    }


def _read_digits() -> list[RawExample]:
    """Read scikit-learn's digits: a row holds 8 x 8 gray levels from 0 to 16, then the label."""
    rows = np.loadtxt(_find_digits(), dtype=np.int64, delimiter=",")
    scans = np.round(rows[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return [RawExample(scan, label) for scan, label in zip(scans, rows[:, -1].tolist(), strict=True)]


def _download_if_missing(data: Data) -> None:
    info = DATASETS[data.name]
    if info.folders is not None:
        exists = (cache.find_data_root(data) / info.folders.parent).is_dir()
    else:
        exists = all(torchvision_sets.find_array_file(data, name) for name in info.files)
    if not exists:
        torchvision_sets.download_files(data)


def _find_digits() -> Path:
    """Return scikit-learn's file. The package itself is not imported: that would take a second."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DatasetError("digits: scikit-learn, which ships the scans, is not installed")
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _list_classes(data: Data, folder: Path) -> list[str]:
    if not folder.is_dir():
        raise _describe_missing(data, folder)
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for path in (folder, *folders):
        _check_inside(data, path)
    names = [path.name for path in folders]
    if len(names) != data.shape.classes:
        raise DatasetError(f"{folder}: holds {len(names)} class folders, but the study declares {data.shape.classes}")
    return names


def _describe_missing(data: Data, path: Path) -> DatasetError:
    """Return an error of one line: what is missing, where the root was set, and how to provide the files."""
    root = cache.find_data_root(data)
    if data.root and not root.exists():
        siblings = [entry.name for entry in root.parent.iterdir() if entry.is_dir()] if root.parent.is_dir() else []
        nearest = find_nearest(root.name, siblings)
        suggestion = f"; did you mean {nearest!r}?" if nearest else ""
        hint = "" if root.is_absolute() else "; $VGG_ABLATE_DATA names the folder that it is relative to"
        layout = f"{hint}; {DATASETS[data.name].how_to_get}"
        return DatasetError(f"data.root: directory not found: {root}{suggestion or layout}")
    origin = "data.root" if data.root else "set $VGG_ABLATE_DATA, or data.root in the study, to read another folder"
    return DatasetError(f"data.name: {data.name} not found: no {path} ({origin}); {DATASETS[data.name].how_to_get}")

"""Decoded examples on disk, and the fingerprint of their content. Imports no torch.

A split is a folder of `images.npy` (uint8, N x H x W x C), `labels.npy` (int64, N) and `skipped.json`.

Contract: examples are sorted by the digest of their native pixels, then by label. File names and the order of a binary
file therefore have no influence on which examples a seed draws.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vgg_ablate.data.decode import ImageArray, LabelArray, RawExample, ReportProgress, UnreadableImage, decode_examples
from vgg_ablate.errors import DatasetError

_COPIED_IMAGES = 4096  # images copied at once when a split is sorted
_PROGRESS_INTERVAL = 100  # images between two calls of `progress`

ExampleIndex = list[tuple[bytes, int]]  # (digest, label) of every example of a split, sorted


class DecodedSplit(NamedTuple):
    """A split as the cache holds it: images, labels, and one line per file that could not be read."""

    images: ImageArray
    labels: LabelArray
    skipped: tuple[str, ...] = ()


def write_split(
    folder: Path,
    examples: Sequence[RawExample],
    size: int,
    channels: int,
    *,
    skip_corrupt: bool,
    progress: ReportProgress | None = None,
) -> ExampleIndex:
    """Decode a split into a new folder and return digest and label of its examples in the stored order.

    Raises DatasetError with the first file that cannot be read, unless `skip_corrupt` is set.
    """
    folder.mkdir()
    unsorted = folder / "unsorted"  # digests, and with them the order, are known only after decoding
    index, skipped = _decode_to_file(unsorted, examples, size, channels, progress)
    if skipped and not skip_corrupt:
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise DatasetError(f"{skipped[0]}{more}; data.on_corrupt: skip leaves such files out")
    order = sorted(range(len(index)), key=index.__getitem__)
    index = [index[row] for row in order]
    _write_sorted(folder / "images.npy", unsorted, np.array(order, np.int64), (len(index), size, size, channels))
    unsorted.unlink()
    np.save(folder / "labels.npy", np.array([label for _, label in index], np.int64))
    (folder / "skipped.json").write_text(json.dumps(skipped), encoding="utf-8")
    return index


def read_split(folder: Path) -> DecodedSplit:
    """Return a split that `write_split` has written; its images are memory-mapped."""
    images: ImageArray = np.load(folder / "images.npy", mmap_mode="r")
    labels: LabelArray = np.load(folder / "labels.npy")
    return DecodedSplit(images, labels, read_skipped(folder))


def read_skipped(folder: Path) -> tuple[str, ...]:
    """Return one line per file of a split that could not be read: its path and the reason."""
    return tuple(json.loads((folder / "skipped.json").read_text(encoding="utf-8")))


def compute_fingerprint(splits: Mapping[str, ExampleIndex]) -> str:
    """Return the fingerprint of a data set: 16 hex digits of the SHA-256 of each split's digests and labels."""
    content = hashlib.sha256()
    for split, index in sorted(splits.items()):
        content.update(f"{split} {len(index)}\n".encode())
        for digest, label in sorted(index):
            content.update(b"%s %d\n" % (digest, label))
    return content.hexdigest()[:16]


def _decode_to_file(
    path: Path, examples: Sequence[RawExample], size: int, channels: int, progress: ReportProgress | None
) -> tuple[ExampleIndex, list[str]]:
    """Write the pixels of the examples in their order; return their index and one line per unreadable file."""
    index: ExampleIndex = []
    skipped: list[str] = []
    with open(path, "wb") as file:
        for done, example in enumerate(decode_examples(examples, size, channels), start=1):
            if isinstance(example, UnreadableImage):
                skipped.append(f"{example.path}: {example.reason}")
            else:
                index.append((example.digest, example.label))
                file.write(example.pixels)
            if progress and (done % _PROGRESS_INTERVAL == 0 or done == len(examples)):
                progress(done, len(examples))
    return index, skipped


def _write_sorted(path: Path, unsorted: Path, order: LabelArray, shape: tuple[int, ...]) -> None:
    """Write the rows of `unsorted` in this order as an .npy file.

    A stream and not a memory map: on a full disk a memory map kills the process (SIGBUS) instead of raising OSError.
    """
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        if not len(order):  # np.memmap refuses an empty file
            return
        rows = np.memmap(unsorted, np.uint8, "r", shape=shape)
        for start in range(0, len(order), _COPIED_IMAGES):
            file.write(rows[order[start : start + _COPIED_IMAGES]].tobytes())

"""torchvision's data sets by name: downloaded on request, read as arrays.

torchvision takes seconds and hundreds of megabytes to import. A process that has not imported torch, such as one that
plans a study, lets a subprocess download and read (`_run_in_subprocess`).
"""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

import numpy as np
import numpy.typing as npt

from vgg_ablate.config.datasets import DATASETS, TorchvisionClass
from vgg_ablate.config.training import Data
from vgg_ablate.data import cache
from vgg_ablate.errors import DatasetError

SPLITS = ("train", "test")


class SplitArrays(NamedTuple):
    """A split as its files hold it."""

    images: npt.NDArray[np.uint8]  # N x H x W x C
    labels: npt.NDArray[np.int64]  # N


def find_array_file(data: Data, name: str) -> Path | None:
    """Return the path of one of the data set's array files (config/datasets.py), or None.

    The idx files of MNIST and its relatives may be gzip-compressed, and may lie in the root itself, as in Debian's
    package dataset-fashion-mnist.
    """
    root = cache.find_data_root(data)
    candidates = [root / name]
    if name.endswith("-ubyte"):  # an idx file
        candidates.append(root / f"{name}.gz")
        if data.root is not None:
            # Names of files in the root do not identify the data set: only a root that the study gives may have them.
            file = Path(name).name
            candidates += [root / file, root / f"{file}.gz"]
    return next((path for path in candidates if path.is_file()), None)


def download_files(data: Data) -> None:
    """Download both splits into the root. Raises DatasetError where that fails."""
    if _has_torch():
        _download(data)
    else:
        with cache.make_scratch_dir(cache.get_cache_dir()) as folder:
            _run_in_subprocess("download", data, folder)


def read_arrays(data: Data) -> dict[str, SplitArrays]:
    """Return the `train` and `test` splits of a data set whose files hold arrays.

    torchvision reads them, and checks its MD5 sums before it unpickles CIFAR's batches. Raises DatasetError where the
    files are damaged.
    """
    if _has_torch():
        return dict(_read_splits(data))
    with cache.make_scratch_dir(cache.get_cache_dir()) as folder:
        _run_in_subprocess("read", data, folder)
        return {
            split: SplitArrays(np.load(folder / f"{split}-images.npy"), np.load(folder / f"{split}-labels.npy"))
            for split in SPLITS
        }


def _has_torch() -> bool:
    return "torch" in sys.modules


def _run_in_subprocess(task: str, data: Data, folder: Path) -> None:
    """Run `_serve_task` in a process of its own. Raises the DatasetError that was raised there."""
    # Not multiprocessing, which would import the caller's main module a second time.
    command = [sys.executable, "-m", __name__, task, data.model_dump_json(), str(folder)]
    # The caller may have found the package through sys.path alone, as a script beside it does.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    if (error := folder / "error").exists():
        raise DatasetError(error.read_text(encoding="utf-8"))
    if process.returncode:
        raise DatasetError(f"{data.name}: torchvision's reader ended with status {process.returncode}")


def _serve_task(task: str, data_json: str, folder_name: str) -> None:
    """Perform a task of `_run_in_subprocess`: write the arrays, or the error message, into the folder."""
    data, folder = Data.model_validate_json(data_json), Path(folder_name)
    try:
        if task == "download":
            _download(data)
            return
        for split, arrays in _read_splits(data):
            np.save(folder / f"{split}-images.npy", arrays.images)
            np.save(folder / f"{split}-labels.npy", arrays.labels)
    except DatasetError as error:
        (folder / "error").write_text(str(error), encoding="utf-8")


def _download(data: Data) -> None:
    root = cache.find_data_root(data)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            _open_dataset(_get_reader(data), root, split, download=True)
    except (OSError, URLError, RuntimeError) as error:
        reason = f"{data.name} could not be downloaded to {root}: {_get_first_line(error)}"
        raise DatasetError(f"data.download: {reason}") from error


def _read_splits(data: Data) -> Iterator[tuple[str, SplitArrays]]:
    with _provide_files(data) as root:
        for split in SPLITS:
            yield split, _read_split(data, root, split)


@contextlib.contextmanager
def _provide_files(data: Data) -> Iterator[Path]:
    """Provide a root with the files in torchvision's layout: the data set's own, or one with unpacked copies."""
    root = cache.find_data_root(data)
    paths = {name: find_array_file(data, name) for name in DATASETS[data.name].files}
    if all(path in (None, root / name) for name, path in paths.items()):
        yield root
        return
    with cache.make_scratch_dir(cache.get_cache_dir()) as scratch_dir:
        for name, path in paths.items():
            if path is not None:  # a missing file is torchvision's to report
                (scratch_dir / name).parent.mkdir(parents=True, exist_ok=True)
                (scratch_dir / name).write_bytes(_unpack(path))
        yield scratch_dir


def _unpack(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read: {_get_first_line(error)}") from error


def _read_split(data: Data, root: Path, split: str) -> SplitArrays:
    reader = _get_reader(data)
    try:
        dataset = _open_dataset(reader, root, split, download=False)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:  # torchvision asserts the size of idx files
        reason = _get_first_line(error).partition(". You can use")[0]  # its advice names an option of its own
        remedy = "remove its files and set data.download: true to download them again"
        raise DatasetError(f"{cache.find_data_root(data)}: {data.name} cannot be read: {reason}; {remedy}") from error
    images = np.asarray(dataset.data)
    if reader.channels_first:
        images = images.transpose(0, 2, 3, 1)
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    return SplitArrays(images if images.ndim == 4 else images[..., None], np.asarray(labels, dtype=np.int64))


def _get_reader(data: Data) -> TorchvisionClass:
    reader = DATASETS[data.name].torchvision
    assert reader is not None  # callers ask only for data sets that torchvision reads or downloads
    return reader


def _open_dataset(reader: TorchvisionClass, root: Path, split: str, *, download: bool) -> Any:
    from torchvision import datasets  # not at import time: see the module's docstring

    options: dict[str, Any] = dict(reader.train if split == "train" else reader.test)
    return getattr(datasets, reader.name)(str(root), download=download, **options)


def _get_first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    _serve_task(*sys.argv[1:])

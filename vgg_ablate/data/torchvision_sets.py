"""torchvision's data sets by name: fetched when asked for, read as arrays."""

from __future__ import annotations

import os
import subprocess
import sys
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
    labels: npt.NDArray[np.int64]


def download_files(data: Data) -> None:
    """Fetch both splits into the root. Raises DataMissing where that fails."""
    if _has_torch():
        _download(data)
    else:
        with cache.make_scratch_dir(cache.get_cache_dir()) as folder:
            _ask_subprocess("download", data, folder)


def read_arrays(data: Data) -> dict[str, SplitArrays]:
    """Return the `train` and `test` splits of a data set whose files hold arrays.

    torchvision reads them, and checks its MD5 sums before it unpickles CIFAR's batches. In a process that has not
    imported torch, a subprocess does it, so that planning a study needs none of torch's seconds and memory. Raises
    DataMissing where the files are damaged.
    """
    if _has_torch():
        return {split: _read(data, split) for split in SPLITS}
    with cache.make_scratch_dir(cache.get_cache_dir()) as folder:
        _ask_subprocess("read", data, folder)
        return {
            split: SplitArrays(np.load(folder / f"{split}-images.npy"), np.load(folder / f"{split}-labels.npy"))
            for split in SPLITS
        }


def _has_torch() -> bool:
    return "torch" in sys.modules


def _ask_subprocess(task: str, data: Data, folder: Path) -> None:
    """Let `_answer` do the task in a process of its own. Raises DataMissing as it did there."""
    # Not multiprocessing, which would import the caller's main module a second time.
    command = [sys.executable, "-m", __name__, task, data.model_dump_json(), str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    if (error := folder / "error").exists():
        raise DatasetError(error.read_text(encoding="utf-8"))
    if done.returncode:
        raise DatasetError(f"{data.name}: torchvision's reader ended with status {done.returncode}")


def _answer(task: str, document: str, place: str) -> None:
    """Do what `_ask_subprocess` asks for, and leave the arrays, or the error, in the folder."""
    data, folder = Data.model_validate_json(document), Path(place)
    try:
        if task == "download":
            _download(data)
            return
        for split in SPLITS:
            arrays = _read(data, split)
            np.save(folder / f"{split}-images.npy", arrays.images)
            np.save(folder / f"{split}-labels.npy", arrays.labels)
    except DatasetError as error:
        (folder / "error").write_text(str(error), encoding="utf-8")


def _download(data: Data) -> None:
    root = cache.find_data_root(data)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            _open_split(_get_reader(data), root, split, download=True)
    except (OSError, URLError, RuntimeError) as error:
        reason = f"{data.name} could not be fetched into {root}: {_first_line(error)}"
        raise DatasetError(f"data.download: {reason}") from error


def _read(data: Data, split: str) -> SplitArrays:
    reader, root = _get_reader(data), cache.find_data_root(data)
    try:
        opened = _open_split(reader, root, split, download=False)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:  # torchvision asserts where a file is torn
        reason = _first_line(error).partition(". You can use")[0]  # torchvision's own option
        remedy = "where its files are removed, data.download: true fetches them anew"
        raise DatasetError(f"{root}: {data.name} cannot be read: {reason}; {remedy}") from error
    images = np.asarray(opened.data)
    if reader.channels_first:
        images = images.transpose(0, 2, 3, 1)
    labels = opened.targets if hasattr(opened, "targets") else opened.labels
    return SplitArrays(images if images.ndim == 4 else images[..., None], np.asarray(labels, dtype=np.int64))


def _get_reader(data: Data) -> TorchvisionClass:
    reader = DATASETS[data.name].torchvision
    assert reader is not None  # callers ask only for data sets that torchvision reads or downloads
    return reader


def _open_split(reader: TorchvisionClass, root: Path, split: str, *, download: bool) -> Any:
    from torchvision import datasets  # here: it takes as long as torch, and most workers need none of it

    options: dict[str, Any] = dict(reader.train if split == "train" else reader.test)
    return getattr(datasets, reader.name)(str(root), download=download, **options)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    _answer(*sys.argv[1:])

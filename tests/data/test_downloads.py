"""torchvision's data sets by name, from files on disk. Nothing is downloaded here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vgg_ablate.config.training import Data
from vgg_ablate.data import sources
from vgg_ablate.data.splits import load_splits
from vgg_ablate.errors import DatasetError

TRAIN, TEST = 40, 10


def write_mnist(root: Path) -> None:
    """Write images of which number k is filled with the gray level k and has the label k modulo 10."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix, count in (("train", TRAIN), ("t10k", TEST)):
        images = np.arange(count, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)
        header = np.array([0x803, count, 28, 28], ">i4").tobytes()
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            np.array([0x801, count], ">i4").tobytes() + labels.tobytes()
        )


def test_mnist_is_read_from_its_files_with_its_own_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path)
    monkeypatch.setenv("VGG_ABLATE_DATA", str(tmp_path))
    data = Data(name="mnist", image_size=32, channels=3)
    splits = load_splits(data, sources.compute_data_fingerprint(data), 0, torch.device("cpu"), resident=True)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [36, 4, TEST]
    images = splits.train.images
    assert isinstance(images, torch.Tensor)
    assert images.shape == (36, 32, 32, 3)
    assert torch.equal(images[:, 16, 16, 0] % 10, splits.train.labels.to(torch.uint8))


def test_damaged_files_are_an_error_that_names_the_data_set(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(b"half")
    data = Data(name="mnist", root=str(tmp_path))
    with pytest.raises(DatasetError, match=r"mnist cannot be read"):
        load_splits(data, sources.compute_data_fingerprint(data), 0, torch.device("cpu"))

"""torchvision's data sets by name, from files as they lie on disk. Nothing is fetched here."""

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


def mnist(root: Path) -> None:
    """Image k is filled with the grey level k; its label is k modulo 10."""
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
    mnist(tmp_path)
    monkeypatch.setenv("VGG_ABLATE_DATA", str(tmp_path))
    data = Data(name="mnist", image_size=32, channels=3)
    three = load_splits(data, sources.compute_data_fingerprint(data), 0, torch.device("cpu"), resident=True)
    assert [len(part) for part in (three.train, three.validation, three.test)] == [36, 4, TEST]
    images = three.train.images
    assert isinstance(images, torch.Tensor)
    assert images.shape == (36, 32, 32, 3)
    assert torch.equal(images[:, 16, 16, 0] % 10, three.train.labels.to(torch.uint8))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    mnist(tmp_path)
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(b"half")
    data = Data(name="mnist", root=str(tmp_path))
    with pytest.raises(DatasetError, match=r"mnist cannot be read"):
        load_splits(data, sources.compute_data_fingerprint(data), 0, torch.device("cpu"))

"""The number of examples of a run is that which training then loads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.data.test_splits import DIGITS, write_folder
from vgg_ablate.config.datasets import DATASETS
from vgg_ablate.config.training import Data
from vgg_ablate.data import sources
from vgg_ablate.data.splits import load_splits
from vgg_ablate.runs.resources import dataset_size


def count_loaded_examples(data: Data) -> tuple[int, int]:
    """Return the training examples and those of all splits, as training loads them."""
    parts = load_splits(data, sources.compute_data_fingerprint(data), 0, torch.device("cpu"))[:3]
    return len(parts[0]), sum(map(len, parts))


@pytest.mark.parametrize("limit", [None, 7, 100])
@pytest.mark.parametrize("tested", [True, False])
def test_the_files_of_an_image_folder_are_counted(tmp_path: Path, tested: bool, limit: int | None) -> None:
    data = write_folder(tmp_path, images=11).model_copy(update={"limit": limit})
    if not tested:
        shutil.rmtree(tmp_path / "test")
    assert (dataset_size.count_training_examples(data), dataset_size.count_examples(data)) == count_loaded_examples(
        data
    )


@pytest.mark.parametrize("limit", [None, 100])
def test_digits_have_the_examples_that_are_loaded(limit: int | None) -> None:
    data = DIGITS.model_copy(update={"limit": limit})
    assert (dataset_size.count_training_examples(data), dataset_size.count_examples(data)) == count_loaded_examples(
        data
    )


def test_a_folder_that_is_not_there_has_an_unknown_size(tmp_path: Path) -> None:
    data = Data(name="image-folder", image_size=8, classes=2, root=str(tmp_path / "nowhere"))
    assert (dataset_size.count_training_examples(data), dataset_size.count_examples(data)) == (None, 0)


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"image-folder"}))
def test_every_named_data_set_has_a_known_size(name: str) -> None:
    assert dataset_size.count_examples(Data(name=name, image_size=32)) > 1_000

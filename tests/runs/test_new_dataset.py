"""A data set is added by one entry in the registry: a study trains on it, and plan and report know it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runs.harness import OPTIONS, InProcessPool
from vgg_ablate.analysis.examples import has_shared_test_split
from vgg_ablate.analysis.results import read_results
from vgg_ablate.analysis.summary import build_report
from vgg_ablate.config.datasets import DATASETS, ClassFolders, DatasetInfo, ExampleCounts, Shape, TorchvisionClass
from vgg_ablate.config.study import load
from vgg_ablate.data.sources import compute_data_fingerprint
from vgg_ablate.errors import DatasetError
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.plan import build_plan
from vgg_ablate.runs.resources.dataset_size import count_examples
from vgg_ablate.runs.workers import training

CLASSES = 3
STUDY = """\
version: 1
name: added
question: does it run?
seeds: 3
data: {{name: {name}, root: {root}, channels: 1, validation_fraction: 0.25{more}}}
arch: {{stages: "4 | 4", head: {{hidden: []}}}}
train: {{epochs: 1, batch_size: 8, precision: fp32}}
variants:
  wide: {{arch.width: 2}}
claims:
  - {{id: wide-helps, text: it is better, kind: better, a: wide, b: base}}
"""

LETTERS = DatasetInfo(
    shape=Shape(28, 1, 10),
    examples=ExampleCounts(40, 20),
    files=tuple(f"EMNIST/raw/emnist-digits-{name}-ubyte" for name in ("train-images-idx3", "train-labels-idx1")),
    torchvision=TorchvisionClass("EMNIST", {"split": "digits", "train": True}, {"split": "digits", "train": False}),
)
SCANS = DatasetInfo(
    shape=Shape(8, 3, CLASSES),
    examples=ExampleCounts(CLASSES * 12, CLASSES * 6),
    folders=ClassFolders("scans-v2", "learn", "exam"),
    how_to_get="ask the hospital",
)


def write_letters(root: Path) -> None:
    """Write both splits in the format of MNIST: a header of big-endian numbers, then bytes."""
    folder = root / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 20)):
        prefix, labels = folder / f"emnist-digits-{split}", np.arange(count) % 10
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        headers = np.array([0x803, *images.shape], ">i4").tobytes(), np.array([0x801, count], ">i4").tobytes()
        Path(f"{prefix}-images-idx3-ubyte").write_bytes(headers[0] + images.tobytes())
        Path(f"{prefix}-labels-idx1-ubyte").write_bytes(headers[1] + labels.astype(np.uint8).tobytes())


def write_scans(root: Path, splits: tuple[str, str] = ("scans-v2/learn", "scans-v2/exam")) -> None:
    generator = np.random.default_rng(0)
    for split, count in zip(splits, (12, 6), strict=True):
        for label in range(CLASSES):
            folder = root / split / f"class-{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                noise = generator.integers(0, 256, (8, 8), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{index}.png")


def run_study(folder: Path, name: str, root: Path, more: str = "") -> Path:
    """Run a study of two variants on the data set with the package's own training; return its results folder."""
    file, results = folder / "added.yaml", folder / "results"
    file.write_text(STUDY.format(name=name, root=root, more=more), encoding="utf-8")
    plan = build_plan(load(file), compute_data_fingerprint)
    assert run_plan(plan, results, OPTIONS, InProcessPool(results, training)).is_complete
    return results


@pytest.mark.parametrize(
    ("info", "write"), [(LETTERS, write_letters), (SCANS, write_scans)], ids=["array files", "class folders"]
)
def test_a_data_set_is_added_by_one_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, info: DatasetInfo, write: Callable[[Path], None]
) -> None:
    monkeypatch.setitem(DATASETS, "added", info)
    write(tmp_path / "images")
    results = read_results(run_study(tmp_path, "added", tmp_path / "images"))
    assert results.problems == ()
    assert len(results.records) == 6
    assert info.examples is not None
    for record in results.records.values():
        assert record.tested is not None
        assert record.tested.details["test_examples"] == info.examples.test
        assert count_examples(record.run.data) == sum(info.examples)
    assert has_shared_test_split(results)
    assert list(build_report(results).frame["outcome"]) == ["finished"] * 6


def test_a_missing_data_set_names_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "added", SCANS)
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match=r"added not found: no .*scans-v2/learn .*; ask the hospital$"):
        run_study(tmp_path, "added", tmp_path / "images")


@pytest.mark.parametrize("has_test_folder", [True, False])
def test_an_image_folder_shares_its_test_split_only_if_it_has_one(tmp_path: Path, has_test_folder: bool) -> None:
    root = tmp_path / "images"
    write_scans(root, ("train", "test"))
    if not has_test_folder:
        shutil.rmtree(root / "test")
    more = f", image_size: 8, classes: {CLASSES}"
    report = build_report(read_results(run_study(tmp_path, "image-folder", root, more)))
    assert report.problems == ()
    assert has_shared_test_split(report.results) == has_test_folder


def test_every_entry_says_how_its_files_are_read() -> None:
    for name, info in DATASETS.items():
        if name == "digits":  # read from scikit-learn's own files
            continue
        assert (info.folders is None) == bool(info.files)
        assert info.folders is not None or info.torchvision is not None
        assert info.test_split == ("fixed" if info.examples else "fixed_or_drawn")

"""The fingerprint is that of decoded pixels, labels and splits; data sets of one fingerprint train alike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.test_downloads import write_mnist
from tests.data.test_torchvision_sets import SplitContent, write_cifar10
from tests.training.small_runs import finish_training
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Data, Evaluate, Train
from vgg_ablate.data import sources
from vgg_ablate.data.decode import ImageArray, RawExample
from vgg_ablate.data.pixel_cache import compute_fingerprint, write_split
from vgg_ablate.data.splits import load_decoded_dataset
from vgg_ablate.errors import DatasetError
from vgg_ablate.records import Run
from vgg_ablate.training.loop import train
from vgg_ablate.training.settings import TrainingSettings

CLASSES, EACH = 10, {"train": 4, "test": 1}
STUDY = """\
version: 1
name: planned
question: does planning import torch?
seeds: 1
data: {{name: mnist, root: {root}}}
arch: {{stages: "4 | 8", head: {{hidden: []}}}}
"""


@dataclass(frozen=True)
class ImageFolder:
    """An image folder of 32 x 32 noise, ten classes."""

    root: Path

    @property
    def data(self) -> Data:
        return Data(name="image-folder", image_size=32, classes=CLASSES, root=str(self.root), validation_fraction=0.25)

    @property
    def fingerprint(self) -> str:
        return sources.compute_data_fingerprint(self.data)

    @property
    def paths(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    def arrays(self, split: str) -> SplitContent:
        """Return pixels as PIL decodes them, in a random order, and labels."""
        paths = [path for path in self.paths if path.parts[-3] == split]
        paths = [paths[row] for row in np.random.default_rng(3).permutation(len(paths))]
        return np.stack([read_pixels(path) for path in paths]), np.array([int(path.parent.name[1:]) for path in paths])


def read_pixels(path: Path) -> ImageArray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write_folder(root: Path, save: Callable[[Image.Image, Path], None]) -> ImageFolder:
    generator = np.random.default_rng(11)
    for split, count in EACH.items():
        for label in range(CLASSES):
            (root / split / f"c{label}").mkdir(parents=True)
            for index in range(count):
                noise = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                save(Image.fromarray(noise), root / split / f"c{label}" / f"{index}")
    return ImageFolder(root)


def save_png(image: Image.Image, path: Path) -> None:
    image.save(path.with_suffix(".png"), compress_level=1)


def save_jpeg(image: Image.Image, path: Path) -> None:
    image.save(path.with_suffix(".jpg"))


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolder:
    return write_folder(tmp_path / "images", save_png)


def make_run(data: Data) -> Run:
    arch = Arch.model_validate({"stages": "4 | 8", "norm": "batch", "head": {"hidden": [8], "dropout": 0.5}})
    recipe = Train.model_validate({"epochs": 2, "batch_size": 8, "precision": "fp32"})
    arch = arch.with_shape(data.shape).to_normal_form()
    return Run(arch=arch, data=data, train=recipe, fingerprint=sources.compute_data_fingerprint(data), seed=5)


@pytest.mark.parametrize("size", [32, 24])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_folder_and_binary_files_of_its_pixels_give_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, channels: int
) -> None:
    folder = write_folder(tmp_path / "images", save_jpeg)
    write_cifar10(tmp_path / "binary", monkeypatch, folder.arrays("train"), folder.arrays("test"))
    changes = {"image_size": size, "channels": channels, "augment": {"flip": True, "crop_padding": 2}}
    first = Data.model_validate(folder.data.model_dump() | changes)
    other = Data.model_validate(
        {"name": "cifar10", "root": str(tmp_path / "binary"), "validation_fraction": 0.25} | changes
    )
    assert make_run(first).fingerprint == make_run(other).fingerprint
    assert make_run(first).key == make_run(other).key
    caches = (tmp_path / "one cache", tmp_path / "another")
    results = []
    for data, cache in zip((first, other), caches, strict=True):  # each decodes its own files
        monkeypatch.setenv("VGG_ABLATE_CACHE", str(cache))
        epochs, metrics = finish_training(train(make_run(data), TrainingSettings()))
        names = metrics.details.pop("class_names", None)  # binary files have none
        assert (names is not None) == (data.name == "image-folder")
        results.append((epochs, metrics))
    assert results[0] == results[1]


def test_the_native_size_is_left_out_of_the_key_of_a_named_set(
    folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path / "binary", monkeypatch, folder.arrays("train"), folder.arrays("test"))
    named = Data(name="cifar10", root=str(tmp_path / "binary"), validation_fraction=0.25)
    assert make_run(named).key == make_run(folder.data).key


def test_the_format_of_the_files_does_not_change_the_fingerprint(folder: ImageFolder, tmp_path: Path) -> None:
    jpeg = write_folder(tmp_path / "jpeg", save_jpeg)

    def decoded_save_png(image: Image.Image, path: Path) -> None:
        save_jpeg(image, tmp_path / "temporary")
        save_png(Image.fromarray(read_pixels(tmp_path / "temporary.jpg")), path)

    assert write_folder(tmp_path / "png", decoded_save_png).fingerprint == jpeg.fingerprint != folder.fingerprint


def test_names_of_files_and_classes_do_not_change_the_fingerprint(folder: ImageFolder) -> None:
    before = folder.fingerprint
    for index, path in enumerate(reversed(folder.paths)):  # which changes the order in which they are listed
        path.rename(path.with_name(f"image {index}{path.suffix}"))
    for path in folder.root.glob("*/*"):
        path.rename(path.with_name(f"class {path.name}"))
    folder.root.rename(folder.root.with_name("elsewhere"))
    assert ImageFolder(folder.root.with_name("elsewhere")).fingerprint == before


def change_label(folder: ImageFolder) -> None:
    path = folder.paths[-1]
    path.rename(path.parent.with_name("c0") / "another.png")


def change_pixel(folder: ImageFolder) -> None:
    path = folder.paths[7]
    changed = read_pixels(path).copy()
    changed[31, 31, 2] ^= 1
    Image.fromarray(changed).save(path)


def move_example_to_test(folder: ImageFolder) -> None:
    path = folder.root / "train/c4/0.png"
    path.rename(folder.root / "test/c4/another.png")


def duplicate_example(folder: ImageFolder) -> None:
    path = folder.paths[-1]
    path.with_name("copy.png").write_bytes(path.read_bytes())


def change_shape(folder: ImageFolder) -> None:
    """Keep the bytes of an image and their order, and change its shape."""
    path = folder.paths[3]
    Image.fromarray(read_pixels(path).reshape(16, 64, 3)).save(path)


@pytest.mark.parametrize("change", [change_label, change_pixel, move_example_to_test, duplicate_example, change_shape])
def test_a_change_to_examples_labels_or_splits_changes_it(
    folder: ImageFolder, change: Callable[[ImageFolder], None]
) -> None:
    before = folder.fingerprint
    change(folder)
    assert folder.fingerprint != before


def test_gray_and_color_have_different_fingerprints(folder: ImageFolder) -> None:
    gray = folder.data.model_copy(update={"channels": 1})
    assert sources.compute_data_fingerprint(gray) != folder.fingerprint


def test_skipped_files_are_left_out_of_the_fingerprint(folder: ImageFolder) -> None:
    before = folder.fingerprint
    (folder.root / "train/c3/damaged.png").write_bytes(folder.paths[0].read_bytes()[:100])
    assert sources.compute_data_fingerprint(folder.data.model_copy(update={"on_corrupt": "skip"})) == before
    with pytest.raises(DatasetError, match=r"damaged\.png"):
        sources.compute_data_fingerprint(folder.data)


def test_files_are_decoded_once_and_again_after_a_change(folder: ImageFolder) -> None:
    calls: list[tuple[int, int]] = []

    def fingerprint() -> str:
        return sources.compute_data_fingerprint(folder.data, lambda done, total: calls.append((done, total)))

    before = fingerprint()
    assert calls == [(40, 50), (50, 50)]
    assert fingerprint() == before
    load_decoded_dataset(folder.data, before, lambda done, total: calls.append((done, total)))
    assert len(calls) == 2
    times = folder.paths[0].stat()
    os.utime(folder.paths[0], ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert fingerprint() == before
    assert len(calls) == 4


def test_another_size_is_decoded_when_it_is_needed(folder: ImageFolder) -> None:
    planned = folder.fingerprint
    larger = folder.data.model_copy(update={"image_size": 48})
    assert sources.compute_data_fingerprint(larger) == planned
    calls: list[tuple[int, int]] = []
    dataset = load_decoded_dataset(larger, planned, lambda done, total: calls.append((done, total)))
    assert calls == [(40, 40), (10, 10)]
    assert dataset.train.images.shape == (40, 48, 48, 3)


def test_another_test_size_decodes_the_test_split_alone(folder: ImageFolder) -> None:
    planned = folder.fingerprint
    scaled = folder.data.model_copy(update={"evaluate": Evaluate(scales=(40,))})
    calls: list[tuple[int, int]] = []
    dataset = load_decoded_dataset(scaled, planned, lambda done, total: calls.append((done, total)))
    assert calls == [(10, 10)]
    assert (dataset.train.images.shape[1], dataset.test.images.shape[1]) == (32, 40)


EXAMPLES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12)  # (grey level, label)


def write_examples(examples: list[tuple[int, int]], parent: str) -> tuple[str, dict[str, bytes]]:
    """Write a split of these examples; return its fingerprint and the content of its files."""
    raw = [RawExample(np.full((2, 3, 1), level, np.uint8), label) for level, label in examples]
    with TemporaryDirectory(dir=parent) as top:
        index = write_split(Path(top) / "split", raw, 2, 1, skip_corrupt=False)
        content = {path.name: path.read_bytes() for path in (Path(top) / "split").iterdir()}
    return compute_fingerprint({"train": index}), content


@settings(max_examples=60)
@given(st.data())
def test_the_order_of_examples_changes_neither_fingerprint_nor_cache(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    parent = str(tmp_path_factory.getbasetemp())
    examples = data.draw(EXAMPLES)
    assert write_examples(examples, parent) == write_examples(data.draw(st.permutations(examples)), parent)


@settings(max_examples=60)
@given(EXAMPLES, EXAMPLES)
def test_two_sets_have_one_fingerprint_only_if_they_hold_the_same_examples(
    tmp_path_factory: pytest.TempPathFactory, first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    parent = str(tmp_path_factory.getbasetemp())
    equal = write_examples(first, parent)[0] == write_examples(second, parent)[0]
    assert equal == (sorted(first) == sorted(second))


def plan_in_subprocess(root: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Plan a study of MNIST in a subprocess, whose last line of stderr says whether it has imported torch."""
    study = root / "planned.yaml"
    study.write_text(STUDY.format(root=root))
    code = f"""import sys
from vgg_ablate.cli import main
sys.argv = ['vgg_ablate', 'plan', {str(study)!r}, '--no-probe', '--device', 'cpu', '--json']
try:
    main()
finally:
    print('torch' in sys.modules, file=sys.stderr)
"""
    path = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"VGG_ABLATE_CACHE": str(cache), "PYTHONPATH": path}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)


def test_planning_does_not_import_torch_even_if_torchvision_reads_the_files(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    process = plan_in_subprocess(tmp_path, tmp_path / "cache")
    assert (process.returncode, process.stderr.splitlines()[-1]) == (0, "False"), process.stderr
    fingerprint = sources.compute_data_fingerprint(Data(name="mnist", root=str(tmp_path)))
    assert [path.name for path in (tmp_path / "cache/fingerprints").iterdir() if path.suffix != ".lock"]
    assert {path.name.split("-")[0] for path in (tmp_path / "cache/decoded").glob("[0-9a-f]*")} == {fingerprint}


def test_planning_warns_of_damaged_files_with_torchvisions_error(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(b"damaged")
    process = plan_in_subprocess(tmp_path, tmp_path / "cache")
    assert process.returncode == 0
    with pytest.raises(DatasetError, match="mnist cannot be read") as caught:
        sources.compute_data_fingerprint(Data(name="mnist", root=str(tmp_path)))
    assert str(caught.value) in process.stderr

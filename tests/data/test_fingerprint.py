"""The fingerprint is that of decoded pixels, labels and splits; what has one fingerprint trains alike."""

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

from tests.data.test_downloads import mnist
from tests.data.test_torchvision_sets import Arrays, write_cifar10
from tests.training.small_runs import ended
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
name: unread
question: does planning import torch?
seeds: 1
data: {{name: mnist, root: {root}}}
arch: {{stages: "4 | 8", head: {{hidden: []}}}}
"""


@dataclass(frozen=True)
class Folder:
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

    def arrays(self, split: str) -> Arrays:
        """Pixels as PIL decodes them, in no order, and labels."""
        paths = [path for path in self.paths if path.parts[-3] == split]
        order = np.random.default_rng(3).permutation(len(paths))
        paths = [paths[row] for row in order]
        return np.stack([pixels(path) for path in paths]), np.array([int(path.parent.name[1:]) for path in paths])


def pixels(path: Path) -> ImageArray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write(root: Path, save: Callable[[Image.Image, Path], None]) -> Folder:
    draw = np.random.default_rng(11)
    for split, count in EACH.items():
        for label in range(CLASSES):
            (root / split / f"c{label}").mkdir(parents=True)
            for index in range(count):
                noise = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                save(Image.fromarray(noise), root / split / f"c{label}" / f"{index}")
    return Folder(root)


def as_png(image: Image.Image, path: Path) -> None:
    image.save(path.with_suffix(".png"), compress_level=1)


def as_jpeg(image: Image.Image, path: Path) -> None:
    image.save(path.with_suffix(".jpg"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return write(tmp_path / "images", as_png)


def run_on(data: Data) -> Run:
    arch = Arch.model_validate({"stages": "4 | 8", "norm": "batch", "head": {"hidden": [8], "dropout": 0.5}})
    recipe = Train.model_validate({"epochs": 2, "batch_size": 8, "precision": "fp32"})
    shaped = arch.with_shape(data.shape).to_normal_form()
    return Run(arch=shaped, data=data, train=recipe, fingerprint=sources.compute_data_fingerprint(data), seed=5)


@pytest.mark.parametrize("size", [32, 24])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_folder_and_torchvisions_binary_files_of_its_pixels_are_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, channels: int
) -> None:
    folder = write(tmp_path / "images", as_jpeg)
    write_cifar10(tmp_path / "binary", monkeypatch, folder.arrays("train"), folder.arrays("test"))
    changes = {"image_size": size, "channels": channels, "augment": {"flip": True, "crop_padding": 2}}
    first = Data.model_validate(folder.data.model_dump() | changes)
    other = Data.model_validate(
        {"name": "cifar10", "root": str(tmp_path / "binary"), "validation_fraction": 0.25} | changes
    )
    assert run_on(first).fingerprint == run_on(other).fingerprint
    assert run_on(first).key == run_on(other).key
    caches = (tmp_path / "one cache", tmp_path / "another")
    results = []
    for data, cache in zip((first, other), caches, strict=True):  # each trains on what it has decoded itself
        monkeypatch.setenv("VGG_ABLATE_CACHE", str(cache))
        results.append(ended(train(run_on(data), TrainingSettings())))
    assert results[0] == results[1]


def test_the_native_size_is_left_out_of_the_key_of_a_named_set(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path / "binary", monkeypatch, folder.arrays("train"), folder.arrays("test"))
    named = Data(name="cifar10", root=str(tmp_path / "binary"), validation_fraction=0.25)
    assert run_on(named).key == run_on(folder.data).key


def test_the_format_of_the_files_is_not_part_of_it(folder: Folder, tmp_path: Path) -> None:
    jpeg = write(tmp_path / "jpeg", as_jpeg)

    def decoded_as_png(image: Image.Image, path: Path) -> None:
        as_jpeg(image, tmp_path / "one")
        as_png(Image.fromarray(pixels(tmp_path / "one.jpg")), path)

    assert write(tmp_path / "png", decoded_as_png).fingerprint == jpeg.fingerprint != folder.fingerprint


def test_names_of_files_and_classes_are_not_part_of_it(folder: Folder) -> None:
    before = folder.fingerprint
    for place, path in enumerate(reversed(folder.paths)):  # they are listed in another order then
        path.rename(path.with_name(f"picture {place}{path.suffix}"))
    for path in folder.root.glob("*/*"):
        path.rename(path.with_name(f"kind {path.name}"))
    folder.root.rename(folder.root.with_name("elsewhere"))
    assert Folder(folder.root.with_name("elsewhere")).fingerprint == before


def change_a_label(folder: Folder) -> None:
    path = folder.paths[-1]
    path.rename(path.parent.with_name("c0") / "another.png")


def change_a_pixel(folder: Folder) -> None:
    path = folder.paths[7]
    changed = pixels(path).copy()
    changed[31, 31, 2] ^= 1
    Image.fromarray(changed).save(path)


def move_from_train_to_test(folder: Folder) -> None:
    path = folder.root / "train/c4/0.png"
    path.rename(folder.root / "test/c4/another.png")


def add_one_twice(folder: Folder) -> None:
    path = folder.paths[-1]
    path.with_name("copy.png").write_bytes(path.read_bytes())


def turn_a_rectangle(folder: Folder) -> None:
    """The same bytes in the same order, but of another shape."""
    path = folder.paths[3]
    Image.fromarray(pixels(path).reshape(16, 64, 3)).save(path)


@pytest.mark.parametrize(
    "change", [change_a_label, change_a_pixel, move_from_train_to_test, add_one_twice, turn_a_rectangle]
)
def test_any_change_to_what_is_learnt_or_tested_changes_it(folder: Folder, change: Callable[[Folder], None]) -> None:
    before = folder.fingerprint
    change(folder)
    assert folder.fingerprint != before


def test_grey_and_colour_are_two_fingerprints(folder: Folder) -> None:
    grey = folder.data.model_copy(update={"channels": 1})
    assert sources.compute_data_fingerprint(grey) != folder.fingerprint


def test_skipped_files_are_left_out(folder: Folder) -> None:
    before = folder.fingerprint
    (folder.root / "train/c3/torn.png").write_bytes(folder.paths[0].read_bytes()[:100])
    assert sources.compute_data_fingerprint(folder.data.model_copy(update={"on_corrupt": "skip"})) == before
    with pytest.raises(DatasetError, match=r"torn\.png"):
        sources.compute_data_fingerprint(folder.data)


def test_files_are_decoded_once_and_again_when_they_were_written_to(folder: Folder) -> None:
    heard: list[tuple[int, int]] = []

    def fingerprint() -> str:
        return sources.compute_data_fingerprint(folder.data, lambda done, total: heard.append((done, total)))

    before = fingerprint()
    assert heard == [(40, 50), (50, 50)]
    assert fingerprint() == before
    load_decoded_dataset(folder.data, before, lambda done, total: heard.append((done, total)))
    assert len(heard) == 2
    times = folder.paths[0].stat()
    os.utime(folder.paths[0], ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert fingerprint() == before
    assert len(heard) == 4


def test_another_size_is_decoded_by_whoever_needs_it(folder: Folder) -> None:
    planned = folder.fingerprint
    larger = folder.data.model_copy(update={"image_size": 48})
    assert sources.compute_data_fingerprint(larger) == planned
    heard: list[tuple[int, int]] = []
    pool = load_decoded_dataset(larger, planned, lambda done, total: heard.append((done, total)))
    assert heard == [(40, 40), (10, 10)]
    assert pool.train.images.shape == (40, 48, 48, 3)


def test_another_test_size_decodes_the_test_split_alone(folder: Folder) -> None:
    planned = folder.fingerprint
    scaled = folder.data.model_copy(update={"evaluate": Evaluate(scales=(40,))})
    heard: list[tuple[int, int]] = []
    pool = load_decoded_dataset(scaled, planned, lambda done, total: heard.append((done, total)))
    assert heard == [(10, 10)]
    assert (pool.train.images.shape[1], pool.test.images.shape[1]) == (32, 40)


EXAMPLES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12)  # (grey level, label)


def written(examples: list[tuple[int, int]], place: str) -> tuple[str, dict[str, bytes]]:
    """The fingerprint of a split of these, and its files."""
    listed = [RawExample(np.full((2, 3, 1), level, np.uint8), label) for level, label in examples]
    with TemporaryDirectory(dir=place) as top:
        index = write_split(Path(top) / "split", listed, 2, 1, skip_corrupt=False)
        content = {path.name: path.read_bytes() for path in (Path(top) / "split").iterdir()}
    return compute_fingerprint({"train": index}), content


@settings(max_examples=60)
@given(st.data())
def test_the_order_of_examples_changes_neither_fingerprint_nor_cache(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    place = str(tmp_path_factory.getbasetemp())
    examples = draw.draw(EXAMPLES)
    assert written(examples, place) == written(draw.draw(st.permutations(examples)), place)


@settings(max_examples=60)
@given(EXAMPLES, EXAMPLES)
def test_two_sets_have_one_fingerprint_only_if_they_hold_the_same_examples(
    tmp_path_factory: pytest.TempPathFactory, one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    place = str(tmp_path_factory.getbasetemp())
    alike = written(one, place)[0] == written(other, place)[0]
    assert alike == (sorted(one) == sorted(other))


def plan_apart(root: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Plan a study of MNIST in a process of its own, which says at the end whether it has imported torch."""
    study = root / "unread.yaml"
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


def test_planning_imports_no_torch_even_where_torchvision_reads_the_files(tmp_path: Path) -> None:
    mnist(tmp_path)
    done = plan_apart(tmp_path, tmp_path / "cache")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "False"), done.stderr
    here = sources.compute_data_fingerprint(Data(name="mnist", root=str(tmp_path)))
    assert [path.name for path in (tmp_path / "cache/fingerprints").iterdir() if path.suffix != ".lock"]
    assert {path.name.split("-")[0] for path in (tmp_path / "cache/decoded").glob("[0-9a-f]*")} == {here}


def test_what_torchvision_says_of_damaged_files_is_said_by_planning(tmp_path: Path) -> None:
    mnist(tmp_path)
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(b"half")
    done = plan_apart(tmp_path, tmp_path / "cache")
    assert done.returncode == 4
    with pytest.raises(DatasetError, match="mnist cannot be read") as caught:
        sources.compute_data_fingerprint(Data(name="mnist", root=str(tmp_path)))
    assert str(caught.value) in done.stderr

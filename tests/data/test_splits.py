"""The examples of a run: which files, read how, split by which seed."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vgg_ablate.config.training import Augment, Data, Evaluate, ScaleJitter
from vgg_ablate.data import sources
from vgg_ablate.data.resample import resize_images
from vgg_ablate.data.splits import Split, Splits, load_decoded_dataset, load_splits
from vgg_ablate.errors import DatasetError, StorageError

CPU = torch.device("cpu")
DIGITS = Data(name="digits", image_size=16)


def drawn(data: Data, seed: int) -> Splits:
    return load_splits(data, sources.compute_data_fingerprint(data), seed, CPU)


def pixels(split: Split) -> torch.Tensor:
    assert isinstance(split.images, torch.Tensor)
    return split.images


def folder(root: Path, classes: int = 2, images: int = 6) -> Data:
    """An image folder: class k is filled with grey level 40 k."""
    for split in ("train", "test"):
        for label in range(classes):
            (root / split / f"c{label}").mkdir(parents=True)
            for index in range(images):
                picture = Image.new("RGB", (12, 10), (40 * label, 40 * label, index))
                picture.save(root / split / f"c{label}" / f"{index}.png")
    return Data(name="image-folder", image_size=8, classes=classes, root=str(root), validation_fraction=0.25)


def test_three_splits_share_no_example_and_lose_none() -> None:
    three = drawn(DIGITS, 0)
    assert [len(part) for part in three[:3]] == [1294, 144, 359]
    everything = torch.cat([pixels(part).flatten(1) for part in (three.train, three.validation, three.test)])
    assert len(torch.unique(everything, dim=0)) == len(torch.unique(decoded_images(DIGITS), dim=0))


def decoded_images(data: Data) -> torch.Tensor:
    images = load_decoded_dataset(data, sources.compute_data_fingerprint(data)).train.images
    return torch.from_numpy(images.reshape(len(images), -1).copy())


def test_the_seed_draws_the_splits() -> None:
    assert torch.equal(pixels(drawn(DIGITS, 3).test), pixels(drawn(DIGITS, 3).test))
    assert not torch.equal(pixels(drawn(DIGITS, 3).test), pixels(drawn(DIGITS, 4).test))


def test_a_limit_takes_fewer_to_train_and_as_many_to_test() -> None:
    limited = drawn(DIGITS.model_copy(update={"limit": 100}), 0)
    assert [len(part) for part in limited[:3]] == [90, 10, 359]


def test_statistics_are_those_of_the_training_split() -> None:
    three = drawn(DIGITS, 0)
    values = pixels(three.train).double()
    assert three.mean.item() == pytest.approx(values.mean().item())
    assert three.std.item() == pytest.approx(values.std(correction=0).item())


def test_an_image_folder_keeps_its_own_test_split(tmp_path: Path) -> None:
    three = drawn(folder(tmp_path), 0)
    assert [len(part) for part in three[:3]] == [9, 3, 12]
    assert torch.equal(pixels(three.test)[:, 0, 0, 0] // 40, three.test.labels.to(torch.uint8))


def test_without_a_test_folder_one_is_drawn(tmp_path: Path) -> None:
    data = folder(tmp_path)
    (tmp_path / "test").rename(tmp_path / "other")
    assert [len(part) for part in drawn(data, 0)[:3]] == [8, 2, 2]


def test_a_file_that_another_takes_the_place_of_is_read_again(tmp_path: Path) -> None:
    data = folder(tmp_path)
    path, other = tmp_path / "train/c0/0.png", tmp_path / "other.png"
    content = Image.open(path).copy()
    content.putpixel((0, 0), (0, 0, 9))
    content.save(other)
    for file in (path, other):  # what follows the image is not looked at
        os.truncate(file, 200)
    before, times = sources.compute_data_fingerprint(data), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    os.utime(other, ns=times)
    other.rename(path)
    assert sources.compute_data_fingerprint(data) != before


def test_files_that_changed_since_the_plan_are_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = folder(tmp_path, images=7)
    planned = sources.compute_data_fingerprint(data)
    (tmp_path / "train/c0/0.png").unlink()
    load_splits(data, planned, 0, CPU)  # the cache has what was planned
    monkeypatch.setenv("VGG_ABLATE_CACHE", str(tmp_path / "another machine"))
    with pytest.raises(DatasetError, match="was planned with"):
        load_splits(data, planned, 0, CPU)


def test_what_was_decoded_once_needs_its_files_no_more(tmp_path: Path) -> None:
    data = folder(tmp_path / "here")
    planned = sources.compute_data_fingerprint(data)
    before = load_splits(data, planned, 0, CPU)
    (tmp_path / "here").rename(tmp_path / "gone")
    assert torch.equal(pixels(load_splits(data, planned, 0, CPU).train), pixels(before.train))


def test_two_processes_that_start_at_once_decode_to_the_same(tmp_path: Path) -> None:
    data = folder(tmp_path / "images", images=40)
    code = (
        "import sys; from vgg_ablate.config.training import Data; from vgg_ablate.data import splits, sources;"
        "d = Data.model_validate_json(sys.argv[1]); f = sources.compute_data_fingerprint(d);"
        "p = splits.load_decoded_dataset(d, f);"
        "print(p.train.images.sum(), len(p.test.labels))"
    )
    command = [sys.executable, "-c", code, data.model_dump_json()]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert said[0] == said[1] != ""


def test_of_many_that_start_at_once_one_decodes_and_the_others_wait(tmp_path: Path) -> None:
    data = folder(tmp_path, images=40)
    heard: list[int] = []

    def start(place: int) -> str:
        return sources.compute_data_fingerprint(data, lambda done, of: heard.append(place))

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(start, range(8)))
    assert len(found) == len(set(heard)) == 1


def test_only_test_images_are_stored_at_the_scales_of_testing(tmp_path: Path) -> None:
    for data in (folder(tmp_path), DIGITS):
        larger = data.model_copy(update={"evaluate": Evaluate(scales=(20, 24))})
        jittered = larger.model_copy(update={"augment": Augment(scale_jitter=ScaleJitter(low=16, high=32))})
        plain, other, both = drawn(data, 0), drawn(larger, 0), drawn(jittered, 0)
        own = data.image_size
        assert [pixels(part).shape[1] for part in plain[:3]] == [own, own, own]
        assert [pixels(part).shape[1] for part in other[:3]] == [own, own, 24]
        assert [pixels(part).shape[1] for part in both[:3]] == [32, 32, 32]
        assert torch.equal(pixels(plain.train), pixels(other.train))
        assert torch.equal(pixels(plain.validation), pixels(other.validation))
        assert torch.equal(plain.mean, other.mean)
        assert torch.equal(plain.test.labels, other.test.labels)
        back = resize_images(pixels(other.test), own or 0).double()
        assert (back.mean((1, 2, 3)) - pixels(plain.test).double().mean((1, 2, 3))).abs().max() < 2, "other images"


def test_runs_that_are_tested_in_other_ways_share_the_decoded_training_images(tmp_path: Path) -> None:
    data = folder(tmp_path)
    larger = data.model_copy(update={"evaluate": Evaluate(scales=(12,))})
    first, second = (load_decoded_dataset(one, sources.compute_data_fingerprint(one)) for one in (data, larger))
    assert first.train is second.train
    assert (first.test.images.shape[1], second.test.images.shape[1]) == (8, 12)


def test_a_missing_root_is_named_with_what_is_near(tmp_path: Path) -> None:
    folder(tmp_path / "flowers")
    data = Data(name="image-folder", image_size=8, classes=2, root=str(tmp_path / "flower"))
    with pytest.raises(DatasetError, match=r"^data.root: .*flower is not there; did you mean 'flowers'\?$"):
        sources.compute_data_fingerprint(data)


def test_missing_files_say_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"cifar10 is not there: no .*cifar-10-batches-py.*download: true fetches it"
    ):
        sources.compute_data_fingerprint(Data(name="cifar10", root=str(tmp_path)))


def test_class_folders_must_be_as_many_as_declared(tmp_path: Path) -> None:
    data = folder(tmp_path, classes=3).model_copy(update={"classes": 4})
    with pytest.raises(DatasetError, match="holds 3 class folders, the study says 4"):
        sources.compute_data_fingerprint(data)


def test_a_cache_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VGG_ABLATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="file"):
        drawn(DIGITS, 0)


def test_digits_are_scaled_to_bytes_and_resized() -> None:
    native = load_decoded_dataset(Data(name="digits"), sources.compute_data_fingerprint(DIGITS)).train.images
    larger = load_decoded_dataset(DIGITS, sources.compute_data_fingerprint(DIGITS)).train.images
    assert (native.shape, larger.shape) == ((1797, 8, 8, 1), (1797, 16, 16, 1))
    assert (int(native.min()), int(native.max())) == (0, 255)
    assert np.abs(larger.mean((1, 2, 3)) - native.mean((1, 2, 3))).max() < 8

"""The examples of a run: which files are read, how, and how the seed splits them."""

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


def draw_splits(data: Data, seed: int) -> Splits:
    return load_splits(data, sources.compute_data_fingerprint(data), seed, CPU)


def get_pixels(split: Split) -> torch.Tensor:
    assert isinstance(split.images, torch.Tensor)
    return split.images


def write_folder(root: Path, classes: int = 2, images: int = 6) -> Data:
    """Write an image folder in which class k is filled with the gray level 40 k."""
    for split in ("train", "test"):
        for label in range(classes):
            (root / split / f"c{label}").mkdir(parents=True)
            for index in range(images):
                image = Image.new("RGB", (12, 10), (40 * label, 40 * label, index))
                image.save(root / split / f"c{label}" / f"{index}.png")
    return Data(name="image-folder", image_size=8, classes=classes, root=str(root), validation_fraction=0.25)


def test_three_splits_share_no_example_and_lose_none() -> None:
    splits = draw_splits(DIGITS, 0)
    assert [len(part) for part in splits[:3]] == [1294, 144, 359]
    images = torch.cat([get_pixels(part).flatten(1) for part in (splits.train, splits.validation, splits.test)])
    assert len(torch.unique(images, dim=0)) == len(torch.unique(load_all_images(DIGITS), dim=0))


def load_all_images(data: Data) -> torch.Tensor:
    images = load_decoded_dataset(data, sources.compute_data_fingerprint(data)).train.images
    return torch.from_numpy(images.reshape(len(images), -1).copy())


def test_the_seed_draws_the_splits() -> None:
    assert torch.equal(get_pixels(draw_splits(DIGITS, 3).test), get_pixels(draw_splits(DIGITS, 3).test))
    assert not torch.equal(get_pixels(draw_splits(DIGITS, 3).test), get_pixels(draw_splits(DIGITS, 4).test))


def test_a_limit_reduces_the_training_examples_and_keeps_the_test_examples() -> None:
    limited = draw_splits(DIGITS.model_copy(update={"limit": 100}), 0)
    assert [len(part) for part in limited[:3]] == [90, 10, 359]


def test_statistics_are_those_of_the_training_split() -> None:
    splits = draw_splits(DIGITS, 0)
    values = get_pixels(splits.train).double()
    assert splits.mean.item() == pytest.approx(values.mean().item())
    assert splits.std.item() == pytest.approx(values.std(correction=0).item())


def test_an_image_folder_keeps_its_own_test_split(tmp_path: Path) -> None:
    splits = draw_splits(write_folder(tmp_path), 0)
    assert [len(part) for part in splits[:3]] == [9, 3, 12]
    assert torch.equal(get_pixels(splits.test)[:, 0, 0, 0] // 40, splits.test.labels.to(torch.uint8))


def test_without_a_test_folder_a_test_split_is_drawn(tmp_path: Path) -> None:
    data = write_folder(tmp_path)
    (tmp_path / "test").rename(tmp_path / "other")
    assert [len(part) for part in draw_splits(data, 0)[:3]] == [8, 2, 2]


def test_a_file_that_is_replaced_by_another_of_its_size_and_time_is_read_again(tmp_path: Path) -> None:
    data = write_folder(tmp_path)
    path, other = tmp_path / "train/c0/0.png", tmp_path / "other.png"
    content = Image.open(path).copy()
    content.putpixel((0, 0), (0, 0, 9))
    content.save(other)
    for file in (path, other):  # the same size; PIL ignores what follows the image
        os.truncate(file, 200)
    before, times = sources.compute_data_fingerprint(data), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    os.utime(other, ns=times)
    other.rename(path)
    assert sources.compute_data_fingerprint(data) != before


def test_files_that_changed_since_planning_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_folder(tmp_path, images=7)
    planned = sources.compute_data_fingerprint(data)
    (tmp_path / "train/c0/0.png").unlink()
    load_splits(data, planned, 0, CPU)  # the cache still has the planned examples
    monkeypatch.setenv("VGG_ABLATE_CACHE", str(tmp_path / "another machine"))
    with pytest.raises(DatasetError, match="was planned with"):
        load_splits(data, planned, 0, CPU)


def test_a_decoded_data_set_no_longer_needs_its_files(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "images")
    planned = sources.compute_data_fingerprint(data)
    before = load_splits(data, planned, 0, CPU)
    (tmp_path / "images").rename(tmp_path / "gone")
    assert torch.equal(get_pixels(load_splits(data, planned, 0, CPU).train), get_pixels(before.train))


def test_processes_that_start_at_once_decode_the_same_images(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "images", images=40)
    code = (
        "import sys; from vgg_ablate.config.training import Data; from vgg_ablate.data import splits, sources;"
        "data = Data.model_validate_json(sys.argv[1]);"
        "dataset = splits.load_decoded_dataset(data, sources.compute_data_fingerprint(data));"
        "print(dataset.train.images.sum(), len(dataset.test.labels))"
    )
    command = [sys.executable, "-c", code, data.model_dump_json()]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert outputs[0] == outputs[1] != ""


def test_one_of_many_threads_that_start_at_once_decodes_and_the_others_wait(tmp_path: Path) -> None:
    data = write_folder(tmp_path, images=40)
    decoders: list[int] = []

    def start(number: int) -> str:
        return sources.compute_data_fingerprint(data, lambda done, total: decoders.append(number))

    with ThreadPoolExecutor(8) as threads:
        fingerprints = set(threads.map(start, range(8)))
    assert len(fingerprints) == len(set(decoders)) == 1


def test_only_test_images_are_stored_at_the_scales_of_testing(tmp_path: Path) -> None:
    for data in (write_folder(tmp_path), DIGITS):
        larger = data.model_copy(update={"evaluate": Evaluate(scales=(20, 24))})
        jittered = larger.model_copy(update={"augment": Augment(scale_jitter=ScaleJitter(low=16, high=32))})
        plain, scaled, both = draw_splits(data, 0), draw_splits(larger, 0), draw_splits(jittered, 0)
        size = data.image_size
        assert [get_pixels(part).shape[1] for part in plain[:3]] == [size, size, size]
        assert [get_pixels(part).shape[1] for part in scaled[:3]] == [size, size, 24]
        assert [get_pixels(part).shape[1] for part in both[:3]] == [32, 32, 32]
        assert torch.equal(get_pixels(plain.train), get_pixels(scaled.train))
        assert torch.equal(get_pixels(plain.validation), get_pixels(scaled.validation))
        assert torch.equal(plain.mean, scaled.mean)
        assert torch.equal(plain.test.labels, scaled.test.labels)
        resized = resize_images(get_pixels(scaled.test), size or 0).double()
        assert (resized.mean((1, 2, 3)) - get_pixels(plain.test).double().mean((1, 2, 3))).abs().max() < 2, (
            "other images"
        )


def test_runs_with_different_evaluations_share_the_decoded_training_images(tmp_path: Path) -> None:
    data = write_folder(tmp_path)
    larger = data.model_copy(update={"evaluate": Evaluate(scales=(12,))})
    first, second = (
        load_decoded_dataset(variant, sources.compute_data_fingerprint(variant)) for variant in (data, larger)
    )
    assert first.train is second.train
    assert (first.test.images.shape[1], second.test.images.shape[1]) == (8, 12)


def test_a_missing_root_is_an_error_that_suggests_a_similar_name(tmp_path: Path) -> None:
    write_folder(tmp_path / "flowers")
    data = Data(name="image-folder", image_size=8, classes=2, root=str(tmp_path / "flower"))
    with pytest.raises(DatasetError, match=r"^data\.root: directory not found: .*flower; did you mean 'flowers'\?$"):
        sources.compute_data_fingerprint(data)


def test_missing_files_are_an_error_that_says_where_they_were_searched(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cifar10 not found: no .*cifar-10-batches-py.*download: true downloads it"):
        sources.compute_data_fingerprint(Data(name="cifar10", root=str(tmp_path)))


def test_the_number_of_class_folders_must_be_as_declared(tmp_path: Path) -> None:
    data = write_folder(tmp_path, classes=3).model_copy(update={"classes": 4})
    with pytest.raises(DatasetError, match="holds 3 class folders, but the study declares 4"):
        sources.compute_data_fingerprint(data)


def test_a_cache_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VGG_ABLATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="file"):
        draw_splits(DIGITS, 0)


def test_digits_are_scaled_to_bytes_and_resized() -> None:
    original = load_decoded_dataset(Data(name="digits"), sources.compute_data_fingerprint(DIGITS)).train.images
    larger = load_decoded_dataset(DIGITS, sources.compute_data_fingerprint(DIGITS)).train.images
    assert (original.shape, larger.shape) == ((1797, 8, 8, 1), (1797, 16, 16, 1))
    assert (int(original.min()), int(original.max())) == (0, 255)
    assert np.abs(larger.mean((1, 2, 3)) - original.mean((1, 2, 3))).max() < 8

"""Image files of every kind are decoded to the same bytes, and errors name the files that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from vgg_ablate.config.training import Data
from vgg_ablate.data import decode, sources
from vgg_ablate.data.decode import DecodedExample, RawExample
from vgg_ablate.data.pixel_cache import read_split, write_split
from vgg_ablate.data.splits import load_decoded_dataset
from vgg_ablate.errors import DatasetError
from vgg_ablate.runs.progress.reading import compute_fingerprint_with_notice

GREY = np.linspace(0, 255, 64, dtype=np.uint8).reshape(8, 8)


def decode_file(path: Path, channels: int = 3, size: int = 8) -> decode.ImageArray:
    (example,) = decode.decode_examples([RawExample(path, 0)], size, channels)
    assert isinstance(example, DecodedExample)
    return np.frombuffer(example.pixels, np.uint8).reshape(size, size, channels)


def save_image(folder: Path, image: Image.Image, name: str = "a.png", **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


def test_gray_becomes_three_equal_channels_and_color_one_luma(tmp_path: Path) -> None:
    grey = decode_file(save_image(tmp_path, Image.fromarray(GREY)))
    assert (grey == GREY[..., None]).all()
    color = save_image(tmp_path, Image.new("RGB", (8, 8), (200, 100, 50)))
    assert decode_file(color, channels=1)[0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


def test_alpha_is_dropped(tmp_path: Path) -> None:
    assert (decode_file(save_image(tmp_path, Image.new("RGBA", (8, 8), (9, 8, 7, 0)))) == [9, 8, 7]).all()


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    palette_image = Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4)
    assert palette_image.mode == "P"
    assert np.abs(decode_file(save_image(tmp_path, palette_image, "a.gif")).astype(int) - [10, 200, 30]).max() <= 4
    assert decode_file(save_image(tmp_path, palette_image, transparency=0)).shape == (8, 8, 3)


def test_sixteen_bits_keep_their_upper_eight(tmp_path: Path) -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    assert (decode_file(save_image(tmp_path, deep), channels=1)[..., 0] == GREY).all()


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn a quarter to the right
    turned = save_image(tmp_path, Image.fromarray(GREY), exif=exif)
    assert (decode_file(turned)[..., 0] == np.rot90(GREY, -1)).all()


def test_the_center_square_is_kept_and_the_shorter_side_resized(tmp_path: Path) -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    assert (decode_file(save_image(tmp_path, Image.fromarray(wide)), size=10) == 255).all()
    assert decode_file(save_image(tmp_path, Image.fromarray(wide)), size=20).shape == (20, 20, 3)


def decode_with_pil(path: Path, mode: str, size: int) -> decode.ImageArray:
    """Decode a file with PIL alone: upright, in one mode, its center square at this size."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert(mode)
    fitted = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(fitted, np.uint8).reshape(size, size, -1)


def draw_scene(width: int, height: int) -> Image.Image:
    """Draw an image that is smooth in every channel, so that two ways to crop and resize it differ little."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [80 + 60 * np.sin(columns / 9), 120 + 90 * np.cos(rows / 11), 100 + 50 * np.sin((rows + columns) / 13)]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8))


def save_turned(orientation: int, folder: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save_image(folder, draw_scene(48, 48), "a.jpg", exif=exif)


KINDS: dict[str, Callable[[Path], Path]] = {
    "grey": lambda folder: save_image(folder, draw_scene(48, 48).convert("L")),
    "grey with alpha": lambda folder: save_image(folder, draw_scene(48, 48).convert("LA")),
    "RGBA": lambda folder: save_image(folder, draw_scene(48, 48).convert("RGBA")),
    "palette": lambda folder: save_image(folder, draw_scene(48, 48).quantize(200)),
    "palette of a gif": lambda folder: save_image(folder, draw_scene(48, 48).quantize(64), "a.gif"),
    "palette with a transparent color": lambda folder: save_image(
        folder, draw_scene(48, 48).quantize(200), transparency=3
    ),
    "one bit": lambda folder: save_image(folder, draw_scene(48, 48).convert("1")),
    "CMYK": lambda folder: save_image(folder, draw_scene(48, 48).convert("CMYK"), "a.jpg"),
    "JPEG": lambda folder: save_image(folder, draw_scene(48, 48), "a.jpg", quality=95),
    "WebP": lambda folder: save_image(folder, draw_scene(48, 48), "a.webp", lossless=True),
    "wide": lambda folder: save_image(folder, draw_scene(120, 48)),
    "tall": lambda folder: save_image(folder, draw_scene(48, 97)),
    "large": lambda folder: save_image(folder, draw_scene(480, 480)),
    "small": lambda folder: save_image(folder, draw_scene(20, 20)),
    **{f"turned {turn}": partial(save_turned, turn) for turn in range(1, 9)},
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_any_kind_is_decoded_as_pil_alone_does(kind: str, channels: int, tmp_path: Path) -> None:
    path = KINDS[kind](tmp_path)
    decoded, expected = decode_file(path, channels, 48), decode_with_pil(path, "RGB" if channels == 3 else "L", 48)
    assert decoded.shape == expected.shape
    differences = np.abs(decoded.astype(int) - expected.astype(int))
    if kind in {"wide", "tall", "large", "small"}:  # ImageOps.fit crops before it resizes, by half pixels
        assert differences.mean() < 2
        assert differences.max() < 16
    else:
        assert differences.max() == 0


@pytest.mark.parametrize("file", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_of_gray_keep_their_upper_eight_in_every_format(file: str, tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 48 * 48).astype(np.uint16).reshape(48, 48)
    for channels in (1, 3):
        image = decode_file(save_image(tmp_path, Image.fromarray(deep), file), channels, 48)
        assert (image == (deep >> 8).astype(np.uint8)[..., None]).all()


def test_files_of_many_kinds_and_sizes_can_be_one_data_set(tmp_path: Path) -> None:
    examples = []
    for label, (kind, make) in enumerate(KINDS.items()):
        (tmp_path / kind).mkdir()
        examples.append(RawExample(make(tmp_path / kind), label))
    index = write_split(tmp_path / "split", examples, 48, 3, skip_corrupt=False)
    split = read_split(tmp_path / "split")
    assert [label for _, label in index] == split.labels.tolist()
    assert sorted(split.labels.tolist()) == list(range(len(KINDS)))
    for image, label in zip(split.images, split.labels, strict=True):
        path = examples[label].image
        assert isinstance(path, Path)
        assert np.array_equal(image, decode_file(path, 3, 48))


def write_corrupt_folder(root: Path) -> Data:
    for split in ("train", "test"):
        for label in ("a", "b"):
            (root / split / label).mkdir(parents=True)
            for index in range(5):
                save_image(root / split / label, Image.fromarray(GREY), f"{index}.png")
    (root / "train/b/3.png").write_bytes(b"no image")
    whole = (root / "train/b/4.png").read_bytes()
    (root / "train/b/4.png").write_bytes(whole[: len(whole) // 2])
    return Data(name="image-folder", image_size=8, classes=2, root=str(root))


def test_a_corrupt_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    data = write_corrupt_folder(tmp_path)
    with pytest.raises(DatasetError, match=r"train/b/3\.png: .* \(and 1 more\); data\.on_corrupt: skip leaves"):
        load_decoded_dataset(data, sources.compute_data_fingerprint(data))


def test_corrupt_files_are_skipped_and_listed_where_the_study_allows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_corrupt_folder(tmp_path).model_copy(update={"on_corrupt": "skip"})
    dataset = load_decoded_dataset(data, sources.compute_data_fingerprint(data))
    assert len(dataset.train.labels) == 8
    assert [Path(line.split(": ")[0]).name for line in dataset.train.skipped] == ["3.png", "4.png"]
    compute_fingerprint_with_notice(data)
    first, _, second = capsys.readouterr().err.partition("; ")
    assert first.startswith(f"{tmp_path}: 2 files skipped as unreadable: train/b/3.png: cannot identify image file")
    assert second == "train/b/4.png: image file is truncated\n"


@pytest.mark.parametrize("kind", ["pipe", "dead link", "folder"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    data = write_corrupt_folder(tmp_path)
    for name in ("3.png", "4.png"):
        (tmp_path / "train/b" / name).unlink()
    path = tmp_path / "train/a/9.png"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "dead link":
            path.symlink_to(tmp_path / "missing.png")
        case _:
            path.mkdir()
    with pytest.raises(DatasetError, match=r"train/a/9\.png: not a regular file"):
        sources.compute_data_fingerprint(data)
    sources.compute_data_fingerprint(data.model_copy(update={"on_corrupt": "skip"}))


@pytest.mark.parametrize("kind", ["image", "class", "split", "array"])
def test_a_link_out_of_the_data_folder_is_followed_only_where_the_study_says_so(tmp_path: Path, kind: str) -> None:
    data, outside = write_corrupt_folder(tmp_path / "root"), tmp_path / "elsewhere"
    for name in ("3.png", "4.png"):
        (tmp_path / "root/train/b" / name).unlink()
    match kind:
        case "image":
            link = tmp_path / "root/train/a/0.png"
        case "class":
            link = tmp_path / "root/train/a"
        case "split":
            link = tmp_path / "root/test"
        case _:
            data, link = Data(name="mnist", root=str(tmp_path / "root")), tmp_path / "root/t10k-images-idx3-ubyte"
            link.write_bytes(b"")
    link.rename(outside)
    link.symlink_to(outside)
    with pytest.raises(DatasetError) as caught:
        sources.compute_data_fingerprint(data)
    expected = f"{link}: leads out of the data folder, to {outside}; data.follow_links: true allows it"
    assert str(caught.value) == expected
    if kind != "array":
        sources.compute_data_fingerprint(data.model_copy(update={"follow_links": True}))


def test_links_inside_the_data_folder_and_to_it_are_followed(tmp_path: Path) -> None:
    data, link = write_corrupt_folder(tmp_path / "root"), tmp_path / "link"
    for name in ("3.png", "4.png"):
        (tmp_path / "root/train/b" / name).unlink()
    (tmp_path / "root/train/a/9.png").symlink_to("0.png")
    link.symlink_to(tmp_path / "root")
    sources.compute_data_fingerprint(data.model_copy(update={"root": str(link)}))


def test_a_relative_root_stays_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_corrupt_folder(tmp_path / "root")
    for name in ("3.png", "4.png"):
        (tmp_path / "root/train/b" / name).unlink()
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("VGG_ABLATE_DATA", str(tmp_path / "data"))
    relative = data.model_copy(update={"root": "a/../../root"})
    with pytest.raises(
        DatasetError, match=r"data\.root: leads out of \$VGG_ABLATE_DATA .*: a/\.\./\.\./root; give an abs"
    ):
        sources.compute_data_fingerprint(relative)
    (tmp_path / "data/a").mkdir()
    sources.compute_data_fingerprint(relative.model_copy(update={"follow_links": True}))


def test_decoding_reports_its_progress(tmp_path: Path) -> None:
    files = [RawExample(save_image(tmp_path, Image.fromarray(GREY), f"{index}.png"), 0) for index in range(3)]
    calls: list[tuple[int, int]] = []
    folder = tmp_path / "split"
    write_split(folder, files, 8, 1, skip_corrupt=False, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(3, 3)]


def test_sixteen_bits_with_small_values_are_refused_instead_of_turning_black(tmp_path: Path) -> None:
    path = save_image(tmp_path, Image.fromarray(GREY.astype(np.uint16)))
    (example,) = decode.decode_examples([RawExample(path, 0)], 8, 1)
    assert isinstance(example, decode.UnreadableImage)
    assert example.reason.startswith("a 16-bit image with no value above 255 would turn black")
    black = save_image(tmp_path, Image.fromarray(np.zeros((8, 8), np.uint16)), "black.png")
    assert not decode_file(black).any()


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    data = write_corrupt_folder(tmp_path)
    for name in ("3.png", "4.png"):
        (tmp_path / "train/b" / name).unlink()
    before = sources.list_images(data, "train")
    (tmp_path / "train/a/._0.png").write_bytes(b"the resource fork that macOS writes beside 0.png")
    assert sources.list_images(data, "train") == before


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_folder_without_images_is_an_error_that_names_it(tmp_path: Path, split: str) -> None:
    data = write_corrupt_folder(tmp_path)
    for path in (tmp_path / split / "b").iterdir():
        path.unlink()
    (tmp_path / split / "b/notes.txt").write_text("no image")
    with pytest.raises(DatasetError, match=rf"{split}/b: holds no images \(\.bmp, .*\.webp\)"):
        sources.list_images(data, split)

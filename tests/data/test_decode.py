"""Image files of every kind become the same bytes, and those that cannot be read are named."""

from __future__ import annotations

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

GREY = np.linspace(0, 255, 64, dtype=np.uint8).reshape(8, 8)


def read(path: Path, channels: int = 3, size: int = 8) -> decode.ImageArray:
    (example,) = decode.decode_examples([RawExample(path, 0)], size, channels)
    assert isinstance(example, DecodedExample)
    return np.frombuffer(example.pixels, np.uint8).reshape(size, size, channels)


def saved(folder: Path, image: Image.Image, name: str = "a.png", **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


def test_grey_becomes_three_equal_channels_and_colour_one_luma(tmp_path: Path) -> None:
    grey = read(saved(tmp_path, Image.fromarray(GREY)))
    assert (grey == GREY[..., None]).all()
    colour = saved(tmp_path, Image.new("RGB", (8, 8), (200, 100, 50)))
    assert read(colour, channels=1)[0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


def test_alpha_is_dropped(tmp_path: Path) -> None:
    assert (read(saved(tmp_path, Image.new("RGBA", (8, 8), (9, 8, 7, 0)))) == [9, 8, 7]).all()


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4)
    assert picture.mode == "P"
    assert np.abs(read(saved(tmp_path, picture, "a.gif")).astype(int) - [10, 200, 30]).max() <= 4
    assert read(saved(tmp_path, picture, transparency=0)).shape == (8, 8, 3)


def test_sixteen_bits_keep_their_upper_eight(tmp_path: Path) -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    assert (read(saved(tmp_path, deep), channels=1)[..., 0] == GREY).all()


def test_a_photograph_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn a quarter to the right
    turned = saved(tmp_path, Image.fromarray(GREY), exif=exif)
    assert (read(turned)[..., 0] == np.rot90(GREY, -1)).all()


def test_the_centre_square_is_kept_and_the_shorter_side_resized(tmp_path: Path) -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    assert (read(saved(tmp_path, Image.fromarray(wide)), size=10) == 255).all()
    assert read(saved(tmp_path, Image.fromarray(wide)), size=20).shape == (20, 20, 3)


def plainly(path: Path, mode: str, size: int) -> decode.ImageArray:
    """What PIL makes of a file: upright, in one mode, its centre at the size that ours is stored in."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert(mode)
    fitted = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(fitted, np.uint8).reshape(size, size, -1)


def scene(width: int, height: int) -> Image.Image:
    """Smooth in every channel, so that two ways to cut and resize it differ little."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [80 + 60 * np.sin(columns / 9), 120 + 90 * np.cos(rows / 11), 100 + 50 * np.sin((rows + columns) / 13)]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8))


def turned(orientation: int, folder: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(folder, scene(48, 48), "a.jpg", exif=exif)


KINDS: dict[str, Callable[[Path], Path]] = {
    "grey": lambda folder: saved(folder, scene(48, 48).convert("L")),
    "grey with alpha": lambda folder: saved(folder, scene(48, 48).convert("LA")),
    "RGBA": lambda folder: saved(folder, scene(48, 48).convert("RGBA")),
    "palette": lambda folder: saved(folder, scene(48, 48).quantize(200)),
    "palette of a gif": lambda folder: saved(folder, scene(48, 48).quantize(64), "a.gif"),
    "palette with a transparent colour": lambda folder: saved(folder, scene(48, 48).quantize(200), transparency=3),
    "one bit": lambda folder: saved(folder, scene(48, 48).convert("1")),
    "CMYK": lambda folder: saved(folder, scene(48, 48).convert("CMYK"), "a.jpg"),
    "JPEG": lambda folder: saved(folder, scene(48, 48), "a.jpg", quality=95),
    "WebP": lambda folder: saved(folder, scene(48, 48), "a.webp", lossless=True),
    "wide": lambda folder: saved(folder, scene(120, 48)),
    "tall": lambda folder: saved(folder, scene(48, 97)),
    "large": lambda folder: saved(folder, scene(480, 480)),
    "small": lambda folder: saved(folder, scene(20, 20)),
    **{f"turned {turn}": partial(turned, turn) for turn in range(1, 9)},
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_any_kind_becomes_what_pil_makes_of_it(kind: str, channels: int, tmp_path: Path) -> None:
    path = KINDS[kind](tmp_path)
    ours, theirs = read(path, channels, 48), plainly(path, "RGB" if channels == 3 else "L", 48)
    assert ours.shape == theirs.shape
    differences = np.abs(ours.astype(int) - theirs.astype(int))
    if kind in {"wide", "tall", "large", "small"}:  # PIL cuts before it resizes, by halves of pixels
        assert differences.mean() < 2
        assert differences.max() < 16
    else:
        assert differences.max() == 0


@pytest.mark.parametrize("file", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_of_grey_keep_their_upper_eight_in_every_format(file: str, tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 48 * 48).astype(np.uint16).reshape(48, 48)
    for channels in (1, 3):
        image = read(saved(tmp_path, Image.fromarray(deep), file), channels, 48)
        assert (image == (deep >> 8).astype(np.uint8)[..., None]).all()


def test_files_of_many_kinds_and_sizes_stand_in_one_set(tmp_path: Path) -> None:
    listed = []
    for label, (kind, make) in enumerate(KINDS.items()):
        (tmp_path / kind).mkdir()
        listed.append(RawExample(make(tmp_path / kind), label))
    index = write_split(tmp_path / "split", listed, 48, 3, skip_corrupt=False)
    found = read_split(tmp_path / "split")
    assert [label for _, label in index] == found.labels.tolist()
    assert sorted(found.labels.tolist()) == list(range(len(KINDS)))
    for image, label in zip(found.images, found.labels, strict=True):
        path = listed[label].image
        assert isinstance(path, Path)
        assert np.array_equal(image, read(path, 3, 48))


def broken(root: Path) -> Data:
    for split in ("train", "test"):
        for label in ("a", "b"):
            (root / split / label).mkdir(parents=True)
            for index in range(5):
                saved(root / split / label, Image.fromarray(GREY), f"{index}.png")
    (root / "train/b/3.png").write_bytes(b"no image")
    whole = (root / "train/b/4.png").read_bytes()
    (root / "train/b/4.png").write_bytes(whole[: len(whole) // 2])
    return Data(name="image-folder", image_size=8, classes=2, root=str(root))


def test_a_corrupt_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    data = broken(tmp_path)
    with pytest.raises(DatasetError, match=r"train/b/3\.png: .* \(and 1 more\); data\.on_corrupt: skip leaves"):
        load_decoded_dataset(data, sources.compute_data_fingerprint(data))


def test_corrupt_files_are_skipped_and_counted_where_the_study_says_so(tmp_path: Path) -> None:
    data = broken(tmp_path).model_copy(update={"on_corrupt": "skip"})
    pool = load_decoded_dataset(data, sources.compute_data_fingerprint(data))
    assert len(pool.train.labels) == 8
    assert [Path(line.split(": ")[0]).name for line in pool.train.skipped] == ["3.png", "4.png"]


def test_decoding_tells_how_far_it_is(tmp_path: Path) -> None:
    files = [RawExample(saved(tmp_path, Image.fromarray(GREY), f"{index}.png"), 0) for index in range(3)]
    told: list[tuple[int, int]] = []
    split = tmp_path / "split"
    write_split(split, files, 8, 1, skip_corrupt=False, progress=lambda done, of: told.append((done, of)))
    assert told == [(3, 3)]

"""Image files of every kind become the same bytes, and those that cannot be read are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vgg_ablate.errors import DataMissing
from vgg_ablate.spec.recipe import Data
from vgg_ablate.train import decoding, sources
from vgg_ablate.train.data import decoded
from vgg_ablate.train.sources import Listed

GREY = np.linspace(0, 255, 64, dtype=np.uint8).reshape(8, 8)


def read(path: Path, channels: int = 3, size: int = 8) -> decoding.Images:
    found = decoding.from_files([Listed(path, 0)], size, channels, skip_corrupt=False)
    image: decoding.Images = found.images[0]
    return image


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
    with pytest.raises(DataMissing, match=r"train/b/3\.png: .* \(and 1 more\); data\.on_corrupt: skip leaves"):
        decoded(data, sources.fingerprint(data))


def test_corrupt_files_are_skipped_and_counted_where_the_study_says_so(tmp_path: Path) -> None:
    data = broken(tmp_path).model_copy(update={"on_corrupt": "skip"})
    pool = decoded(data, sources.fingerprint(data))
    assert len(pool.train.labels) == 8
    assert [Path(line.split(": ")[0]).name for line in pool.train.skipped] == ["3.png", "4.png"]


def test_decoding_tells_how_far_it_is(tmp_path: Path) -> None:
    files = [Listed(saved(tmp_path, Image.fromarray(GREY), f"{index}.png"), 0) for index in range(3)]
    told: list[tuple[int, int]] = []
    decoding.from_files(files, 8, 1, skip_corrupt=False, progress=lambda done, of: told.append((done, of)))
    assert told == [(3, 3)]

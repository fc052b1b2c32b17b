"""A line on stderr is printed where the images of a data set take long to read, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from vgg_ablate.config.training import Data
from vgg_ablate.data import sources
from vgg_ablate.runs.progress.reading import ReadingNotice, compute_fingerprint_with_notice


def test_one_line_is_printed_where_reading_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    notice = ReadingNotice("image-folder", patience_s=0)
    for done in (100, 200, 60_000):
        notice(done, 60_000)
    assert capsys.readouterr().err == "reading 60,000 images of image-folder ...\n"


def test_nothing_is_printed_where_reading_is_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VGG_ABLATE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "train/a").mkdir(parents=True)
    Image.new("L", (4, 4)).save(tmp_path / "train/a/one.png")
    data = Data(name="image-folder", root=str(tmp_path), image_size=4, classes=1)
    assert compute_fingerprint_with_notice(data) == sources.compute_data_fingerprint(data)
    assert capsys.readouterr().err == ""

"""Run and epoch frames: one row per run or epoch, the same after a round trip through files."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import vgg_ablate
from tests.report.factories import make_results_folder
from vgg_ablate.analysis import examples, frame, frame_csv
from vgg_ablate.records import Outcome

COLUMNS = (
    "study variant seed key outcome val_accuracy test_accuracy test_error params macs epochs train_seconds "
    "images_per_second device precision"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_results_folder(
        tmp_path / "pretend", outcomes={("five", 2): Outcome.DIVERGED}, missing=frozenset({("wide", 0), ("wide", 1)})
    )


def test_the_package_gives_one_row_a_planned_run(folder: Path) -> None:
    runs = vgg_ablate.frame(folder)
    assert len(runs) == 15
    assert set(COLUMNS.split()) <= set(runs.columns)
    assert runs["outcome"].value_counts().to_dict() == {"finished": 12, "missing": 2, "diverged": 1}


def test_runs_are_the_same_after_a_round_trip_through_csv(folder: Path, tmp_path: Path) -> None:
    runs = vgg_ablate.frame(folder)
    (tmp_path / "runs.csv").write_text(frame_csv.serialize_frame(runs), encoding="utf-8")
    pd.testing.assert_frame_equal(frame_csv.read_csv(tmp_path / "runs.csv"), runs, check_exact=True)


@pytest.mark.parametrize(
    "reason", ["=1+1", "@sum(a1)", "-cmd", "+x", "\t=1", "'=1", "''=1", "'quoted'", "-1", "", "a=b"]
)
def test_no_text_is_a_formula_in_a_spreadsheet_and_every_one_is_read_back(
    folder: Path, tmp_path: Path, reason: str
) -> None:
    runs = vgg_ablate.frame(folder).assign(reason=pd.Series([reason] * 15, dtype="str"))
    (tmp_path / "runs.csv").write_text(frame_csv.serialize_frame(runs), encoding="utf-8", newline="")
    with (tmp_path / "runs.csv").open(encoding="utf-8", newline="") as lines:
        cells = [row["reason"] for row in csv.DictReader(lines)]
    assert reason == "-1" or not set("".join(cell[:1] for cell in cells)) & set("=+-@\t\r")
    pd.testing.assert_frame_equal(frame_csv.read_csv(tmp_path / "runs.csv"), runs, check_exact=True)


@pytest.mark.parametrize("read", [vgg_ablate.frame, frame.read_epoch_frame])
def test_both_are_the_same_after_a_round_trip_through_parquet(
    folder: Path, tmp_path: Path, read: Callable[[Path], pd.DataFrame]
) -> None:
    rows = read(folder)
    rows.to_parquet(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "rows.parquet"), rows, check_exact=True)


def test_epochs_are_the_same_after_a_round_trip_through_csv(folder: Path, tmp_path: Path) -> None:
    epochs = frame.read_epoch_frame(folder)
    assert len(epochs) == 13 * 2
    (tmp_path / "epochs.csv").write_text(frame_csv.serialize_frame(epochs), encoding="utf-8")
    pd.testing.assert_frame_equal(frame_csv.read_csv(tmp_path / "epochs.csv"), epochs, check_exact=True)


def test_an_empty_study_has_empty_frames_of_the_same_dtypes(tmp_path: Path) -> None:
    every = frozenset((variant, seed) for variant in ("base", "five", "wide") for seed in range(5))
    folder = make_results_folder(tmp_path / "pretend", missing=every)
    assert frame.read_epoch_frame(folder).dtypes.equals(
        frame.read_epoch_frame(make_results_folder(tmp_path / "full" / "pretend")).dtypes
    )
    assert set(vgg_ablate.frame(folder)["outcome"]) == {"missing"}


@pytest.mark.parametrize("count", [1, 7, 8, 9, 360])
def test_packed_bits_lose_their_padding(count: int) -> None:
    correct = np.random.default_rng(count).random(count) < 0.8
    correct[0] = True
    packed = np.packbits(correct).tobytes().hex()
    assert (examples.unpack_correct_bits(packed, float(correct.mean())) == correct).all()

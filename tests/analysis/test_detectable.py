"""Detectable effects come from records alone, and are those of the report once the study's own runs are recorded."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from tests.report.factories import STUDY, make_results_folder
from vgg_ablate.analysis import power
from vgg_ablate.analysis.detectable import UNKNOWN_SPREAD, DetectableEffect, compute_detectable_effects
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.sequential import compute_levels
from vgg_ablate.analysis.summary import load_report
from vgg_ablate.config.study import load
from vgg_ablate.manifest import Manifest

CONTENT = "0" * 16


def detect(folder: Path, content: str = CONTENT) -> dict[str, DetectableEffect]:
    """Compute the effects of the folder's own study, as `plan` does."""
    effects = compute_detectable_effects(load(folder / "study.yaml"), Manifest.read(folder).planned, content, folder)
    return {effect.claim.id: effect for effect in effects}


def remove_records(folder: Path) -> Path:
    for path in (folder / "records").iterdir():
        path.unlink()
    return folder


def test_recorded_pairs_give_what_the_report_says(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "results" / "own")
    verdicts = {verdict.claim.id: verdict for verdict in load_report(folder).verdicts}
    for name, effect in detect(folder).items():
        if verdicts[name].is_exact:
            assert (effect.detectable, effect.source) == (0.0, "exact: the same on every seed")
        else:
            assert effect.sd == pytest.approx(verdicts[name].sd)
            assert effect.detectable == pytest.approx(verdicts[name].detectable)
            assert effect.source == "5 seeds of its own, recorded"


def test_without_records_the_spread_is_unknown_and_never_made_up(tmp_path: Path) -> None:
    effect = detect(remove_records(make_results_folder(tmp_path / "results" / "own")))["small"]
    assert (effect.sd, effect.detectable, effect.source) == (None, None, UNKNOWN_SPREAD)


def test_a_study_of_the_same_data_lends_the_spread_of_its_pairs(tmp_path: Path) -> None:
    own, other = (
        remove_records(make_results_folder(tmp_path / "results" / "own")),
        make_results_folder(tmp_path / "results" / "other"),
    )
    table = collect_by_seed(load_report(other).frame, "test_error")
    pairs = itertools.combinations([[values[seed] for seed in sorted(values)] for values in table.values()], 2)
    variances = [np.var(np.subtract(one, two), ddof=1) for one, two in pairs]
    expected = math.sqrt(float(np.mean(variances)))  # the residual of variants x seeds is half of this, squared
    effect = detect(own)["small"]
    assert effect.sd == pytest.approx(expected)
    assert effect.detectable == pytest.approx(power.compute_detectable_difference(expected, 5))
    assert effect.source == f"the same data in {other} (8 d.o.f.)"


def test_a_study_that_declares_the_same_pixels_otherwise_lends_its_spread(tmp_path: Path) -> None:
    own = remove_records(make_results_folder(tmp_path / "results" / "own"))
    make_results_folder(
        tmp_path / "results" / "other", text=STUDY.replace("digits,", "image-folder, channels: 1, classes: 10,")
    )
    assert detect(own, CONTENT)["small"].source != UNKNOWN_SPREAD


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (STUDY.replace("image_size: 32", "image_size: 32, channels: 3"), CONTENT),
        (STUDY.replace("image_size: 32", "image_size: 32, limit: 100"), CONTENT),
        (STUDY, "another content"),
    ],
)
def test_a_study_of_other_data_lends_nothing(tmp_path: Path, text: str, content: str) -> None:
    own = remove_records(make_results_folder(tmp_path / "results" / "own"))
    make_results_folder(tmp_path / "results" / "other", text=text)
    assert detect(own, content)["small"].source == UNKNOWN_SPREAD


def test_seconds_of_other_nets_lend_nothing(tmp_path: Path) -> None:
    text = STUDY + "  - {id: slow, text: it takes longer, kind: worse, a: five, b: base, metric: train_seconds}\n"
    own = remove_records(make_results_folder(tmp_path / "results" / "own", text=text))
    make_results_folder(tmp_path / "results" / "other", text=text)
    assert detect(own)["slow"].source == UNKNOWN_SPREAD
    assert detect(own)["small"].source != UNKNOWN_SPREAD


def test_two_looks_see_less_than_one(tmp_path: Path) -> None:
    own = make_results_folder(tmp_path / "results" / "own", text=STUDY.replace("seeds: 5", "seeds: {looks: [3, 5]}"))
    effect = detect(own)["small"]
    assert effect.sd is not None
    assert effect.detectable == pytest.approx(
        power.compute_detectable_difference(effect.sd, 5, compute_levels((3, 5))[-1])
    )

"""The picture of the comparisons over the training length, against the withdrawn records and made-up results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.paper.test_scoreboard import set_accuracies, write_study_results
from vgg_ablate.paper.catalogue import CATALOGUE
from vgg_ablate.paper.standing import build_report_reader
from vgg_ablate.paper.training_length import COMPARISONS, collect_length_panels, read_withdrawn_errors
from vgg_ablate.report.figures.level_effects import EffectPanel

RESULTS = Path(__file__).parents[2] / "results"
# The means of results/withdrawn/<study>/report.md with one more digit: (study, preset, images seen) -> error in %.
REPORTED = {
    ("depth", "E", 45_000): 66.83,
    ("longer", "shallow", 180_000): 33.19,
    ("all-images", "A", 450_000): 24.32,
    ("all-images-longer", "D", 900_000): 20.44,
}


@pytest.mark.parametrize(("study", "preset", "images"), REPORTED)
def test_the_errors_of_withdrawn_runs_are_those_of_their_records(study: str, preset: str, images: int) -> None:
    errors = read_withdrawn_errors(RESULTS / "withdrawn")[preset, images]
    assert 100 * np.mean(list(errors.values())) == pytest.approx(REPORTED[study, preset, images], abs=0.006)
    recorded = {json.loads(path.read_text())["run"]["seed"] for path in (RESULTS / "withdrawn" / study).rglob("*.json")}
    assert set(errors) == recorded


def read_panels(results: Path) -> list[EffectPanel]:
    return collect_length_panels(build_report_reader(results), results / "withdrawn")


def test_the_printed_differences_are_those_of_the_catalogue() -> None:
    printed = {
        (reference.study, reference.claim): reference.printed
        for statement in CATALOGUE
        for reference in statement.claims
        if reference.printed is not None
    }
    percent = {(comparison.a, comparison.b): comparison.printed_percent for comparison in COMPARISONS}
    for claim, pair in {"c-beats-b": ("C", "B"), "e-like-d": ("E", "D")}.items():
        errors = printed["depth", claim]
        assert percent[pair] == pytest.approx(100 * errors.difference / errors.b, abs=0.02)


def test_registered_runs_are_points_at_the_images_that_they_have_seen(tmp_path: Path) -> None:
    write_study_results(tmp_path, "depth", set_accuracies({"base": 0.1, "D": 0.12}))
    panels = {panel.title: panel for panel in read_panels(tmp_path)}
    points = panels["D against B: E02"].points
    assert [point.level for point in points] == [900, 1800]  # 45,000 images in 20 and 40 epochs
    # B has an error of 30 %, D of 28 %.
    assert [point.mean for point in points] == pytest.approx([-100 * 2 / 30] * 2, abs=0.6)
    assert not any(point.withdrawn for point in points)


def test_a_shorter_training_is_shown_before_the_longest_has_run(tmp_path: Path) -> None:
    folder = write_study_results(tmp_path, "depth", set_accuracies({}))
    for path in (folder / "records").glob("*.json"):
        if json.loads(path.read_text(encoding="utf-8"))["run"]["train"]["epochs"] == 40:
            path.unlink()
    assert {point.level for panel in read_panels(tmp_path) for point in panel.points} == {900}


def test_without_runs_there_is_no_picture(tmp_path: Path) -> None:
    assert read_panels(tmp_path) == []

"""The tuning of a study in its report."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runs.harness import run_in_process
from tests.runs.test_tuning import tuned
from vgg_ablate.analysis import summary
from vgg_ablate.analysis.tuning import collect_trials, compute_expected_best
from vgg_ablate.config.study import load
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import RecordStore
from vgg_ablate.report import markdown, write


@given(st.lists(st.floats(0, 100), min_size=1, max_size=5))
def test_the_expected_best_is_the_mean_over_all_draws(errors: list[float]) -> None:
    expected = compute_expected_best(errors)
    for budget in range(1, len(errors) + 1):
        assert expected[budget - 1] == pytest.approx(fmean(min(draw) for draw in product(errors, repeat=budget)))


def test_the_report_shows_budget_and_winner_of_every_variant(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path, seeds=3), tmp_path / "out"
    run_in_process(plan, folder)
    report = write.write_report(folder)
    assert report.problems == ()
    text = (folder / "report.md").read_text()
    assert "Every variant: 6 x 2 epochs, then 2 x 6 epochs" in text
    for name, winner in load(folder / "study.yaml").tuned.items():
        assert f"| {name} | 6 | trial {winner.trial} |" in text
    assert (folder / "figures" / "tuning.svg").exists()
    assert write.check_report(folder) == []


def test_trials_are_read_from_their_records(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path, variants=0, seeds=3), tmp_path / "out"
    run_in_process(plan, folder)
    (trials,) = collect_trials(summary.load_report(folder))
    assert {epochs: len(errors) for epochs, errors in trials.errors.items()} == {2: 6, 6: 2}
    store = RecordStore(folder / "records")
    for run in Manifest.read(folder).tuning:
        if run.key in store:
            accuracy = store.get(run.key).epochs[-1].val_accuracy
            assert trials.errors[run.epochs][run.trial] == pytest.approx(100 * (1 - accuracy))


def test_a_torn_trial_is_named_and_left_out(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path, variants=0, seeds=3), tmp_path / "out"
    run_in_process(plan, folder)
    run = Manifest.read(folder).tuning[0]
    (folder / "records" / f"{run.key}.json").write_text("{")
    report = summary.load_report(folder)
    assert any(run.key in problem for problem in report.problems)
    assert len(collect_trials(report)[0].first_rung) == 5


def test_a_variant_that_could_not_be_tuned_is_named(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path, variants=0, seeds=3), tmp_path / "out"
    run_in_process(plan, folder)
    text = (folder / "study.yaml").read_text()
    head = text[: text.index("tuned:")]
    (folder / "study.yaml").write_text(head + "tuned: {base: {}}\n")
    report = summary.load_report(folder)
    assert any("no trial of the tuning trained above chance" in note for note in markdown.build_notes(report))

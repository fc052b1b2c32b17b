"""Horizons are trained level by level, up to the requested one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests import fake_training
from tests.runs.harness import OPTIONS, build_fake_plan, list_trained_epochs, run_in_process
from vgg_ablate.analysis.summary import load_report
from vgg_ablate.config.study import Study, load
from vgg_ablate.errors import SpecError
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.estimate import cost
from vgg_ablate.runs.rebuild import rebuild_ledger
from vgg_ablate.runs.resources.slots import build_slots
from vgg_ablate.runs.status import read_status

STUDY = """\
version: 1
name: asked
question: does it last?
seeds: 2
horizons: {train.epochs: [1, 2, 3]}
data: {name: digits, limit: 1}
arch: {stages: "8 8 | 8"}
variants:
  long: {arch.stages: "8 8 8 8 | 8"}
"""


def load_text(folder: Path, text: str = STUDY) -> Study:
    (folder / "asked.yaml").write_text(text, encoding="utf-8")
    return load(folder / "asked.yaml")


def test_the_lowest_level_comes_first_and_within_it_seed_by_seed_the_longest(tmp_path: Path) -> None:
    plan = build_fake_plan(load_text(tmp_path))
    assert [cell.title for cell in plan.cells] == [
        "long@1/0", "base@1/0", "long@1/1", "base@1/1",
        "long@2/0", "base@2/0", "long@2/1", "base@2/1",
        "long/0", "base/0", "long/1", "base/1",
    ]  # fmt: skip
    assert [cell.variant for cell in plan.planned[::2]] == ["base", "long", "base@1", "long@1", "base@2", "long@2"]
    assert [cell.horizon for cell in plan.cells[::4]] == [1, 2, 3]


def test_levels_are_trained_up_to_the_requested_one_and_then_the_rest(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(load_text(tmp_path)), tmp_path / "results"
    first = run_in_process(plan, folder, replace(OPTIONS, until=1))
    assert (first.asked, first.trained, first.left_out, first.missing) == (12, 4, 8, 0)
    assert first.is_complete
    first.raise_for_failures()
    assert RecordStore(folder / "records").keys() == {cell.key for cell in plan.cells if cell.horizon == 1}
    assert len(Manifest.read(folder).planned) == 12
    assert read_status(folder).missing == 8
    assert load_report(folder).problems == ()

    again = run_in_process(plan, folder, replace(OPTIONS, until=2.5))
    assert (again.recorded, again.trained, again.left_out) == (4, 4, 4)
    last = run_in_process(plan, folder)
    assert (last.recorded, last.trained, last.left_out, last.is_complete) == (8, 4, 0, True)
    assert len(list_trained_epochs(folder)) == 4 * (1 + 2 + 3)
    (folder / "study.db").unlink()
    assert rebuild_ledger(plan.study, folder, None, fake_training.fingerprint) == 12


def test_a_failure_up_to_the_level_is_still_one(tmp_path: Path) -> None:
    text = STUDY.replace('{arch.stages: "8 8 8 8 | 8"}', "{train.lr: 150}")
    finished = run_in_process(
        build_fake_plan(load_text(tmp_path, text)), tmp_path / "results", replace(OPTIONS, until=1)
    )
    assert (finished.outcomes, finished.is_complete) == ({"finished": 2, "diverged": 2}, False)


def test_every_level_has_an_estimated_cost(tmp_path: Path) -> None:
    plan = build_fake_plan(load_text(tmp_path))
    bill = cost.estimate_study_cost(plan, RecordStore(tmp_path / "records"), [], build_slots("cpu", 1))
    assert {price.variant: price.missing for price in bill.variants} == dict.fromkeys(
        ("base", "long", "base@1", "long@1", "base@2", "long@2"), 2
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (STUDY, "command line: --until: the levels of train.epochs are 1, 2, 3, got 0.5"),
        (
            STUDY.replace("horizons: {train.epochs: [1, 2, 3]}\n", ""),
            "command line: --until: the study has no horizons",
        ),
    ],
)
def test_a_level_that_trains_nothing_is_refused_before_anything_is_written(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SpecError) as error_info:
        run_in_process(build_fake_plan(load_text(tmp_path, text)), tmp_path / "results", replace(OPTIONS, until=0.5))
    assert str(error_info.value).startswith(message)
    assert not (tmp_path / "results").exists()

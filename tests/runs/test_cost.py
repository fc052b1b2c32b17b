"""Predicted cost of a study: the time model, the wall time on several slots, and runs that do not end in time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runs.harness import build_fake_plan, make_study, run_in_process
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.estimate import cost, probe
from vgg_ablate.runs.estimate.cost import TimeModel
from vgg_ablate.runs.resources.slots import Slot, build_slots


def test_nothing_is_known_before_anything_has_run(tmp_path: Path) -> None:
    study_cost = cost.estimate_study_cost(
        build_fake_plan(make_study(tmp_path)), RecordStore(tmp_path / "records"), [], build_slots("cpu", 2)
    )
    assert (study_cost.seconds, study_cost.pace) == (None, None)
    assert [variant.missing for variant in study_cost.variants] == [3, 3, 3]


def test_recorded_runs_predict_the_missing_ones(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path, seeds=1)), folder)
    longer = build_fake_plan(make_study(tmp_path, seeds=3))
    records = cost.read_machine_records([folder / "records"], "cpu")
    study_cost = cost.estimate_study_cost(longer, RecordStore(folder / "records"), records, build_slots("cpu", 2))
    assert [variant.missing for variant in study_cost.variants] == [2, 2, 2]
    duration = study_cost.variants[0].seconds or 0.0
    assert duration == pytest.approx(2 * 100 / 1e4 * (1 + 1 / 27))  # 2 epochs of 100 images at 10,000 per second
    assert study_cost.seconds == pytest.approx(cost.predict_wall_time([duration] * 6, 2))
    assert cost.read_machine_records([folder / "records"], "cuda") == []


def test_a_limit_in_hours_drops_the_last_seeds_first(tmp_path: Path) -> None:
    folder, plan = tmp_path / "results", build_fake_plan(make_study(tmp_path, seeds=3))
    run_in_process(build_fake_plan(make_study(tmp_path, seeds=1)), folder)
    records = cost.read_machine_records([folder / "records"], "cpu")
    hours = (
        cost.predict_wall_time(
            [
                cost.estimate_study_cost(plan, RecordStore(folder), records, build_slots("cpu", 1)).variants[0].seconds
                or 0.0
            ]
            * 4,
            1,
        )
        / 3600
    )
    study_cost = cost.estimate_study_cost(plan, RecordStore(folder), records, build_slots("cpu", 1), max_hours=hours)
    assert study_cost.dropped == tuple(cell.title for cell in plan.cells[4:])


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=30), st.integers(1, 8))
def test_the_end_lies_between_the_work_over_the_slots_and_all_of_it(seconds: list[float], places: int) -> None:
    end = cost.predict_wall_time(seconds, places) - cost.predict_wall_time([1e-9], 1)
    assert max(sum(seconds) / places, max(seconds)) <= end + 1e-6
    assert end <= sum(seconds) / places + max(seconds) + 1e-6


def test_an_example_takes_a_constant_time_and_one_per_mac() -> None:
    assert TimeModel(1e-4, 1e-9, 3).predict_seconds(10**6) == pytest.approx(1.1e-3)


def test_the_time_model_uses_cpu_time_where_one_thread_trained(tmp_path: Path) -> None:
    """Runs that waited for the processor nine tenths of their time are predicted as on a quiet machine."""
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path, seeds=1)), folder)
    quiet = cost.read_machine_records([folder / "records"], "cpu")
    waited = [
        record.model_copy(
            update={
                "images_per_second": record.images_per_second / 10,
                "epochs": tuple(
                    epoch.model_copy(
                        update={
                            "seconds": 10 * epoch.seconds,
                            "images_per_second": epoch.images_per_second / 10,
                            "cpu_seconds": epoch.seconds,
                        }
                    )
                    for epoch in record.epochs
                ),
            }
        )
        for record in quiet
    ]
    one_thread = {"device": "cpu", "threads": 1}
    alone = [record.model_copy(update={"environment": one_thread}) for record in waited]
    several = [record.model_copy(update={"environment": {"device": "cpu", "threads": 2}}) for record in waited]
    fitted, expected = cost.fit_time_model(alone), cost.fit_time_model(quiet)
    assert fitted is not None
    assert expected is not None
    assert fitted.predict_seconds(10**6) == pytest.approx(expected.predict_seconds(10**6))
    by_wall = cost.fit_time_model(several)
    assert by_wall is not None
    assert by_wall.predict_seconds(10**6) == pytest.approx(10 * expected.predict_seconds(10**6))


def test_the_probe_is_made_once(tmp_path: Path) -> None:
    plan, slot = (
        build_fake_plan(make_study(tmp_path, more="  deep: {arch.stages: '8 8 8 8 | 8'}\n")),
        Slot("cpu-0", "cpu"),
    )
    probe.probe_machine(plan, tmp_path / "probes", slot, "tests.fake_training")
    store = RecordStore(tmp_path / "probes" / "records")
    assert len({record.run for record in store}) == 2  # the two nets of the study
    log = (tmp_path / "probes" / "trained.log").read_text()
    probe.probe_machine(plan, tmp_path / "probes", slot, "tests.fake_training")
    assert (tmp_path / "probes" / "trained.log").read_text() == log

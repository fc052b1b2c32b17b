"""`tune:`: the same number of trials for every variant, whichever process is killed, and whenever."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runs.chaos import Storm, scale_storm
from tests.runs.harness import (
    OPTIONS,
    build_fake_plan,
    find_retrained_epochs,
    list_trained_epochs,
    make_study,
    read_event_log,
    read_record_contents,
    run_in_process,
    run_undisturbed,
)
from vgg_ablate.config.search_space import NumberRange
from vgg_ablate.config.study import Study, load
from vgg_ablate.config.tuning import Tune
from vgg_ablate.errors import RunsFailedError, SpecError
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.ledger.storage import build_default_url
from vgg_ablate.runs.plan import Plan
from vgg_ablate.runs.progress.views import ProgressState
from vgg_ablate.runs.search.sampler import sample_points
from vgg_ablate.runs.search.tuning import TuningSource, list_runs, plan_tuning

TUNE = """\
tune:
  space: {{train.weight_decay: {{low: 1.0e-5, high: 1.0e-2, log: true}}}}
  trials: {trials}
  epochs: {epochs}
  pruner: {pruner}
"""


def tuned(
    folder: Path, *, trials: int = 6, epochs: str = "[2, 6]", pruner: str = "successive_halving", **more: int
) -> Plan:
    """Return the plan of a study with tuning; `more` are arguments of `make_study`."""
    untuned = make_study(folder, name="tuned", **more)  # type: ignore[arg-type]
    file = folder / "tuned.yaml"
    file.write_text(file.read_text() + TUNE.format(trials=trials, epochs=epochs, pruner=pruner))
    assert len(load(file).variants) == len(untuned.variants)
    return build_fake_plan(load(file))


def read_winners(folder: Path) -> dict[str, tuple[int | None, dict[str, object]]]:
    """Return number and values of every variant's winner, from the study.yaml of the results folder."""
    return {name: (winner.trial, winner.values) for name, winner in load(folder / "study.yaml").tuned.items()}


def test_every_variant_gets_the_same_trials_and_its_runs_use_the_winner(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path, variants=2, seeds=2), tmp_path / "out"
    assert run_in_process(plan, folder).is_complete

    manifest, store = Manifest.read(folder), RecordStore(folder / "records")
    for name in ("base", "v0", "v1"):
        runs = [run for run in manifest.tuning if run.variant == name]
        assert len({run.trial for run in runs}) == 6
        recorded = [run for run in runs if run.key in store]
        assert sorted(run.epochs for run in recorded) == [2] * 6 + [6] * 2, "6 trials, of which 6 x 2 / 6 go on"
        short = {run.trial: store.get(run.key).epochs[-1].val_accuracy for run in recorded if run.epochs == 2}
        long = {run.trial: store.get(run.key).epochs[-1].val_accuracy for run in recorded if run.epochs == 6}
        assert set(long) == set(sorted(short, key=lambda trial: (-short[trial], trial))[:2])
        trial, values = read_winners(folder)[name]
        assert trial == max(long, key=lambda number: (long[number], -number))
        for cell in manifest.planned:
            if cell.variant == name:
                assert store.get(cell.key).run.train.weight_decay == values["train.weight_decay"]
    assert all(store.get(run.key).tested is None for run in manifest.tuning if run.key in store)
    assert {run.seed for run in manifest.tuning} == {1_000_000}


def test_running_again_trains_nothing_and_keeps_the_winners(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path), tmp_path / "out"
    run_in_process(plan, folder)
    before, winners_before = list_trained_epochs(folder), read_winners(folder)
    repeated = run_in_process(build_fake_plan(load(tmp_path / "tuned.yaml")), folder)
    assert repeated.trained == 0
    assert list_trained_epochs(folder) == before
    assert read_winners(folder) == winners_before
    assert run_in_process(build_fake_plan(load(folder / "study.yaml")), folder).trained == 0, (
        "the saved study has its winners"
    )


def test_a_lost_study_file_is_tuned_again_from_the_records(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path), tmp_path / "out"
    run_in_process(plan, folder)
    before, winners_before = list_trained_epochs(folder), read_winners(folder)
    (folder / "study.yaml").unlink()
    (folder / "manifest.json").unlink()
    assert run_in_process(plan, folder).is_complete
    assert read_winners(folder) == winners_before
    assert list_trained_epochs(folder) == before


def test_a_winner_stays_where_its_records_are_lost(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path), tmp_path / "out"
    run_in_process(plan, folder)
    winners_before, before = read_winners(folder), list_trained_epochs(folder)
    for run in Manifest.read(folder).tuning:
        RecordStore(folder / "records").get_path(run.key).unlink(missing_ok=True)
    assert run_in_process(plan, folder).is_complete
    assert read_winners(folder) == winners_before
    assert list_trained_epochs(folder) == before


def test_a_changed_space_is_tuned_again(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path), tmp_path / "out"
    run_in_process(plan, folder)
    count = len(list_trained_epochs(folder))
    text = (tmp_path / "tuned.yaml").read_text().replace("1.0e-5", "1.0e-4")
    (tmp_path / "tuned.yaml").write_text(text)
    assert run_in_process(build_fake_plan(load(tmp_path / "tuned.yaml")), folder).is_complete
    assert len(list_trained_epochs(folder)) > count


def test_more_seeds_are_trained_with_the_same_winners(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path, seeds=2), tmp_path / "out"
    run_in_process(plan, folder)
    winners_before = read_winners(folder)
    text = (tmp_path / "tuned.yaml").read_text().replace("seeds: 2", "seeds: 3")
    (tmp_path / "tuned.yaml").write_text(text)
    more = run_in_process(build_fake_plan(load(tmp_path / "tuned.yaml")), folder)
    assert more.trained == 3
    assert read_winners(folder) == winners_before


def test_the_recipe_stays_where_no_trial_trains_above_chance(tmp_path: Path) -> None:
    file = tmp_path / "tuned.yaml"
    make_study(tmp_path, name="tuned", variants=0, seeds=2)
    space = "{train.lr: {low: 150, high: 180}}"  # the fake training diverges there
    file.write_text(file.read_text() + f"tune: {{space: {space}, trials: 3, epochs: 2, pruner: none}}\n")
    folder = tmp_path / "out"
    assert run_in_process(build_fake_plan(load(file)), folder).is_complete
    assert read_winners(folder) == {"base": (None, {})}
    assert load(folder / "study.yaml").base.train.lr == load(file).base.train.lr


def test_a_failed_trial_is_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "tuned.yaml"
    make_study(tmp_path, name="tuned", variants=0, seeds=2)
    space = "{train.lr: {low: 310, high: 380}}"
    file.write_text(file.read_text() + f"tune: {{space: {space}, trials: 2, epochs: 2, pruner: none}}\n")
    with pytest.raises(RunsFailedError, match=r"the tuning is not complete; 2 failed.*--retry failed"):
        run_in_process(build_fake_plan(load(file)), tmp_path / "out")


def test_the_ledger_shows_the_trials_of_every_variant(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path), tmp_path / "out"
    run_in_process(plan, folder)
    names = {study.study_name for study in optuna.get_all_study_summaries(build_default_url(folder))}
    assert names == {"tuned", *(f"tuned: tuning of {name}" for name in ("base", "v0", "v1"))}
    ledger = optuna.load_study(study_name="tuned: tuning of v0", storage=build_default_url(folder))
    states = [trial.state.name for trial in ledger.trials]
    assert (len(states), states.count("PRUNED")) == (6, 4)


def test_the_events_name_the_tuning_and_the_order_is_by_rung(tmp_path: Path) -> None:
    plan, folder = tuned(tmp_path, variants=0), tmp_path / "out"
    run_in_process(plan, folder)
    started = [line["variant"] for line in read_event_log(folder, "started")]
    assert started[:6] == [f"tune-base-{number}@2" for number in range(6)]
    assert all(name.endswith("@6") for name in started[6:8])
    assert started[8:] == ["base"] * 3


def test_the_plain_view_counts_the_trials_and_estimates_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tuned(tmp_path)
    run_in_process(plan, tmp_path / "out", replace(OPTIONS, progress="plain"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "tuned, tuning: 0 of 24 runs recorded, 1 at a time"
    assert "tune-base-" in lines[8]
    assert any(line.startswith("[24 of 24 runs recorded] tune-v1-") for line in lines)


@pytest.mark.timeout(600)
def test_killed_workers_and_drivers_change_no_winner(tmp_path: Path) -> None:
    plan = tuned(tmp_path, trials=8, epochs="[2, 4]", variants=4, seeds=scale_storm(3), milliseconds=40)
    folder = tmp_path / "storm"
    storm = Storm(plan, folder, replace(OPTIONS, workers=3))
    storm.blow(workers=scale_storm(4), drivers=scale_storm(2), pause=(0.05, 0.2))
    calm = run_undisturbed(plan, tmp_path / "calm")
    assert read_winners(folder) == read_winners(calm)
    assert read_record_contents(folder) == read_record_contents(calm)
    assert find_retrained_epochs(folder) == []


@given(trials=st.integers(1, 40))
def test_trials_fall_as_epochs_rise_and_one_is_left(trials: int) -> None:
    tune = Tune.model_validate({"space": {"train.lr": [0.1, 0.2]}, "trials": trials, "epochs": [1, 3, 9]})
    counts = [count for _, count in tune.rungs]
    assert counts[0] == trials
    assert counts == sorted(counts, reverse=True)
    assert all(3 * later >= before > 3 * (later - 1) for before, later in pairwise(counts))
    assert counts[-1] >= 1


def test_a_source_hands_out_no_run_twice_and_waits_for_its_rung(tmp_path: Path) -> None:
    plan = tuned(tmp_path, variants=0)
    store, state = RecordStore(tmp_path / "records"), ProgressState("tuned", None)
    source = TuningSource(plan_tuning(plan.study, plan.fingerprint), store, state)
    keys = []
    while (cell := source.take_next_run()) is not None:
        keys.append(cell.key)
    assert len(keys) == len(set(keys)) == 6, "the second rung waits for the first"


def test_points_lie_in_the_space_and_are_the_same_at_every_call() -> None:
    space: dict[str, NumberRange | list[object]] = {
        "train.lr": NumberRange(low=0.01, high=0.4, log=True),
        "arch.head.dropout": NumberRange(low=0.0, high=0.5),
        "train.batch_size": [32, 64],
    }
    for sampler in ("qmc", "random"):
        points = sample_points(space, 16, sampler)
        assert points == sample_points(space, 16, sampler)
        assert points[:5] == sample_points(space, 5, sampler)
        assert all(0.01 <= point["train.lr"] <= 0.4 and point["train.batch_size"] in (32, 64) for point in points)
        assert len({str(point) for point in points}) == 16


def test_evaluations_of_one_net_share_their_trials(tmp_path: Path) -> None:
    make_study(tmp_path, name="tuned", variants=0)
    file = tmp_path / "tuned.yaml"
    file.write_text(
        file.read_text()
        + "variants: {flipped: {data.evaluate.flip: true}}\n"
        + TUNE.format(trials=4, epochs="2", pruner="none")
    )
    plan, folder = build_fake_plan(load(file)), tmp_path / "out"
    runs = list_runs(plan_tuning(plan.study, plan.fingerprint))
    assert len(runs) == 8
    assert len({run.key for run in runs}) == 4
    run_in_process(plan, folder)
    assert len([line for line in read_event_log(folder, "started") if line["variant"].startswith("tune-")]) == 4


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ("tune: {space: {train.epochs: [1, 2]}, epochs: 1}", "cannot be tuned"),
        ("tune: {space: {name: [a, b]}, epochs: 1}", "only paths below arch, data.augment, train can be tuned"),
        ("tune: {space: {train.lr: [0.1, 0.2]}, epochs: [4, 2]}", "tune.epochs: must be strictly increasing"),
        (
            "tune: {space: {train.lr: [0.1, 0.2]}, epochs: [2, 4], pruner: none}",
            "tune.epochs: must be a single number with pruner: none",
        ),
        (
            "tune: {space: {train.lr: [0.1, 0.2]}, epochs: 2}\nvariants: {a: {train.lr: 0.3}}",
            "tune.space contains train.lr, which this variant sets",
        ),
        (
            "tune: {space: {train.lr: [0.1, 0.2]}, epochs: 2}\nvariants: {a: {arch.width: 2, tune.trials: 3}}",
            "all variants have the same budget",
        ),
        (
            "tune: {space: {train.lr: [0.1, 0.2]}, epochs: [1, 4]}\nvariants: {a: {train.warmup_epochs: 2}}",
            "variants.a: train.warmup_epochs: must not be more than the shortest of tune.epochs, 1, got 2",
        ),
        ("tuned: {nobody: {trial: 1}}", "unknown variant"),
    ],
)
def test_an_invalid_tuning_is_one_line(tmp_path: Path, more: str, rule: str) -> None:
    make_study(tmp_path, name="tuned", variants=0)
    file = tmp_path / "tuned.yaml"
    file.write_text(file.read_text() + more + "\n")
    with pytest.raises(SpecError, match=rule) as caught:
        load(file)
    assert all(problem.location.startswith(str(file)) for problem in caught.value.problems)


def test_a_study_with_winners_is_the_study_without_them(tmp_path: Path) -> None:
    plan = tuned(tmp_path)
    untuned: Study = plan.study
    winner = {"base": {"trial": 1, "values": {"train.weight_decay": 0.5}}}
    file = tmp_path / "saved.yaml"
    file.write_text((tmp_path / "tuned.yaml").read_text() + f"tuned: {winner}\n")
    saved = load(file)
    assert saved.base.train.weight_decay == 0.5
    assert saved.base.changes == {}
    assert saved.variants[1].train.weight_decay == untuned.variants[1].train.weight_decay, "each has its own winner"
    assert saved.without_winners() == untuned

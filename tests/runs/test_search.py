"""A search: proposals within constraints and a budget, judged on seeds of their own; winners on other seeds."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.runs.chaos import Storm
from tests.runs.harness import OPTIONS, build_fake_plan, list_trained_epochs, read_record_contents, run_in_process
from vgg_ablate.config.search import FIRST_SEARCH_SEED
from vgg_ablate.config.study import load
from vgg_ablate.errors import SpecError
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import Outcome, RecordStore
from vgg_ablate.report import write
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.ledger.ledger import open_study_ledger
from vgg_ablate.runs.plan import Plan
from vgg_ablate.runs.search import controller

TEXT = """\
version: 1
name: searched
question: what is best?
seeds: 2
data: {name: digits, limit: 1}
arch: {stages: "8 8 | 8"}
train: {epochs: 3}
design:
  kind: search
  space: {arch.width: {low: 0.25, high: 4.0, log: true}, arch.norm: [none, batch], train.lr: {low: 0.01, high: 0.1}}
  budget: {variants: 8}
"""


def searched(folder: Path, more: str = "", text: str = TEXT) -> Plan:
    """Return the plan of a study with a search; `more` is YAML at the end of `design`."""
    file = folder / "searched.yaml"
    file.write_text(text + more)
    return build_fake_plan(load(file))


def read_trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    with closing(open_study_ledger(load(folder / "study.yaml"), folder)) as ledger:
        return ledger.study.get_trials()


def list_seeds(folder: Path) -> dict[str, list[int]]:
    """Return the seeds of each variant in the manifest."""
    seeds: dict[str, list[int]] = {}
    for cell in Manifest.read(folder).planned:
        seeds.setdefault(cell.variant, []).append(cell.seed)
    return seeds


def test_the_budget_is_a_total_and_the_winners_are_trained_on_other_seeds(tmp_path: Path) -> None:
    plan, folder = searched(tmp_path, "  seeds: 2\n  best: 2\n"), tmp_path / "results"
    summary = run_in_process(plan, folder)
    assert (summary.asked, summary.trained, summary.is_complete) == (2 + 8 * 2 + 2 * 2, 22, True)
    seeds = list_seeds(folder)
    assert seeds.pop("base") == seeds.pop("winner-1") == seeds.pop("winner-2") == [0, 1]
    assert len(seeds) == 8
    assert set(map(tuple, seeds.values())) == {(FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + 1)}

    trained = list_trained_epochs(folder)
    manifest = (folder / "manifest.json").read_bytes()
    repeated = run_in_process(plan, folder)
    assert (repeated.asked, repeated.trained, repeated.is_complete) == (22, 0, True)
    assert list_trained_epochs(folder) == trained
    assert (folder / "manifest.json").read_bytes() == manifest

    wider = searched(tmp_path, "  seeds: 2\n  best: 2\n", TEXT.replace("variants: 8", "variants: 10"))
    assert len([name for name in run_and_list_seeds(wider, folder) if name.startswith("s0")]) == 10


def run_and_list_seeds(plan: Plan, folder: Path) -> dict[str, list[int]]:
    run_in_process(plan, folder)
    return list_seeds(folder)


def test_the_winner_is_the_best_mean_over_the_search_seeds(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(searched(tmp_path, "  seeds: 2\n"), folder)
    results = {trial.user_attrs["variant"]: trial.value or 0.0 for trial in read_trials(folder)}
    records = {record.key: record for record in RecordStore(folder / "records")}
    cells = Manifest.read(folder).planned
    for name, value in results.items():
        errors = [1 - records[cell.key].tested.val_accuracy for cell in cells if cell.variant == name]  # type: ignore[union-attr]
        assert value == pytest.approx(sum(errors) / 2)
    best = min(results, key=lambda name: results[name])
    arch = {cell.variant: records[cell.key].run.arch for cell in cells}
    assert arch["winner-1"] == arch[best]


def test_proposals_train_for_epochs_of_their_own_and_winners_for_the_studys(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    plan = searched(tmp_path, "  epochs: 2\n  pruner: hyperband\n")
    run_in_process(plan, folder)
    records = {record.key: record for record in RecordStore(folder / "records")}
    epochs: dict[str, set[int]] = {}
    for cell in Manifest.read(folder).planned:
        epochs.setdefault(cell.variant, set()).add(records[cell.key].run.train.epochs)
    assert epochs.pop("base") == epochs.pop("winner-1") == {3}
    assert set(map(tuple, epochs.values())) == {(2,)}
    assert {trial.last_step for trial in read_trials(folder) if trial.state.name == "COMPLETE"} == {2}


@pytest.mark.parametrize("sampler", ["nsga2", "random", "{kind: gp, startup_trials: 3}"])
def test_other_samplers_search_to_the_end(tmp_path: Path, sampler: str) -> None:
    plan = searched(tmp_path, f"  sampler: {sampler}\n", TEXT.replace("variants: 8", "variants: 5"))
    assert run_in_process(plan, tmp_path / "results", replace(OPTIONS, storage="memory")).is_complete


@pytest.mark.parametrize("sampler", ["qmc", "{kind: tpe, startup_trials: 2}"])
def test_every_sampler_proposes_the_same_after_a_restart(tmp_path: Path, sampler: str) -> None:
    plan = searched(tmp_path, f"  sampler: {sampler}\n")
    run_in_process(plan, tmp_path / "whole")
    shorter = searched(tmp_path, f"  sampler: {sampler}\n", TEXT.replace("variants: 8", "variants: 4"))
    run_in_process(shorter, tmp_path / "halved")
    run_in_process(plan, tmp_path / "halved")
    points = [[trial.params for trial in read_trials(tmp_path / name)] for name in ("whole", "halved")]
    assert points[0] == points[1]
    assert len(points[0]) == 8


def test_every_point_of_a_grid_is_trained_once(tmp_path: Path) -> None:
    space = "space: {arch.norm: [none, batch], train.lr: {low: 0.02, high: 0.06, step: 0.02}}"
    text = TEXT.replace(TEXT.split("\n")[9].strip(), space)
    folder = tmp_path / "results"
    summary = run_in_process(searched(tmp_path, "  sampler: grid\n", text), folder)
    points = [tuple(trial.params.values()) for trial in read_trials(folder)]
    assert len(points) == len(set(points)) == 6
    assert summary.is_complete


def test_proposals_outside_the_constraints_are_never_trained(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(searched(tmp_path, "  constraints: [params <= 2000]\n"), folder)
    proposed = [record for record in RecordStore(folder / "records") if record.run.seed >= FIRST_SEARCH_SEED]
    assert len(proposed) == 8
    assert max(record.costs["params"] for record in proposed) <= 2000
    refused = [trial for trial in read_trials(folder) if trial.constraints["params"] > 0]
    assert refused
    assert {trial.state for trial in refused} == {optuna.trial.TrialState.PRUNED}


@pytest.mark.parametrize("bounds", ["params <= 2000, params >= 1000", "params >= 1000, params <= 2000"])
def test_two_constraints_on_one_cost_both_hold(tmp_path: Path, bounds: str) -> None:
    folder = tmp_path / "results"
    run_in_process(searched(tmp_path, f"  constraints: [{bounds}]\n"), folder)
    proposed = [record for record in RecordStore(folder / "records") if record.run.seed >= FIRST_SEARCH_SEED]
    assert proposed
    assert all(1000 <= record.costs["params"] <= 2000 for record in proposed)


def test_constraints_that_nothing_meets_are_an_error(tmp_path: Path) -> None:
    plan = searched(tmp_path, "  constraints: [params <= 2]\n  sampler: random\n")
    with pytest.raises(SpecError, match="none of 200 proposals can be trained: 200 are refused by params <= 2;"):
        run_in_process(plan, tmp_path / "results", replace(OPTIONS, storage="memory"))


def test_a_search_ends_where_its_space_is_smaller_than_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "_MAX_FRUITLESS", 40)
    text = TEXT.replace(TEXT.split("\n")[9].strip(), "space: {arch.norm: [none, batch]}")
    folder = tmp_path / "results"
    assert run_in_process(searched(tmp_path, "  sampler: random\n", text), folder).is_complete
    count = len(read_trials(folder))
    assert run_in_process(searched(tmp_path, "  sampler: random\n", text), folder).trained == 0
    assert len(read_trials(folder)) == count


def test_with_several_objectives_the_winners_are_the_pareto_front(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(searched(tmp_path, "  objectives: [val_error, macs]\n  best: 8\n"), folder)
    results = {trial.user_attrs["variant"]: trial.values for trial in read_trials(folder)}
    front = [
        name
        for name, (error, macs) in results.items()
        if not any(e <= error and m <= macs and (e, m) != (error, macs) for e, m in results.values())
    ]
    assert len([name for name in list_seeds(folder) if name.startswith("winner")]) == len(front)


def test_losing_proposals_are_stopped_and_train_fewer_seeds(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    text = TEXT.replace("variants: 8", "variants: 20").replace("limit: 1", "limit: 20")
    summary = run_plan(
        searched(tmp_path, "  seeds: 3\n  pruner: {kind: median, startup_trials: 3}\n", text), folder, OPTIONS
    )
    states = Counter(trial.state.name for trial in read_trials(folder))
    assert states["PRUNED"] >= 3
    assert states["PRUNED"] + states["COMPLETE"] == 20
    assert summary.is_complete
    assert summary.asked < 2 + 20 * 3 + 2, "stopped proposals are asked for fewer seeds"
    seeds = list_seeds(folder)
    stopped = [trial.user_attrs["variant"] for trial in read_trials(folder) if trial.state.name == "PRUNED"]
    assert min(len(seeds[name]) for name in stopped) < 3


@pytest.mark.parametrize("pruner", ["successive_halving", "hyperband"])
def test_other_pruners_stop_losing_proposals_too(tmp_path: Path, pruner: str) -> None:
    text = TEXT.replace("variants: 8", "variants: 12").replace(
        "limit: 1", "limit: 60"
    )  # slow enough that a stop reaches the worker
    text = text.replace("epochs: 3", "epochs: 6")
    folder = tmp_path / "results"
    assert run_plan(searched(tmp_path, f"  pruner: {pruner}\n", text), folder, OPTIONS).is_complete
    assert Counter(trial.state.name for trial in read_trials(folder))["PRUNED"] > 0
    assert any(record.outcome is Outcome.PRUNED for record in RecordStore(folder / "records"))


def test_a_diverged_proposal_gets_the_worst_value_and_a_failed_one_stays_open(tmp_path: Path) -> None:
    text = TEXT.replace(TEXT.split("\n")[9].strip(), "space: {train.lr: [0.1, 150, 350]}")
    folder = tmp_path / "results"
    summary = run_in_process(searched(tmp_path, "  sampler: grid\n", text), folder)
    results: dict[Any, Any] = {trial.params["train.lr"]: trial for trial in read_trials(folder)}
    assert results[150].value == 1.0
    assert results[350].state is optuna.trial.TrialState.RUNNING
    assert summary.failures == {"failed": 1}
    assert "winner-1" not in list_seeds(folder)


def test_a_lost_ledger_of_a_search_is_rebuilt_and_nothing_is_trained(tmp_path: Path) -> None:
    plan, folder = searched(tmp_path, "  seeds: 2\n"), tmp_path / "results"
    run_in_process(plan, folder)
    before = [(trial.params, trial.values, trial.state) for trial in read_trials(folder)]
    for path in folder.glob("study.db*"):
        path.unlink()
    assert run_in_process(plan, folder).trained == 0
    assert [(trial.params, trial.values, trial.state) for trial in read_trials(folder)] == before


@pytest.mark.timeout(240)
def test_a_storm_over_a_search_trains_each_proposal_once(tmp_path: Path) -> None:
    text = TEXT.replace("variants: 8", "variants: 12").replace("limit: 1", "limit: 25")
    plan, folder = searched(tmp_path, "  seeds: 2\n", text), tmp_path / "results"
    Storm(plan, folder, replace(OPTIONS, workers=3)).blow(workers=6, drivers=3, pause=(0.05, 0.2))
    assert {trial.state.name for trial in read_trials(folder)} == {"COMPLETE"}
    assert len(read_trials(folder)) == 12
    assert len(RecordStore(folder / "records").keys()) == 2 + 12 * 2 + 2


@pytest.mark.parametrize("lost", [1, 5, 20])
@pytest.mark.parametrize("pruner", ["none", "median"])
def test_proposals_whose_records_are_lost_are_trained_again(tmp_path: Path, lost: int, pruner: str) -> None:
    text = TEXT.replace("variants: 8", "variants: 20")
    plan, folder = searched(tmp_path, f"  pruner: {pruner}\n", text), tmp_path / "results"
    run_in_process(plan, folder)
    before, points = read_record_contents(folder), [trial.params for trial in read_trials(folder)]
    proposed = [cell.key for cell in Manifest.read(folder).planned if cell.variant.startswith("s0")]
    for key in random.Random(0).sample(proposed, lost):
        RecordStore(folder / "records").get_path(key).unlink()

    repeated = run_in_process(plan, folder)
    assert (repeated.trained, repeated.is_complete) == (lost, True)
    assert read_record_contents(folder) == before, "a pruned run stops at the epoch at which it was stopped"
    assert [trial.params for trial in read_trials(folder)] == points
    write.write_report(folder)
    assert write.check_report(folder) == []
    assert len(list_seeds(folder)) == 1 + 20 + 1

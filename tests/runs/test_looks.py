"""Studies with `stop: decided`: only needed runs are trained, and nothing but the records decides which those are."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import vgg_ablate
from tests.runs.chaos import DriverProcess, Storm
from tests.runs.deciding import STUDY, trace, write_plan
from tests.runs.harness import (
    OPTIONS,
    InProcessPool,
    build_fake_plan,
    find_retrained_epochs,
    list_trained_epochs,
    read_record_contents,
    run_in_process,
)
from vgg_ablate.analysis.decisions import LEAST_POWER, read_decisions
from vgg_ablate.analysis.summary import load_report
from vgg_ablate.config.study import load
from vgg_ablate.errors import SpecError
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import RecordStore
from vgg_ablate.report.write import check_report, write_report
from vgg_ablate.runs.driver import RunSummary, run_plan
from vgg_ablate.runs.plan import Plan
from vgg_ablate.runs.status import compute_status, read_status
from vgg_ablate.runs.workers.protocol import WorkerEvent


def count_runs(plan: Plan, folder: Path) -> dict[str, int]:
    """Return the number of recorded runs per variant."""
    recorded = RecordStore(folder / "records").keys()
    return dict(Counter(cell.variant for cell in plan.cells if cell.key in recorded))


def train(tmp_path: Path, text: str = STUDY, name: str = "results") -> tuple[Plan, Path, RunSummary]:
    plan, folder = write_plan(tmp_path, text), tmp_path / name / "asked"
    return plan, folder, run_in_process(plan, folder)


def test_a_decided_claim_needs_no_more_runs_of_its_variants(tmp_path: Path) -> None:
    plan, folder, summary = train(tmp_path)
    verdicts = {verdict.claim.id: verdict for verdict in load_report(folder).verdicts}
    runs, most = count_runs(plan, folder), {name: verdict.look for name, verdict in verdicts.items()}
    assert (verdicts["clear"].verdict, most["clear"]) == ("supported", 3)
    assert runs["bad"] == most["clear"]
    assert runs["unclaimed"] == 3, "no claim is about it: it stays at the first look"
    assert runs["slow"] == most["faint"] > 3
    assert runs["base"] == max(most.values())
    assert summary.is_complete
    assert (summary.missing, summary.unneeded) == (0, len(plan.cells) - sum(runs.values()))
    summary.raise_for_failures()


def test_manifest_report_and_status_accept_runs_that_were_not_made(tmp_path: Path) -> None:
    plan, folder, summary = train(tmp_path)
    assert Manifest.read(folder).planned == plan.planned
    report = write_report(folder)
    assert (report.problems, report.missing) == ((), 0)
    assert check_report(folder) == []
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert ": missing" not in text
    assert f"topped at look {report.decisions.judged_looks} of 3: " in text or report.decisions.judged_looks == 3
    assert f"{summary.unneeded} of 40 runs were not needed" in text
    assert Counter(vgg_ablate.frame(folder)["outcome"])["not needed"] == summary.unneeded
    assert {row.name: row.planned for row in report.rows} == count_runs(plan, folder)
    status = read_status(folder)
    assert (status.asked, status.missing, status.spared) == (40, 0, summary.unneeded)
    assert status.variants["bad"] == {"finished": 3, "not needed": 5}
    assert {claim.id: claim.is_open for claim in status.claims}["clear"] is False
    again = run_in_process(plan, folder)
    assert (again.trained, again.is_complete) == (0, True)


def test_a_study_stops_when_no_open_claim_is_likely_to_be_decided(tmp_path: Path) -> None:
    text = STUDY.replace("[3, 5, 8]", "[3, 5, 8, 12, 20]").replace("decided}", "decided}\non_error: continue")
    plan, folder, summary = train(tmp_path, text)
    found = read_decisions(plan.study, plan.planned, folder)
    assert found.open_claims == ("chance",)
    assert found.judged_looks < 5
    assert {verdict.claim.id: verdict.power for verdict in found.verdicts}["chance"] < LEAST_POWER
    assert found.stopped.startswith("no open claim has a chance of 10 % of being decided by 20 seeds")
    assert "(chance " in found.stopped
    assert summary.is_complete


class InterruptedPool(InProcessPool):
    """A pool whose driver is interrupted after some jobs."""

    def __init__(self, folder: Path, jobs: int) -> None:
        super().__init__(folder)
        self._left = jobs

    def poll(self, timeout: float) -> list[WorkerEvent]:
        self._left -= len(self._jobs)
        events = super().poll(timeout)
        if self._left <= 0:
            raise KeyboardInterrupt
        return events


@pytest.mark.parametrize("jobs", [1, 7, 15, 16])  # 15 runs are the first look
def test_an_interrupted_study_makes_the_same_decisions(tmp_path: Path, jobs: int) -> None:
    plan, calm, _ = train(tmp_path)
    folder = tmp_path / "interrupted" / "asked"
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, folder, OPTIONS, InterruptedPool(folder, jobs))
    assert len(RecordStore(folder / "records").keys()) == jobs
    assert run_in_process(plan, folder).is_complete
    assert trace(plan, folder) == trace(plan, calm)
    assert read_record_contents(folder) == read_record_contents(calm)
    assert len(list_trained_epochs(folder)) == len(list_trained_epochs(calm))


def test_an_extended_study_makes_the_decisions_of_one_that_was_planned_so(tmp_path: Path) -> None:
    plan, calm, _ = train(tmp_path)
    _, folder, _ = train(tmp_path, STUDY.replace("[3, 5, 8]", "[3, 5]"), "extended")
    assert run_in_process(plan, folder).is_complete
    assert trace(plan, folder) == trace(plan, calm)
    assert read_record_contents(calm).items() <= read_record_contents(folder).items()


def test_further_records_change_no_decision(tmp_path: Path) -> None:
    """A study whose seeds were all trained before it got the rule decides by the seeds of each look alone."""
    plan, calm, _ = train(tmp_path)
    _, folder, _ = train(tmp_path, STUDY.replace(", stop: decided", ""), "all")
    assert len(RecordStore(folder / "records").keys()) == 40
    summary = run_in_process(plan, folder)
    assert (summary.trained, summary.unneeded) == (0, 0)
    assert trace(plan, folder) == trace(plan, calm)


def test_the_order_of_the_runs_changes_no_decision(tmp_path: Path) -> None:
    plan, calm, _ = train(tmp_path)
    text = STUDY.replace("stop: decided", "stop: {rule: decided, order: cheapest}")
    cheapest, folder, _ = train(tmp_path, text, "cheapest")
    assert trace(cheapest, folder) == trace(plan, calm)
    assert read_record_contents(folder) == read_record_contents(calm)


@pytest.mark.timeout(300)
def test_a_storm_of_kills_changes_no_decision(tmp_path: Path) -> None:
    plan, calm, _ = train(tmp_path, STUDY.replace("limit: 1", "limit: 30"))
    folder = tmp_path / "storm" / "asked"
    storm = Storm(plan, folder, replace(OPTIONS, workers=2))
    storm.blow(workers=4, drivers=2, pause=(0.05, 0.15))
    assert trace(plan, folder) == trace(plan, calm)
    assert read_record_contents(folder) == read_record_contents(calm)
    assert find_retrained_epochs(folder) == []


@pytest.mark.timeout(300)
def test_two_drivers_make_the_same_decisions_and_train_nothing_twice(tmp_path: Path) -> None:
    plan, calm, _ = train(tmp_path, STUDY.replace("limit: 1", "limit: 10"))
    folder = tmp_path / "two" / "asked"
    drivers = [DriverProcess(plan, folder, replace(OPTIONS, wait=True)) for _ in range(2)]
    assert [driver.join() for driver in drivers] == [0, 0]
    assert trace(plan, folder) == trace(plan, calm)
    assert read_record_contents(folder) == read_record_contents(calm)
    assert len(list_trained_epochs(folder)) == len(list_trained_epochs(calm))


def test_lower_levels_of_the_horizons_are_trained_on_the_seeds_of_the_last(tmp_path: Path) -> None:
    text = STUDY.replace("train: {epochs: 2}", "horizons: {train.epochs: [1, 2]}")
    plan, folder, summary = train(tmp_path, text)
    runs = count_runs(plan, folder)
    assert runs["bad"] == runs["bad@1"] == 3
    assert all(runs[name] == runs[f"{name}@1"] for name in ("base", "bad", "slow", "same", "unclaimed"))
    assert summary.is_complete
    assert summary.unneeded == len(plan.cells) - sum(runs.values()) > 0
    report = load_report(folder)
    assert (report.problems, report.missing) == ((), 0)
    assert all(level.is_complete for verdict in report.verdicts for level in verdict.horizons.values())
    assert set(report.verdicts[0].horizons) == {"1", "2"}


def test_up_to_a_lower_level_only_the_first_look_is_trained(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, STUDY.replace("train: {epochs: 2}", "horizons: {train.epochs: [1, 2]}"))
    folder = tmp_path / "results" / "asked"
    first = run_in_process(plan, folder, replace(OPTIONS, until=1))
    assert (first.trained, first.left_out, first.missing, first.is_complete) == (15, 40, 0, True)
    assert run_in_process(plan, folder).is_complete


def test_exact_claims_are_decided_at_the_first_look(tmp_path: Path) -> None:
    claims = STUDY.index("claims:")
    claim = "claims:\n  - {id: wide, text: it has more weights, kind: worse, a: wide, b: base, metric: params}\n"
    text = STUDY[:claims].replace("{train.lr: 0.2}", "{train.lr: 0.2}\n  wide: {arch.width: 2}") + claim
    plan, folder, summary = train(tmp_path, text)
    assert summary.trained == 6 * 3
    assert trace(plan, folder).stopped == "every claim is decided"
    assert [verdict.verdict for verdict in load_report(folder).verdicts] == ["supported"]


def test_a_second_replicate_is_a_variant_like_others(tmp_path: Path) -> None:
    text = STUDY.replace("same: {train.lr: 0.2}", "same: {train.replicate: 1}")
    plan, folder, summary = train(tmp_path, text)
    assert summary.is_complete
    assert count_runs(plan, folder)["same"] == {name: look for name, _, look in trace(plan, folder).verdicts}["chance"]


def test_a_tuned_study_tunes_first_and_then_stops(tmp_path: Path) -> None:
    tune = "tune: {space: {train.weight_decay: {low: 1.0e-5, high: 1.0e-2, log: true}}, trials: 2, epochs: 1}\n"
    plan, folder, summary = train(tmp_path, STUDY + tune)
    assert summary.is_complete
    assert 0 < summary.unneeded < 25
    winners = load(folder / "study.yaml")
    assert {name: winner.trial is not None for name, winner in winners.tuned.items()} == dict.fromkeys(
        ("base", "bad", "slow", "same", "unclaimed"), True
    )
    found = trace(replace(plan, study=winners, cells=build_fake_plan(winners).cells), folder)
    verdicts = {name: (word, look) for name, word, look in found.verdicts}
    assert verdicts["clear"][0] == "supported"
    assert found.seeds.get("bad", 3) == verdicts["clear"][1]


def test_a_claim_with_a_diverged_run_is_never_decided_and_holds_nothing_up(tmp_path: Path) -> None:
    text = STUDY.replace("train.lr: 0.2", "train.lr: 150").replace("train.lr: 10}", "train.lr: 5.1}")
    plan, folder, summary = train(tmp_path, text)
    found = read_decisions(plan.study, plan.planned, folder)
    assert found.open_claims == ("chance",)
    assert {verdict.claim.id: verdict.power for verdict in found.verdicts}["chance"] == 0
    assert "(chance 0 %)" in found.stopped
    assert (summary.failures, summary.missing) == ({"diverged": count_runs(plan, folder)["same"]}, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            STUDY[: STUDY.index("claims:")],
            "asked.yaml:4:27: seeds.stop: needs claims: they decide when the study stops",
        ),
        (STUDY.replace("stop: decided", "stop: soon"), "asked.yaml:4:27: seeds.stop: must be decided, or a mapping"),
        (STUDY.replace("[3, 5, 8]", "[1, 5]"), "asked.yaml:4:9: seeds.looks: must begin with 2 seeds or more"),
        (
            STUDY + "design: {kind: search, space: {arch.width: [1, 2]}, budget: {variants: 2}}\n",
            "asked.yaml:4:27: seeds.stop: cannot be combined with a search",
        ),
    ],
)
def test_a_rule_that_cannot_work_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError) as error_info:
        write_plan(tmp_path, text)
    assert len(error_info.value.problems) == 1
    assert message in str(error_info.value)


def test_status_shows_interim_verdicts_and_what_is_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vgg_ablate.cli import status as command

    plan, folder = write_plan(tmp_path), tmp_path / "results" / "asked"
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, folder, OPTIONS, InterruptedPool(folder, 16))
    status = compute_status(plan.planned, folder, plan.study)
    assert status.look == "look 1 of 3, after 3 of 8 seeds"
    assert {claim.id: claim.is_open for claim in status.claims} == {"clear": False, "faint": True, "chance": True}
    assert status.missing == 3 * 2 - 1, "two more seeds of base, slow and same"
    command._print_status(folder, status)
    shown = capsys.readouterr().out
    assert "16 of 40 runs recorded, 5 missing, 19 not needed" in shown
    assert "clear: supported after 3 seeds, a − b: −" in shown, "less error is negative"
    assert "chance: open after 3 seeds, a − b: " in shown
    command.status(folder, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert [claim["is_open"] for claim in document["claims"]] == [False, True, True]


def test_plan_states_the_least_and_the_most_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vgg_ablate.cli.plan import plan as command

    write_plan(tmp_path)
    command(tmp_path / "asked.yaml", None, out=tmp_path / "results", probe=False)
    assert "15 to 35 runs to train: look 0 of 3, after 0 of 8 seeds" in capsys.readouterr().out


def test_the_plain_view_prints_interim_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, folder = write_plan(tmp_path), tmp_path / "results" / "asked"
    run_in_process(plan, folder, replace(OPTIONS, progress="plain"))
    shown = capsys.readouterr().err
    assert "look 1 of 3, after 3 of 8 seeds: clear supported; faint open; chance open" in shown
    assert "asked: 0 of 15 runs recorded" in shown

"""Runs that differ only in their evaluation share one training; recorded nets are averaged without training."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import fake_training
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
    write_and_read_report,
)
from vgg_ablate.analysis import summary, validation
from vgg_ablate.config.study import load
from vgg_ablate.data.sources import compute_data_fingerprint
from vgg_ablate.errors import StorageError
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import Epoch, Outcome, Record, RecordStore, Run, build_predictions_path
from vgg_ablate.report.markdown import sum_training_seconds
from vgg_ablate.runs.cleanup import find_orphans
from vgg_ablate.runs.driver import RunOptions, run_plan
from vgg_ablate.runs.estimate import cost as cost_estimate
from vgg_ablate.runs.leases import LeaseLostError, break_lease
from vgg_ablate.runs.plan import Plan, build_plan
from vgg_ablate.runs.progress.eta import Forecast
from vgg_ablate.runs.resources.slots import build_slots
from vgg_ablate.runs.workers import training
from vgg_ablate.runs.workers.job import EvaluateRun, TrainingBackend, perform_job
from vgg_ablate.runs.workers.protocol import Job, WorkerContext
from vgg_ablate.training import predictions
from vgg_ablate.training.evaluate import Predictions, average_predictions

EVALUATED = """\
  flipped: {data.evaluate.flip: true}
  crops: {data.evaluate: {view: crops, grid: 2}}
  fast: {train.lr: 0.2}
  fast-flipped: {train.lr: 0.2, data.evaluate.flip: true}
"""
MEASURED = {"seconds", "cpu_seconds", "images_per_second"}  # fields of an epoch that never repeat exactly


def plan_evaluations(folder: Path, **more: Any) -> Plan:
    """Return a plan with two trainings per seed, one with three evaluations and one with two."""
    return build_fake_plan(make_study(folder, variants=0, more=EVALUATED, **more))


def test_runs_that_differ_only_in_their_evaluation_have_one_training_key(tmp_path: Path) -> None:
    runs = {cell.title: cell.run for cell in plan_evaluations(tmp_path, seeds=2).cells}
    keys = {run.key for run in runs.values()}
    assert len(keys) == 10
    assert {title for title, run in runs.items() if run.training_key == runs["base/1"].key} == {
        "base/1",
        "flipped/1",
        "crops/1",
    }
    assert len({run.training_key for run in runs.values()}) == 4
    assert all(
        (run.training_key == run.key) == (title[:4] in ("base", "fast") and "-" not in title)
        for title, run in runs.items()
    )
    copy = runs["flipped/1"].model_copy(update={"seed": 7})
    assert copy.training_key not in {run.training_key for run in runs.values()}


def test_stored_predictions_are_part_of_no_key(tmp_path: Path) -> None:
    run = plan_evaluations(tmp_path).cells[0].run
    kept = run.model_copy(update={"train": run.train.model_copy(update={"keep": "predictions"})})
    assert (kept.key, kept.training_key) == (run.key, run.training_key)


@pytest.mark.parametrize("run", [run_plan, run_in_process])
def test_one_training_serves_several_records_and_the_events_show_it(
    tmp_path: Path, run: Callable[[Plan, Path, RunOptions], object]
) -> None:
    plan, folder = plan_evaluations(tmp_path, seeds=2), tmp_path / "results"
    run(plan, folder, OPTIONS)
    assert RecordStore(folder / "records").keys() == {cell.key for cell in plan.cells}
    trainings = {cell.run.training_key for cell in plan.cells}
    assert sorted(list_trained_epochs(folder)) == sorted((key, epoch) for key in trainings for epoch in (1, 2))
    started = {
        f"{event['variant']}/{event['seed']}": event.get("shares", []) for event in read_event_log(folder, "started")
    }
    assert {(title, *shares) for title, shares in started.items()} == {
        (f"{first}/{seed}", *(f"{other}/{seed}" for other in others))
        for first, *others in (("base", "flipped", "crops"), ("fast", "fast-flipped"))
        for seed in (0, 1)
    }
    assert len(read_event_log(folder, "epoch")) == 2 * len(trainings)
    assert Counter(event["key"] for event in read_event_log(folder, "ended")) == Counter(
        cell.key for cell in plan.cells
    )
    assert not list((folder / "checkpoints").iterdir())


def test_the_records_are_those_of_runs_that_were_trained_each_for_itself(tmp_path: Path) -> None:
    plan, folder = plan_evaluations(tmp_path, seeds=1), tmp_path / "results"
    run_in_process(plan, folder)
    for cell in plan.cells:
        context = WorkerContext(folder=tmp_path / "alone" / cell.variant)
        context.folder.mkdir(parents=True)
        perform_job(fake_training, Job(cell.run, cell.costs), context, lambda epoch: False)
        assert read_record_contents(context.folder) == {cell.key: read_record_contents(folder)[cell.key]}


def test_an_evaluation_that_is_added_later_trains_once_more_and_reports_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path, variants=0, seeds=1)), folder)
    before = read_record_contents(folder)
    more = "  flipped: {data.evaluate.flip: true}\n  crops: {data.evaluate.view: crops}\n"
    wider = build_fake_plan(make_study(tmp_path, variants=0, seeds=1, more=more))
    capfd.readouterr()
    run_in_process(wider, folder, replace(OPTIONS, progress="plain"))
    reason = "trained again: 'flipped/0', 'crops/0' ask for another evaluation of a recorded training"
    assert capfd.readouterr().err.count(reason) == 1
    assert [event["reason"] for event in read_event_log(folder, "started") if "reason" in event] == [reason]
    (base,) = before
    assert Counter(list_trained_epochs(folder)) == {(base, 1): 2, (base, 2): 2}
    after = read_record_contents(folder)
    assert after[base] == before[base]
    assert len(after) == 3
    store = RecordStore(folder / "records")
    assert not any("retrained_differs" in record.tested.details for record in store if record.tested)
    assert len({record.epochs for record in store}) == 1


def test_of_two_records_one_that_is_deleted_is_made_again_alone(tmp_path: Path) -> None:
    plan, folder = plan_evaluations(tmp_path, seeds=1), tmp_path / "results"
    run_in_process(plan, folder)
    store, before = RecordStore(folder / "records"), read_record_contents(folder)
    for variant, repeats in (("flipped", "flipped/0"), ("base", "base/0")):
        (cell,) = (cell for cell in plan.cells if cell.variant == variant)
        store.get_path(cell.key).unlink()
        kept = {path: path.read_bytes() for path in store.folder.iterdir()}
        finished = run_in_process(plan, folder)
        assert (finished.recorded, finished.trained, finished.is_complete) == (4, 1, True)
        assert read_event_log(folder, "started")[-1]["reason"].startswith(f"trained again: '{repeats}' asks")
        assert read_event_log(folder, "started")[-1]["key"] == cell.key
        assert all(path.read_bytes() == text for path, text in kept.items())
    assert read_record_contents(folder) == before


@dataclass
class InterruptedBackend:
    """A backend that is interrupted in the `at`-th evaluation, counted from 0."""

    at: int
    backend: TrainingBackend

    def train(self, runs: tuple[Run, ...], context: WorkerContext) -> Generator[Epoch, None, EvaluateRun]:
        evaluate = yield from self.backend.train(runs, context)
        left = iter(range(self.at))

        def interrupted(run: Run) -> Any:
            if next(left, None) is None:
                raise InterruptedError
            return evaluate(run)

        return interrupted

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)


STUDY = """\
version: 1
name: shared
question: does one training serve several evaluations?
seeds: {seeds}
data: {{name: digits, image_size: 8, limit: 900, augment: {{crop_padding: 1}}}}
arch: {{stages: "4 | 8", norm: batch, head: {{hidden: [16], dropout: 0.1}}}}
train: {{epochs: 6, batch_size: 16, lr: 0.1, precision: fp32{keep}}}
variants:
"""
FLIPPED = "  flipped: {data.evaluate.flip: true}\n"
REAL = RunOptions(workers=1, device="cpu", progress="none")


def plan_real_training(folder: Path, more: str, *, name: str = "shared", seeds: int = 1, keep: str = "") -> Plan:
    """Return a plan for the package's own training."""
    (folder / f"{name}.yaml").write_text(STUDY.format(seeds=seeds, keep=keep) + more)
    return build_plan(load(folder / f"{name}.yaml"), compute_data_fingerprint)


def read_numbers(record: Record) -> tuple[object, ...]:
    """Return what a record holds, except times."""
    return record.outcome, record.tested, [epoch.model_dump(exclude=MEASURED) for epoch in record.epochs]


def test_a_worker_killed_between_two_records_leaves_the_trained_net_to_the_next(tmp_path: Path) -> None:
    plan, context = plan_real_training(tmp_path, FLIPPED), WorkerContext(folder=tmp_path / "results")
    base, flipped = plan.cells
    job, store = Job(base.run, base.costs, (flipped.run,)), RecordStore(context.records)
    with pytest.raises(InterruptedError):
        perform_job(InterruptedBackend(1, training), job, context, lambda epoch: False)
    assert store.keys() == {base.key}
    assert context.locate_checkpoint(base.key).exists()
    (division, _) = plan.divide(store.keys(), unfinished={base.key})
    assert [(cell.title, cell.repeats) for cell in division] == [("flipped/0", "")], (
        "the training continues and is not repeated"
    )
    perform_job(training, Job(flipped.run, flipped.costs), context, lambda epoch: False)
    first, second = store.get(base.key), store.get(flipped.key)
    assert first.epochs == second.epochs, "times too, since they come from the checkpoint"
    assert not context.locate_checkpoint(base.key).exists()


def test_shared_and_separate_trainings_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    more = FLIPPED + "  crops: {data.evaluate: {view: [single, crops], scales: 12, grid: 2}}\n"
    plan, folder = plan_real_training(tmp_path, more), tmp_path / "together"
    assert run_plan(plan, folder, REAL).is_complete
    assert [len(read_event_log(folder, kind)) for kind in ("started", "epoch", "ended")] == [1, 6, 3]
    store = RecordStore(folder / "records")
    for cell in plan.cells:
        context = WorkerContext(folder=tmp_path / cell.variant)
        perform_job(training, Job(cell.run, cell.costs), context, lambda epoch: False)
        assert read_numbers(store.get(cell.key)) == read_numbers(RecordStore(context.records).get(cell.key))
    assert len({record.tested.details["test_loss"] for record in store if record.tested}) == 3
    seconds = store.get(plan.cells[0].key).train_seconds
    assert sum_training_seconds(summary.load_report(folder)) == seconds, "not three times"

    (cell,) = (cell for cell in plan.cells if cell.variant == "crops")
    before = store.get(cell.key)
    store.get_path(cell.key).unlink()
    assert run_plan(plan, folder, REAL).is_complete
    assert read_numbers(store.get(cell.key)) == read_numbers(before), "trained again, the record is the same"
    assert sum_training_seconds(summary.load_report(folder)) == seconds + store.get(cell.key).train_seconds


def test_a_repeated_training_that_differs_from_its_record_names_the_place(tmp_path: Path) -> None:
    plan, context = plan_real_training(tmp_path, FLIPPED), WorkerContext(folder=tmp_path / "results")
    base, flipped = plan.cells
    perform_job(training, Job(base.run, base.costs), context, lambda epoch: False)
    store = RecordStore(context.records)
    stored = store.get(base.key)
    other = stored.epochs[2].model_copy(update={"val_loss": 9.5})
    changed = stored.model_copy(update={"epochs": (*stored.epochs[:2], other, *stored.epochs[3:])})
    perform_job(training, Job(flipped.run, flipped.costs, repeats=changed), context, lambda epoch: False)
    tested = store.get(flipped.key).tested
    assert tested is not None
    now = stored.epochs[2].val_loss
    assert tested.details["retrained_differs"] == f"{base.key}: epochs[2].val_loss: recorded 9.5, now {now!r}"

    from_other_torch = changed.model_copy(update={"environment": changed.environment | {"torch": "1.0"}})
    store.get_path(flipped.key).unlink()
    perform_job(training, Job(flipped.run, flipped.costs, repeats=from_other_torch), context, lambda epoch: False)
    assert "retrained_differs" not in (store.get(flipped.key).tested or tested).details


def test_a_worker_that_has_lost_one_run_of_a_training_has_lost_all(tmp_path: Path) -> None:
    plan, context = plan_evaluations(tmp_path, seeds=1), WorkerContext(folder=tmp_path / "results")
    (group,) = (cell for cell in plan.divide(set()).trainings if cell.variant == "base")
    job = Job(group.run, group.costs, tuple(cell.run for cell in group.shares))
    context.folder.mkdir()

    def break_one_lease(epoch: Epoch) -> bool:
        break_lease(context.locate_lease(job.runs[-1].key))
        return False

    with pytest.raises(LeaseLostError):
        perform_job(fake_training, job, context, break_one_lease)
    assert RecordStore(context.records).keys() == set()
    assert sorted(path.name for path in (context.folder / "locks").iterdir()) == sorted(
        run.key for run in job.runs[:-1]
    )


@pytest.mark.parametrize(
    ("lr", "outcome"), [(150, Outcome.DIVERGED), (250, Outcome.OUT_OF_MEMORY), (350, Outcome.FAILED)]
)
def test_the_outcome_of_a_training_is_recorded_for_all_its_runs(tmp_path: Path, lr: int, outcome: Outcome) -> None:
    more = f"  bad: {{train.lr: {lr}}}\n  bad-flipped: {{train.lr: {lr}, data.evaluate.flip: true}}\n"
    plan = build_fake_plan(make_study(tmp_path, variants=0, seeds=1, more=more))
    finished = run_in_process(plan, tmp_path / "results")
    assert finished.outcomes == {"finished": 1, str(outcome): 2}
    assert run_in_process(plan, tmp_path / "results").trained == 0


def test_a_training_that_kills_its_worker_every_time_is_given_up_with_all_its_runs(tmp_path: Path) -> None:
    more = "  deadly: {train.lr: 500}\n  deadly-flipped: {train.lr: 500, data.evaluate.flip: true}\n"
    plan = build_fake_plan(make_study(tmp_path, variants=0, seeds=1, more=more))
    finished = run_plan(plan, tmp_path / "results", OPTIONS)
    assert (finished.lost, finished.outcomes) == (("deadly/0", "deadly-flipped/0"), {"finished": 1})


def test_a_plan_counts_the_cost_of_shared_trainings_once(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path, variants=0, seeds=1)), folder)
    records = cost_estimate.read_machine_records([folder / "records"], "cpu")
    local_slots = build_slots("cpu", 1)
    plain = cost_estimate.estimate_study_cost(
        build_fake_plan(make_study(tmp_path, variants=0, seeds=3)), RecordStore(folder), records, local_slots
    )
    shared = cost_estimate.estimate_study_cost(
        build_fake_plan(make_study(tmp_path, variants=0, seeds=3, more="  flipped: {data.evaluate.flip: true}\n")),
        RecordStore(folder),
        records,
        local_slots,
    )
    assert (plain.trainings, shared.trainings) == (3, 3)
    assert sum(price.missing for price in shared.variants) == 6
    assert shared.seconds == plain.seconds
    forecast = Forecast(1)
    forecast.expect(plan_evaluations(tmp_path, seeds=3).divide(set()).trainings)
    assert forecast.unfinished == 15, "runs, not trainings: none of them is unnamed"
    limited = cost_estimate.estimate_study_cost(
        plan_evaluations(tmp_path, seeds=3), RecordStore(folder), records, local_slots, max_hours=1e-9
    )
    assert len(limited.dropped) == 15, "those that share a training are dropped with it"


def test_a_checkpoint_is_needed_as_long_as_one_of_its_runs_is_missing(tmp_path: Path) -> None:
    plan, folder = plan_evaluations(tmp_path, seeds=1), tmp_path / "results"
    run_in_process(plan, folder)
    runs = {cell.variant: cell.run for cell in plan.cells}
    checkpoint = folder / "checkpoints" / runs["base"].key
    checkpoint.write_text("2")
    assert find_orphans(folder).paths == (checkpoint,)
    RecordStore(folder / "records").get_path(runs["flipped"].key).unlink()
    assert find_orphans(folder).paths == ()
    assert {cell.training_key for cell in Manifest.read(folder).planned} == {"", runs["base"].key, runs["fast"].key}


@pytest.mark.timeout(600)
def test_a_storm_over_shared_trainings_loses_nothing_and_trains_nothing_twice(tmp_path: Path) -> None:
    lines = "".join(
        f"  v{index}: {{train.lr: {0.1 + index / 1000}}}\n"
        f"  f{index}: {{train.lr: {0.1 + index / 1000}, data.evaluate.flip: true}}\n"
        f"  c{index}: {{train.lr: {0.1 + index / 1000}, data.evaluate.view: crops}}\n"
        for index in range(6)
    )
    plan = build_fake_plan(
        make_study(tmp_path, variants=0, seeds=scale_storm(2), epochs=5, milliseconds=30, more=lines)
    )
    folder = tmp_path / "storm"
    storm = Storm(plan, folder, replace(OPTIONS, workers=3))
    storm.blow(workers=scale_storm(4), drivers=scale_storm(1), pause=(0.05, 0.2))

    calm = run_undisturbed(plan, tmp_path / "calm")
    assert read_record_contents(folder) == read_record_contents(calm)
    assert write_and_read_report(folder) == write_and_read_report(calm)
    assert find_retrained_epochs(folder) == []
    times = Counter(list_trained_epochs(folder))
    assert set(times) == {(cell.run.training_key, epoch) for cell in plan.cells for epoch in range(1, 6)}
    kills = len(storm.workers) + 3 * len(storm.drivers)
    assert times.total() - len(times) <= kills, (
        "a training continues from its last checkpoint: one epoch per kill at most"
    )
    assert not {path.name for path in (folder / "checkpoints").iterdir()} & set(dict(times))


KEPT = ", keep: predictions"
NETS = """\
  second: {train.replicate: 1}
  wide: {arch.stages: "6 | 8", train.replicate: 2}
"""
ENSEMBLE = '  together: {train.ensemble: [{}, {stages: "6 | 8"}]}\n'


def test_an_ensemble_of_recorded_nets_is_evaluated_without_training(tmp_path: Path) -> None:
    nets = plan_real_training(tmp_path, NETS, keep=KEPT)
    folder = tmp_path / "results"
    assert run_plan(nets, folder, REAL).is_complete
    wider = plan_real_training(tmp_path, NETS + ENSEMBLE, keep=KEPT)
    bill = cost_estimate.estimate_study_cost(wider, RecordStore(folder / "records"), [], build_slots("cpu", 1))
    assert (bill.trainings, bill.averages) == (0, 1)
    finished = run_plan(wider, folder, REAL)
    assert (finished.recorded, finished.trained, finished.is_complete) == (3, 1, True)
    (cell,) = (cell for cell in wider.cells if cell.variant == "together")
    members = [net.key for net in cell.run.nets]
    assert {cell.key for cell in nets.cells} == set(members)
    (event,) = [event for event in read_event_log(folder, "started") if event["key"] == cell.key]
    assert event["averages"] == members
    assert [event["key"] for event in read_event_log(folder, "epoch")].count(cell.key) == 0

    store = RecordStore(folder / "records")
    record = store.get(cell.key)
    tested = record.tested
    assert tested is not None
    assert (record.epochs, tested.details["members"]) == ((), members)
    stored = [np.load(build_predictions_path(folder / "predictions", key)) for key in members]
    mean = np.mean([arrays["test"].astype(np.float64) for arrays in stored], axis=0)
    right = mean.argmax(1) == stored[0]["test_labels"]
    assert tested.test_accuracy == right.mean()
    assert tested.correct == np.packbits(right).tobytes().hex()
    validation_mean = np.mean([arrays["validation"].astype(np.float64) for arrays in stored], axis=0)
    assert tested.val_accuracy == (validation_mean.argmax(1) == stored[0]["validation_labels"]).mean()

    alone = WorkerContext(folder=tmp_path / "trained")
    perform_job(training, Job(cell.run, cell.costs), alone, lambda epoch: False)
    trained = RecordStore(alone.records).get(cell.key)
    assert trained.tested is not None
    assert abs(trained.tested.test_accuracy - tested.test_accuracy) <= 0.001
    assert abs(trained.tested.val_accuracy - tested.val_accuracy) <= 0.001
    assert tested.details["test_loss"] == pytest.approx(trained.tested.details["test_loss"], abs=1e-3)
    assert tested.details["nets"] == trained.tested.details["nets"]
    assert set(tested.details) - {"members", "val_examples"} <= set(trained.tested.details)
    assert (
        record.audited == trained.audited == {name: cost for name, cost in cell.costs.items() if name in record.audited}
    )

    (planned_cell,) = (planned for planned in wider.planned if planned.key == cell.key)
    expected = validation.resolve_expected_variants(wider.study)["together"]
    assert validation.find_contradiction(record, planned_cell, expected) is None
    wrong = tested.model_copy(update={"details": tested.details | {"members": members[:2]}})
    assert "members" in (
        validation.find_contradiction(record.model_copy(update={"tested": wrong}), planned_cell, expected) or ""
    )
    assert record.is_stalled is False
    row = summary.load_report(folder).frame.set_index("key").loc[cell.key]
    assert (bool(row["trained"]), bool(row["disturbed"]), np.isnan(row["train_seconds"])) == (True, False, True)
    assert 0.3 < tested.test_accuracy < 1, "neither chance nor a ceiling"
    write_and_read_report(folder)


def test_an_ensemble_waits_for_the_nets_of_its_own_study(tmp_path: Path) -> None:
    more = "  second: {train.replicate: 1}\n  two: {train.ensemble: [{}]}\n"
    plan = build_fake_plan(make_study(tmp_path, variants=0, seeds=2, more=more, keep=True))
    folder = tmp_path / "results"
    assert run_plan(plan, folder, OPTIONS).is_complete
    ensembles = {cell.key for cell in plan.cells if cell.variant == "two"}
    assert not ensembles & {key for key, _ in list_trained_epochs(folder)}
    for key in ensembles:
        record = RecordStore(folder / "records").get(key)
        assert record.tested is not None
        assert record.tested.details["members"] == [net.key for net in record.run.nets]
        assert build_predictions_path(folder / "predictions", key).exists()
    alone = run_in_process(plan, tmp_path / "alone")
    assert alone.is_complete
    assert read_record_contents(tmp_path / "alone") == read_record_contents(folder)

    other = build_fake_plan(make_study(tmp_path, name="other", variants=0, seeds=2, more=more, keep=True))
    results = tmp_path / "beside"
    shutil.copytree(folder, results / "asked")
    for key in ensembles:
        RecordStore(results / "asked" / "records").get_path(key).unlink()
    finished = run_in_process(other, results / "other")
    assert (finished.reused, finished.trained) == (4, 2)
    assert list_trained_epochs(results / "other") == [], "kept predictions come with records of other studies"


@pytest.mark.parametrize("lr", [150, 350])
def test_an_ensemble_whose_nets_do_not_finish_is_trained_itself(tmp_path: Path, lr: int) -> None:
    more = f"  second: {{train.replicate: 1, train.lr: {lr}}}\n  two: {{train.ensemble: [{{}}], train.lr: {lr}}}\n"
    plan = build_fake_plan(
        make_study(tmp_path, variants=0, seeds=1, more=more + f"  first: {{train.lr: {lr}}}\n", keep=True)
    )
    finished = run_in_process(plan, tmp_path / "results")
    assert finished.missing == 0
    assert finished.outcomes["finished"] == 1
    assert "averages" not in json.dumps(read_event_log(tmp_path / "results", "started"))


def test_damaged_predictions_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    more = "  second: {train.replicate: 1}\n"
    run_in_process(
        build_fake_plan(make_study(tmp_path, variants=0, seeds=1, more=more, keep=True)), tmp_path / "results"
    )
    plan = build_fake_plan(
        make_study(tmp_path, variants=0, seeds=1, more=more + "  two: {train.ensemble: [{}]}\n", keep=True)
    )
    path = build_predictions_path(tmp_path / "results" / "predictions", plan.cells[-1].run.nets[0].key)
    path = next(path for path in (tmp_path / "results" / "predictions").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"\.npz: not the predictions of a run: .*; remove the file"):
        run_in_process(plan, tmp_path / "results")
    path.unlink()
    assert run_in_process(plan, tmp_path / "results").is_complete


def test_metrics_of_stored_predictions_are_those_of_torch(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (200,), generator=generator)
    members = [Predictions(torch.randn(200, 10, generator=generator), labels) for _ in range(3)]
    for index, member in enumerate(members):
        probabilities = member.logits.softmax(1).half().numpy()
        kept = predictions.StoredPredictions(probabilities, labels.numpy(), probabilities, labels.numpy())
        predictions.write_predictions(tmp_path, str(index), kept)
    stored = [predictions.read_predictions(tmp_path, str(index)) for index in range(3)]
    halved = [Predictions(torch.from_numpy(member.test).double().log(), labels) for member in stored]
    scored, mean = average_predictions(halved), predictions.average_stored_predictions(stored)
    assert predictions.compute_accuracy(mean.test, mean.test_labels) == scored.compute_accuracy()
    assert predictions.compute_accuracy(mean.test, mean.test_labels, 5) == scored.compute_accuracy(5)
    assert predictions.compute_loss(mean.test, mean.test_labels) == pytest.approx(scored.loss, rel=1e-3)
    predicted, labels_of_test = scored.get_classes()
    assert (mean.test.argmax(1) == predicted).all()
    assert (mean.test_labels == labels_of_test).all()
    with pytest.raises(ValueError, match="the same examples"):
        predictions.average_stored_predictions(
            [stored[0], stored[1]._replace(test_labels=(stored[1].test_labels + 1) % 10)]
        )

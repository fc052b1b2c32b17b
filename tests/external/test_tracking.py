"""`run --track` mirrors a study to trackers, read back here with their own libraries; a broken one stops nothing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.harness import OPTIONS, build_fake_plan, make_study, read_record_contents, run_undisturbed
from vgg_ablate.errors import EnvironmentFailedError
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.plan import Plan
from vgg_ablate.runs.progress.following import follow_events
from vgg_ablate.runs.progress.tracker_names import TrackerName
from vgg_ablate.runs.progress.tracking import check_tracker

EPOCHS = 3


def run_tracked(folder: Path, name: TrackerName) -> Plan:
    """Run a study of two variants on three seeds with a tracker."""
    plan = build_fake_plan(make_study(folder.parent, variants=1, epochs=EPOCHS))
    assert len(plan.cells) == 6
    assert run_plan(plan, folder, replace(OPTIONS, track=(name,))).is_complete
    return plan


def test_tensorboard_has_every_epoch_and_the_final_metrics(tmp_path: Path) -> None:
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="not installed")
    folder = tmp_path / "results"
    plan = run_tracked(folder, TrackerName.TENSORBOARD)
    for cell in plan.cells:
        accumulator = module.EventAccumulator(str(folder / "tensorboard" / f"{cell.variant}-{cell.seed}")).Reload()
        record = RecordStore(folder / "records").get(cell.key)
        assert record.tested is not None
        losses = [(event.step, event.value) for event in accumulator.Scalars("train_loss")]
        assert losses == [(epoch.epoch, pytest.approx(epoch.train_loss)) for epoch in record.epochs]
        (final,) = accumulator.Scalars("final/test_accuracy")
        assert final.value == pytest.approx(record.tested.test_accuracy)


@pytest.mark.filterwarnings("ignore")  # of MLflow and its libraries
def test_mlflow_has_every_run_with_its_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    folder = tmp_path / "results"
    plan = run_tracked(folder, TrackerName.MLFLOW)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(plan.study.name)
    runs = {run.data.tags["key"]: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {cell.key for cell in plan.cells}
    for cell in plan.cells:
        run, record = runs[cell.key], RecordStore(folder / "records").get(cell.key)
        assert record.tested is not None
        assert (run.info.run_name, run.info.status) == (f"{cell.variant}/{cell.seed}", "FINISHED")
        assert run.data.params["epochs"] == str(EPOCHS)
        assert run.data.metrics["test_accuracy"] == pytest.approx(record.tested.test_accuracy)
        history = client.get_metric_history(run.info.run_id, "val_loss")
        assert [metric.step for metric in history] == [1, 2, 3]


def test_wandb_writes_a_run_for_each_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "results"
    plan = run_tracked(folder, TrackerName.WANDB)
    written = {path.name.rpartition("-")[2] for path in (folder / "wandb").glob("offline-run-*")}
    assert written == {cell.key for cell in plan.cells}


def test_a_tracker_that_fails_is_reported_once_and_stops_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "tensorboard").write_text("in the way of its folder")
    plan = run_tracked(folder, TrackerName.TENSORBOARD)
    assert read_record_contents(folder) == read_record_contents(run_undisturbed(plan, tmp_path / "calm"))
    warnings = [line for line in capfd.readouterr().err.splitlines() if "--track tensorboard" in line]
    (line,) = warnings
    assert "ended with status 1; the study goes on; see " in line
    assert "Error" in (folder / "logs" / "track-tensorboard.log").read_text(encoding="utf-8")


def test_a_tracker_that_is_not_installed_is_refused_before_anything_trains() -> None:
    with pytest.raises(EnvironmentFailedError, match=r"pip install 'vgg_ablate\[trackio\]'"):
        check_tracker(TrackerName.TRACKIO)  # which the suite does not install


def test_the_log_is_followed_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "old"}\n')
    steps = iter(
        [
            (b'{"event": "a"}\n{"event": ', False),
            (b'"b"}\nnot json\n[1]\n', False),
            (b'{"event": "c"}\n{"torn', True),
        ]
    )

    def append_next() -> bool:
        content, over = next(steps)
        with path.open("ab") as file:
            file.write(content)
        return over

    offset = path.stat().st_size
    assert [event["event"] for event in follow_events(path, offset, append_next)] == ["a", "b", "c"]


def test_the_process_of_a_tracker_imports_no_torch() -> None:
    code = "import sys, vgg_ablate.external.tracking; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

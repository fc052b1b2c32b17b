"""Runs in the stores of other programs, written by the programs themselves."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

import vgg_ablate
from tests.external.factories import METRIC, make_claims, make_runs
from vgg_ablate.errors import SpecError
from vgg_ablate.external.sources import read_runs

RUNS = make_runs(seeds=4)
ROWS: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in RUNS.to_dict("records")]


def judge_source(source: object, **changes: Any) -> pd.Series[Any]:
    return vgg_ablate.judge(str(source), make_claims(**changes)).claims.iloc[0]


EXPECTED = vgg_ablate.judge(RUNS, make_claims()).claims.iloc[0]


def write_optuna(storage: optuna.storages.BaseStorage, *, name: str = "runs") -> None:
    """Write every run as a trial: the variant as a parameter, the seed as a user attribute, the loss as the value."""
    study = optuna.create_study(storage=storage, study_name=name)
    choices: dict[str, optuna.distributions.BaseDistribution] = {}
    choices["variant"] = optuna.distributions.CategoricalDistribution(["base", "dropout"])
    for run in ROWS:
        trial = optuna.trial.create_trial(
            params={"variant": run["variant"]},
            distributions=choices,
            value=run["loss"],
            user_attrs={"seed": run["seed"]},
        )
        study.add_trial(trial)
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))


OPTUNA = {
    "columns": {"variant": "params_variant", "seed": "user_attrs_seed"},
    "metric": {**METRIC, "name": "value"},
}


def test_trials_of_a_database_of_optuna(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    write_optuna(optuna.storages.RDBStorage(url))
    report = vgg_ablate.judge(url, make_claims(**OPTUNA))
    assert report.claims.loc[0, "p"] == pytest.approx(EXPECTED.p)
    assert report.notes == ("1 trial left out: 1 FAIL.",)


def test_trials_of_a_journal_of_optuna(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    write_optuna(storage)
    assert judge_source(path, **OPTUNA).p == pytest.approx(EXPECTED.p)
    write_optuna(storage, name="other")
    with pytest.raises(SpecError, match="name one of its studies with --study: other, runs"):
        read_runs(str(path))
    assert len(read_runs(str(path), "runs").table) == len(RUNS)


def test_a_storage_that_is_missing_is_named_and_not_made(tmp_path: Path) -> None:
    for source in (f"sqlite:///{tmp_path}/none.db", str(tmp_path / "none.log"), str(tmp_path / "none.db")):
        with pytest.raises(SpecError, match="file not found"):
            read_runs(source)
    assert list(tmp_path.iterdir()) == []


def test_event_files_of_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from torch.utils.tensorboard import SummaryWriter

    for run in ROWS:
        with SummaryWriter(str(tmp_path / str(run["variant"]) / f"seed-{run['seed']}")) as writer:
            for step, loss in enumerate((9.0, 5.0, run["loss"])):
                writer.add_scalar("val/loss", loss, step)
    claim = judge_source(
        tmp_path, columns={"variant": "folder_1", "seed": "folder_2"}, metric={**METRIC, "name": "val/loss"}
    )
    assert claim.p == pytest.approx(EXPECTED.p, rel=1e-3)  # event files hold float32


@pytest.mark.filterwarnings("ignore")  # of MLflow about its own dependencies
@pytest.mark.parametrize("store", ["folder", "database"])
def test_runs_of_mlflow(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    source = str(tmp_path / "mlruns") if store == "folder" else f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri() if store == "folder" else source)
    experiment = client.create_experiment("losses", artifact_location=tmp_path.as_uri())
    for run in ROWS:
        run_id = client.create_run(experiment).info.run_id
        client.log_param(run_id, "variant", run["variant"])
        client.log_param(run_id, "seed", run["seed"])
        client.log_metric(run_id, "loss", run["loss"])
        client.set_terminated(run_id)
    client.create_run(experiment)  # goes on
    columns = {"variant": "params.variant", "seed": "params.seed"}
    report = vgg_ablate.judge(source, make_claims(columns=columns, metric={**METRIC, "name": "metrics.loss"}))
    assert report.claims.loc[0, "p"] == pytest.approx(EXPECTED.p)
    assert report.notes == ("1 run left out: 1 RUNNING.",)


@pytest.mark.filterwarnings("ignore")  # of MLflow about its own dependencies
def test_a_server_of_mlflow_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # a port on which nobody listens
        source = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(SpecError, match=rf"^{source}: cannot be read: .*\Z"):
            read_runs(source)


def test_a_table_of_runs_as_weights_and_biases_exports_it(tmp_path: Path) -> None:
    """The columns of the web page's CSV: name and state of a run, then its configuration and summary."""
    table = RUNS.assign(Name=[f"run-{index}" for index in range(len(RUNS))], State="finished")
    path = tmp_path / "wandb_export.csv"
    table[["Name", "State", "variant", "seed", "loss"]].to_csv(path, index=False)
    assert judge_source(path).p == pytest.approx(EXPECTED.p)


def test_lines_of_json_with_nested_keys(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    lines = [
        json.dumps({"config": {"variant": run["variant"], "seed": run["seed"]}, "summary": {"loss": run["loss"]}})
        for run in ROWS
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    columns = {"variant": "config.variant", "seed": "config.seed"}
    claim = judge_source(path, columns=columns, metric={**METRIC, "name": "summary.loss"})
    assert claim.p == pytest.approx(EXPECTED.p)
    path.write_text("[1]\n", encoding="utf-8")
    with pytest.raises(SpecError, match="line 1: must be a JSON object"):
        read_runs(str(path))


def test_a_parquet_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    RUNS.to_parquet(tmp_path / "runs.parquet")
    assert judge_source(tmp_path / "runs.parquet").p == pytest.approx(EXPECTED.p)


def test_a_folder_or_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="neither TensorBoard event files nor an MLflow file store"):
        read_runs(str(tmp_path))
    (tmp_path / "runs.xlsx").touch()
    with pytest.raises(SpecError, match=r"unknown kind of runs; expected \.csv, \.tsv"):
        read_runs(str(tmp_path / "runs.xlsx"))
    with pytest.raises(SpecError, match="file not found"):
        read_runs(str(tmp_path / "none.csv"))

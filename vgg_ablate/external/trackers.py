"""Runs in the stores of other programs: Optuna, MLflow and TensorBoard. Their packages are imported when needed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vgg_ablate.errors import Problem, SpecError, find_missing_package, find_nearest
from vgg_ablate.external.run_table import Runs
from vgg_ablate.formatting.text import count_noun


def read_optuna(source: str, study: str | None) -> Runs:
    """Read the complete trials of an Optuna study, with the columns of `Study.trials_dataframe`.

    Those are `number`, `value`, `params_...` and `user_attrs_...`. A note counts the other trials: a failed one leaves
    its seed without a run.
    """
    import optuna

    storage = _open_storage(source)
    names = sorted(optuna.get_all_study_names(storage))
    if study is None and len(names) == 1:
        study = names[0]
    if study not in names:
        rule = f"name one of its studies with --study: {', '.join(names[:12])}" if names else "holds no study"
        raise SpecError(Problem(rule, location=source, got=study, nearest=find_nearest(study or "", names)))
    trials = optuna.load_study(study_name=study, storage=storage).trials_dataframe()
    states = trials["state"] if len(trials) else pd.Series(dtype=str)
    table = trials[states == "COMPLETE"].reset_index(drop=True)
    notes = _note_unfinished("trials", states[states != "COMPLETE"])
    return Runs(table, lambda row: f"{source}: trial {table['number'].iloc[row]}", source, notes)


def _note_unfinished(noun: str, states: Iterable[str]) -> tuple[str, ...]:
    counts = Counter(states)
    if not counts:
        return ()
    states_text = ", ".join(f"{count} {state}" for state, count in counts.items())
    return (f"{count_noun(counts.total(), noun)} left out: {states_text}.",)


def read_database(source: str, study: str | None) -> Runs:
    """Read an Optuna storage, or the database or server of MLflow; the tables, or the scheme http, decide which."""
    if source.startswith(("http://", "https://")):
        return read_mlflow(source, source)
    if not source.endswith(".log"):
        from sqlalchemy import create_engine, inspect
        from sqlalchemy.exc import SQLAlchemyError

        url = _complete_url(source)
        try:
            tables = inspect(create_engine(url)).get_table_names()
        except (SQLAlchemyError, ImportError) as error:
            raise SpecError(Problem(f"cannot be opened: {str(error).splitlines()[0]}", location=source)) from error
        if "experiments" in tables:
            return read_mlflow(source, url)
    return read_optuna(source, study)


def _complete_url(source: str) -> str:
    """Return the URL of a database. Raises SpecError for a file that does not exist, which SQLite would create."""
    url = source if "://" in source else f"sqlite:///{source}"
    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not file.exists():
        raise SpecError(Problem("file not found", location=str(file)))
    return url


def _open_storage(source: str) -> Any:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    if source.endswith(".log"):
        if not Path(source).exists():
            raise SpecError(Problem("file not found", location=source))
        from optuna.storages.journal import JournalFileBackend

        return optuna.storages.JournalStorage(JournalFileBackend(source))
    try:
        return optuna.storages.RDBStorage(_complete_url(source))
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        raise SpecError(Problem(f"cannot be opened: {str(error).splitlines()[0]}", location=source)) from error


def read_folder(path: Path) -> Runs:
    """Read the runs of a folder of TensorBoard's event files, or of MLflow's file store."""
    # Whole lists: `any` would leave the scan of a folder open.
    if folders := sorted({file.parent for file in path.rglob("events.out.tfevents.*")}):
        return _read_tensorboard(path, folders)
    if list(path.glob("*/meta.yaml")):
        return read_mlflow(str(path), path.resolve().as_uri())
    raise SpecError(Problem("holds neither TensorBoard event files nor an MLflow file store", location=str(path)))


def _read_tensorboard(path: Path, folders: Sequence[Path]) -> Runs:
    """Return one row per folder with event files: the last value of every scalar, and the parts of the folder's path.

    Of `runs/dropout/seed-3`, read from `runs`, `folder` is dropout/seed-3, `folder_1` dropout and `folder_2` seed-3.
    """
    _require("tensorboard", str(path))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows: list[Mapping[str, Any]] = []
    for folder in folders:
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
        parts = folder.relative_to(path).parts
        scalars = {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}
        rows.append(
            {"folder": "/".join(parts), **{f"folder_{index}": part for index, part in enumerate(parts, 1)}, **scalars}
        )
    return Runs(pd.DataFrame(rows), lambda row: f"{path}: {rows[row]['folder'] or '.'}", str(path))


def read_mlflow(source: str, uri: str) -> Runs:
    """Read the finished runs of every experiment at a tracking URI, with the columns of `mlflow.search_runs`.

    Those are `run_id`, `metrics...`, `params...` and `tags...`. A note counts the other runs.
    """
    _require("mlflow", source)
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # since 3.x the file store refuses to be read without it
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # 7 take four minutes where no server answers
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(tracking_uri=uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs: list[Any] = []
        token: str | None = ""
        while experiments and token is not None:
            page = client.search_runs(experiments, max_results=1_000, page_token=token or None)
            runs += page
            token = page.token or None
    except (MlflowException, OSError) as error:
        raise SpecError(Problem(f"cannot be read: {str(error).splitlines()[0]}", location=source)) from error
    finished = [run for run in runs if run.info.status == "FINISHED"]
    rows = [
        {"run_id": run.info.run_id}
        | {f"metrics.{name}": value for name, value in run.data.metrics.items()}
        | {f"params.{name}": value for name, value in run.data.params.items()}
        | {f"tags.{name}": value for name, value in run.data.tags.items()}
        for run in finished
    ]
    notes = _note_unfinished("runs", [run.info.status for run in runs if run.info.status != "FINISHED"])
    return Runs(pd.DataFrame(rows), lambda row: f"{source}: run {rows[row]['run_id']}", source, notes)


def _require(package: str, source: str) -> None:
    if rule := find_missing_package(package, package):
        raise SpecError(Problem(rule, location=source))

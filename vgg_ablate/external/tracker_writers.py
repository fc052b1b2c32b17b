"""Writers for experiment trackers: TensorBoard, MLflow, Weights & Biases, trackio. Their packages load when used.

Each run of the study is one run of the tracker, named `VARIANT/SEED`, with the run's key: a run that is continued after
a kill is found again by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from vgg_ablate.manifest import format_run_name
from vgg_ablate.runs.progress.tracker_names import TrackerName


class TrackedRun(NamedTuple):
    """The names of a run of a study."""

    study: str
    variant: str
    seed: int
    key: str

    @property
    def title(self) -> str:
        """The name of the run in the tracker."""
        return format_run_name(self.variant, self.seed)


class Tracker(Protocol):
    """A store of experiments. Calls of several runs may alternate."""

    def start_run(self, run: TrackedRun, parameters: Mapping[str, str]) -> None:
        """Begin a run, or continue it."""

    def log_epoch(self, run: TrackedRun, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add the metrics of an epoch."""

    def end_run(self, run: TrackedRun, outcome: str, metrics: Mapping[str, float]) -> None:
        """End a run with its outcome and its final metrics."""

    def close(self) -> None:
        """Write what is buffered."""


class TensorBoardTracker:
    """Event files in `tensorboard/VARIANT-SEED` of the results folder."""

    def __init__(self, folder: Path, event_type: Any, summary_type: Any, writer_type: Any) -> None:
        self._folder = folder
        self._event_type = event_type
        self._summary_type = summary_type
        self._writer_type = writer_type
        self._writers: dict[str, Any] = {}

    def start_run(self, run: TrackedRun, parameters: Mapping[str, str]) -> None:
        path = self._folder / f"{run.variant}-{run.seed}"
        path.mkdir(parents=True, exist_ok=True)
        self._writers[run.key] = self._writer_type(str(path))

    def log_epoch(self, run: TrackedRun, epoch: int, metrics: Mapping[str, float]) -> None:
        self._write(run, epoch, metrics)

    def end_run(self, run: TrackedRun, outcome: str, metrics: Mapping[str, float]) -> None:
        self._write(run, 0, {f"final/{name}": value for name, value in metrics.items()})
        self._writers.pop(run.key).close()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _write(self, run: TrackedRun, step: int, metrics: Mapping[str, float]) -> None:
        values = [self._summary_type.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        event = self._event_type(wall_time=time.time(), step=step, summary=self._summary_type(value=values))
        self._writers[run.key].add_event(event)
        self._writers[run.key].flush()  # so that TensorBoard shows it while the study runs


class MlflowTracker:
    """Runs of one MLflow experiment."""

    def __init__(self, client: Any, experiment_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._ids: dict[str, str] = {}

    def start_run(self, run: TrackedRun, parameters: Mapping[str, str]) -> None:
        earlier = self._client.search_runs([self._experiment_id], f"tags.key = '{run.key}'", max_results=1)
        if earlier:
            self._ids[run.key] = earlier[0].info.run_id
            return
        tags = {"key": run.key, "variant": run.variant, "seed": str(run.seed)}
        created = self._client.create_run(self._experiment_id, run_name=run.title, tags=tags)
        self._ids[run.key] = created.info.run_id
        for name, value in parameters.items():
            self._client.log_param(created.info.run_id, name, value)

    def log_epoch(self, run: TrackedRun, epoch: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._client.log_metric(self._ids[run.key], name, value, step=epoch)

    def end_run(self, run: TrackedRun, outcome: str, metrics: Mapping[str, float]) -> None:
        run_id = self._ids.pop(run.key)
        for name, value in metrics.items():
            self._client.log_metric(run_id, name, value)
        self._client.set_tag(run_id, "outcome", outcome)
        self._client.set_terminated(run_id, "FINISHED" if outcome == "finished" else "FAILED")

    def close(self) -> None:
        """Do nothing: every call has written at once."""


class SessionTracker:
    """Runs of Weights & Biases or of trackio, whose interface is the same; the project is named like the study."""

    def __init__(self, start: Callable[[TrackedRun, Mapping[str, str]], Any]) -> None:
        self._start = start
        self._sessions: dict[str, Any] = {}

    def start_run(self, run: TrackedRun, parameters: Mapping[str, str]) -> None:
        self._sessions[run.key] = self._start(run, parameters)

    def log_epoch(self, run: TrackedRun, epoch: int, metrics: Mapping[str, float]) -> None:
        self._sessions[run.key].log(dict(metrics), step=epoch)

    def end_run(self, run: TrackedRun, outcome: str, metrics: Mapping[str, float]) -> None:
        session = self._sessions.pop(run.key)
        session.log({**metrics, "finished": float(outcome == "finished")})
        session.finish()

    def close(self) -> None:
        for session in self._sessions.values():
            session.finish()


def _build_tensorboard(study: str, folder: Path) -> TensorBoardTracker:
    """Return a tracker that writes event files into the results folder."""
    return TensorBoardTracker(
        folder / "tensorboard",
        import_module("tensorboard.compat.proto.event_pb2").Event,
        import_module("tensorboard.compat.proto.summary_pb2").Summary,
        import_module("tensorboard.summary.writer.event_file_writer").EventFileWriter,
    )


def _build_mlflow(study: str, folder: Path) -> MlflowTracker:
    """Return a tracker for the MLflow experiment that is named like the study, created where it does not exist.

    The store is that of $MLFLOW_TRACKING_URI, else the file `mlflow.db` of the results folder.
    """
    mlflow = import_module("mlflow")
    if not mlflow.is_tracking_uri_set():
        mlflow.set_tracking_uri(f"sqlite:///{folder.resolve() / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(study)
    return MlflowTracker(client, experiment.experiment_id if experiment else client.create_experiment(study))


def _build_wandb(study: str, folder: Path) -> SessionTracker:
    """Return a tracker for W&B; $WANDB_MODE=offline writes into the results folder, to be sent with `wandb sync`."""
    wandb = import_module("wandb")

    def start(run: TrackedRun, parameters: Mapping[str, str]) -> Any:
        return wandb.init(
            project=study,
            name=run.title,
            id=run.key,
            resume="allow",
            reinit="create_new",  # several runs at a time
            config={**parameters, "variant": run.variant, "seed": run.seed},
            dir=folder,
        )

    return SessionTracker(start)


def _build_trackio(study: str, folder: Path) -> SessionTracker:
    """Return a tracker for trackio, which keeps its data in a folder of the user."""
    trackio = import_module("trackio")

    def start(run: TrackedRun, parameters: Mapping[str, str]) -> Any:
        config = {**parameters, "variant": run.variant, "seed": run.seed}
        return trackio.init(project=study, name=run.title, resume="allow", config=config)

    return SessionTracker(start)


TRACKERS: Mapping[TrackerName, Callable[[str, Path], Tracker]] = {
    TrackerName.TENSORBOARD: _build_tensorboard,
    TrackerName.MLFLOW: _build_mlflow,
    TrackerName.WANDB: _build_wandb,
    TrackerName.TRACKIO: _build_trackio,
}

"""The names of the experiment trackers, in a module without imports: the command line reads them at its start."""

from enum import StrEnum


class TrackerName(StrEnum):
    """Experiment trackers that a study can be mirrored to."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    WANDB = "wandb"
    TRACKIO = "trackio"

"""Where and how a run is trained: what may differ between machines without changing what was asked for. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What the worker says to the training."""

    device: str = "cpu"  # as torch names it: cpu, cuda, cuda:1
    threads: int = 1
    checkpoint: Path | None = None  # the file an unfinished run goes on from; None: none is kept
    checkpoint_every: int = 5  # epochs, at the most
    checkpoint_seconds: float = 10.0  # of training, after which an epoch is kept whatever its number
    checkpoint_last: bool = False  # the last epoch is kept too: several evaluations follow it, and each may be killed
    predictions: Path | None = (
        None  # the folder where `train.keep: predictions` puts class probabilities; None: nowhere
    )
    weights: Path | None = None  # where the trained weights are written, as safetensors; None: nowhere
    resident: bool | None = None  # images on the device; None: where they fit. The examples are the same either way


def build_weights_path(weights: Path, place: int) -> Path:
    """Where the net at this place of an ensemble is written: the first at `weights`, others in net-2, ... beside it."""
    return weights.parent / f"net-{place + 1}" / weights.name if place else weights

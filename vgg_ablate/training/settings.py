"""The settings of a training on this machine, none of which changes the run. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """The worker's settings for a training."""

    device: str = "cpu"  # in torch's notation: cpu, cuda, cuda:1
    threads: int = 1
    checkpoint: Path | None = None  # file to continue from; None: no checkpoint is written
    checkpoint_every: int = 5  # epochs after which a checkpoint is written
    checkpoint_seconds: float = 10.0  # training time after which one is written before that
    checkpoint_last: bool = False  # also after the last epoch: several evaluations follow, and each may be killed
    predictions: Path | None = None  # folder for the class probabilities of `train.keep: predictions`; None: not kept
    weights: Path | None = None  # file for the trained weights, as safetensors; None: not written
    resident: bool | None = None  # images held on the device; None: where they fit. The examples are the same


def build_weights_path(weights: Path, index: int) -> Path:
    """Return the path for the net at this index of an ensemble: `weights`, then net-2/, net-3/, ... beside it."""
    return weights.parent / f"net-{index + 1}" / weights.name if index else weights

"""The learning rate of every step: the rate of the recipe times the factors of its warm-up and its schedule."""

from __future__ import annotations

from collections.abc import Sequence

from vgg_ablate.config.training import Train


def compute_learning_rate(train: Train, epochs_done: float, accuracies: Sequence[float]) -> float:
    """Return the rate of the step after `epochs_done` epochs, a fraction inside an epoch.

    `accuracies`: the validation accuracy of each finished epoch, for schedules that follow it.
    """
    factor = train.schedule.compute_factor(epochs_done, train.epochs, accuracies)
    return train.lr * _compute_warmup_factor(train, epochs_done) * factor


def _compute_warmup_factor(train: Train, epochs_done: float) -> float:
    """Return the linear warm-up's factor. It is above 0 in the first step, which would otherwise train nothing."""
    if epochs_done >= train.warmup_epochs:
        return 1.0
    return max(epochs_done, 1e-3) / train.warmup_epochs

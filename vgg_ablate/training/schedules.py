"""Learning rate schedules. Ours, because a rate is a function of the recipe and of the validation accuracies so far.

torch's schedulers hold state, which a checkpoint would have to carry; tests compare the rates with theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vgg_ablate.config.training import CosineSchedule, OneCycleSchedule, PlateauSchedule, StepSchedule, Train


def compute_learning_rate(train: Train, epochs_done: float, accuracies: Sequence[float]) -> float:
    """Return the rate of the step after `epochs_done` epochs, a fraction inside an epoch.

    `accuracies`: the validation accuracy of each finished epoch, for the plateau schedule.
    """
    return (
        train.lr * _compute_warmup_factor(train, epochs_done) * _compute_schedule_factor(train, epochs_done, accuracies)
    )


def count_plateau_drops(schedule: PlateauSchedule, accuracies: Sequence[float]) -> int:
    """Return how often the rate has dropped: each time `patience` epochs bring no new best accuracy.

    The count of epochs starts again after every drop, as in torch's ReduceLROnPlateau.
    """
    best, epochs_without_best, drops = -math.inf, 0, 0
    for accuracy in accuracies:
        epochs_without_best = 0 if accuracy > best else epochs_without_best + 1
        best = max(best, accuracy)
        if epochs_without_best >= schedule.patience and drops < schedule.max_drops:
            drops, epochs_without_best = drops + 1, 0
    return drops


def _compute_warmup_factor(train: Train, epochs_done: float) -> float:
    """Return the linear warm-up's factor. It is above 0 in the first step, which would otherwise train nothing."""
    if epochs_done >= train.warmup_epochs:
        return 1.0
    return max(epochs_done, 1e-3) / train.warmup_epochs


def _compute_schedule_factor(train: Train, epochs_done: float, accuracies: Sequence[float]) -> float:
    progress = min(epochs_done / train.epochs, 1.0)
    match train.schedule:
        case CosineSchedule() as cosine:
            return cosine.min_factor + (1 - cosine.min_factor) * (1 + math.cos(math.pi * progress)) / 2
        case StepSchedule() as step:
            return step.factor ** math.floor(epochs_done / step.step_epochs)
        case OneCycleSchedule() as cycle:
            rises = cycle.rise_fraction and progress < cycle.rise_fraction
            return progress / cycle.rise_fraction if rises else (1 - progress) / (1 - cycle.rise_fraction)
        case PlateauSchedule() as plateau:
            return plateau.factor ** count_plateau_drops(plateau, accuracies)
        case _:
            return 1.0

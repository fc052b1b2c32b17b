"""Learning rates: of a step, from the recipe and from what validation has said so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vgg_ablate.config.training import CosineSchedule, OneCycleSchedule, PlateauSchedule, StepSchedule, Train


def compute_learning_rate(train: Train, done: float, accuracies: Sequence[float]) -> float:
    """The rate of the step after `done` epochs (a fraction inside an epoch), given validation accuracies so far."""
    return train.lr * _warmup(train, done) * _factor(train, done, accuracies)


def count_plateau_drops(schedule: PlateauSchedule, accuracies: Sequence[float]) -> int:
    """How often the rate has dropped: after `patience` epochs without a better accuracy, then counting afresh."""
    best, waited, drops = -math.inf, 0, 0
    for accuracy in accuracies:
        waited = 0 if accuracy > best else waited + 1
        best = max(best, accuracy)
        if waited >= schedule.patience and drops < schedule.max_drops:
            drops, waited = drops + 1, 0
    return drops


def _warmup(train: Train, done: float) -> float:
    """A linear rise; the first step has half a step's worth."""
    if done >= train.warmup_epochs:
        return 1.0
    return max(done, 1e-3) / train.warmup_epochs


def _factor(train: Train, done: float, accuracies: Sequence[float]) -> float:
    schedule = train.schedule
    part = min(done / train.epochs, 1.0)
    if isinstance(schedule, CosineSchedule):
        return schedule.min_factor + (1 - schedule.min_factor) * (1 + math.cos(math.pi * part)) / 2
    if isinstance(schedule, StepSchedule):
        return schedule.factor ** math.floor(done / schedule.step_epochs)
    if isinstance(schedule, OneCycleSchedule):
        rising = schedule.rise_fraction and part < schedule.rise_fraction
        return part / schedule.rise_fraction if rising else (1 - part) / (1 - schedule.rise_fraction)
    if isinstance(schedule, PlateauSchedule):
        return schedule.factor ** count_plateau_drops(schedule, accuracies)
    return 1.0

"""The registry of learning rate schedules. To add one, write its class and add it to SCHEDULES.

Ours and not torch's, because a rate is a function of the recipe and of the validation accuracies so far: torch's
schedulers hold state, which a checkpoint would have to carry. Tests compare the rates with those of torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from vgg_ablate.config.types import Count, Fraction, FrozenModel, OneOf, Positive


class BaseSchedule(FrozenModel):
    """A factor of the learning rate in the course of the training."""

    kind: str
    starts_low: ClassVar[bool] = False  # begins with a warm-up of its own

    def compute_factor(self, epochs_done: float, epochs: int, accuracies: Sequence[float]) -> float:
        """Return the factor of the learning rate after `epochs_done` of `epochs` epochs, a fraction inside an epoch.

        `accuracies` is the validation accuracy of each finished epoch.
        """
        raise NotImplementedError


class ConstantSchedule(BaseSchedule):
    """A constant learning rate."""

    kind: Literal["constant"]

    def compute_factor(self, epochs_done: float, epochs: int, accuracies: Sequence[float]) -> float:
        """Return 1."""
        return 1.0


class CosineSchedule(BaseSchedule):
    """Cosine decay to `min_factor` times the learning rate, updated every step."""

    kind: Literal["cosine"]
    min_factor: Fraction = 0.0
    """Learning rate at the end, as a fraction of `train.lr`. Example: 0.01"""

    def compute_factor(self, epochs_done: float, epochs: int, accuracies: Sequence[float]) -> float:
        """Return half a period of the cosine, from 1 to `min_factor`."""
        progress = min(epochs_done / epochs, 1.0)
        return self.min_factor + (1 - self.min_factor) * (1 + math.cos(math.pi * progress)) / 2


class StepSchedule(BaseSchedule):
    """Multiplication of the learning rate by `factor` every `step_epochs` epochs."""

    kind: Literal["step"]
    step_epochs: Count
    """Number of epochs between two steps. Unit: epochs. Example: 30"""
    factor: Positive = 0.1
    """Factor of the learning rate at each step. Example: 0.1"""

    def compute_factor(self, epochs_done: float, epochs: int, accuracies: Sequence[float]) -> float:
        """Return `factor` to the power of the steps so far."""
        return self.factor ** math.floor(epochs_done / self.step_epochs)


class OneCycleSchedule(BaseSchedule):
    """Linear increase over `rise_fraction` of the training, then linear decrease to 0."""

    kind: Literal["one_cycle"]
    rise_fraction: Fraction = 0.25
    """Fraction of the training during which the learning rate increases. Example: 0.25"""
    starts_low: ClassVar[bool] = True

    def compute_factor(self, epochs_done: float, epochs: int, accuracies: Sequence[float]) -> float:
        """Return the height of the triangle at this point of the training."""
        progress = min(epochs_done / epochs, 1.0)
        if self.rise_fraction and progress < self.rise_fraction:
            return progress / self.rise_fraction
        return (1 - progress) / (1 - self.rise_fraction)


class PlateauSchedule(BaseSchedule):
    """Multiplication by `factor` after `patience` epochs without better validation accuracy, at most `max_drops` times.

    A factor of 0.1 and 3 drops give the schedule of the paper (section 3.1).
    """

    kind: Literal["plateau"]
    factor: Positive = 0.1
    """Factor of the learning rate at each drop. Example: 0.1"""
    patience: Count = 5
    """Epochs without better validation accuracy before a drop. Unit: epochs. Example: 5"""
    max_drops: Count = 3
    """Largest number of drops. Unit: drops. Example: 3"""

    def compute_factor(self, epochs_done: float, epochs: int, accuracies: Sequence[float]) -> float:
        """Return `factor` to the power of the drops so far."""
        return self.factor ** self.count_drops(accuracies)

    def count_drops(self, accuracies: Sequence[float]) -> int:
        """Return how often the rate has dropped: each time `patience` epochs bring no new best accuracy.

        The count of epochs starts again after every drop, as in torch's ReduceLROnPlateau.
        """
        best, epochs_without_best, drops = -math.inf, 0, 0
        for accuracy in accuracies:
            epochs_without_best = 0 if accuracy > best else epochs_without_best + 1
            best = max(best, accuracy)
            if epochs_without_best >= self.patience and drops < self.max_drops:
                drops, epochs_without_best = drops + 1, 0
        return drops


SCHEDULES: list[type[BaseSchedule]] = [
    ConstantSchedule,
    CosineSchedule,
    StepSchedule,
    OneCycleSchedule,
    PlateauSchedule,
]
Schedule = Annotated[BaseSchedule, OneOf(SCHEDULES)]

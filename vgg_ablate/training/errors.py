"""How a training can end other than by finishing. The worker turns them into outcomes; they are no user's mistake."""

from __future__ import annotations


class TrainingError(Exception):
    """A training ended without a result."""


class DivergedError(TrainingError):
    """The loss was not a finite number."""

    def __init__(self, epoch: int, loss: float) -> None:
        super().__init__(f"loss {loss} in epoch {epoch}")
        self.epoch, self.loss = epoch, loss


class OutOfMemoryError(TrainingError):
    """The device cannot hold even one example at a time."""

    def __init__(self, epoch: int, device: str) -> None:
        super().__init__(f"{device}: out of memory in epoch {epoch} with micro-batches of 1")
        self.epoch = epoch

"""The errors that end a training without a result. The worker turns them into outcomes of a run."""

from __future__ import annotations


class TrainingError(Exception):
    """A training ended without a result. Not a VggAblateError: it is a finding, not a mistake of the user."""


class DivergedError(TrainingError):
    """The loss was not a finite number."""

    def __init__(self, epoch: int, loss: float) -> None:
        super().__init__(f"loss {loss} in epoch {epoch}")
        self.epoch = epoch
        self.loss = loss


class OutOfMemoryError(TrainingError):
    """The device cannot hold even one example at a time."""

    def __init__(self, epoch: int, device: str) -> None:
        super().__init__(f"{device}: out of memory in epoch {epoch} with micro-batches of 1")
        self.epoch = epoch

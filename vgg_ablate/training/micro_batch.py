"""Micro-batches: a batch in parts whose gradients add up to the batch's, in smaller parts where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vgg_ablate.training.errors import OutOfMemoryError

Backward = Callable[[Tensor, float], Tensor]  # from examples and their share of the batch to their mean loss


class MicroBatches:
    """The number of examples that pass through the net at once, halved for good where they do not fit."""

    def __init__(self, size: int, device: str) -> None:
        self.size = size
        self._requested_size = size
        self._device = device

    @property
    def is_halved(self) -> bool:
        """Whether memory ran out, so that batches go in smaller parts than the recipe's."""
        return self.size < self._requested_size

    def restore(self, size: int) -> None:
        """Continue with the size of an interrupted training, which may have run out of memory.

        The size changes rounding and batch norm's statistics: without this, the resumed training would differ.
        """
        self.size = min(self.size, size)

    def compute_loss(self, examples: Tensor, backward: Backward, discard: Callable[[], None], epoch: int) -> Tensor:
        """Return a batch's mean loss, with its gradients added up.

        `discard` drops the gradients of finished parts before the batch is repeated in smaller ones. Raises
        OutOfMemoryError where not even one example fits.
        """
        while True:
            try:
                return self._run_parts(examples, backward)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                cause = error
            # Outside the handler: its exception refers to the frames of the failed step, and thereby to its tensors.
            self._halve(epoch, cause)
            discard()

    def _run_parts(self, examples: Tensor, backward: Backward) -> Tensor:
        if self.size >= len(examples):
            return backward(examples, 1.0)
        loss = torch.zeros((), device=examples.device)
        for start in range(0, len(examples), self.size):
            part = examples[start : start + self.size]
            # The last part may be smaller. Weighted by size, the gradients add up to those of the whole batch.
            share = len(part) / len(examples)
            loss += share * backward(part, share)
        return loss

    def _halve(self, epoch: int, cause: BaseException) -> None:
        if self.size == 1:
            raise OutOfMemoryError(epoch, self._device) from cause
        # Rounded up: a batch of odd size then goes in two parts, and not in three.
        self.size = (self.size + 1) // 2
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()  # cached blocks of the old size would fragment what is free


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is one of memory: on the CPU torch raises a RuntimeError that names its allocator."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)

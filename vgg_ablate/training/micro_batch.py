"""Micro-batches: a batch in parts whose gradients add up to the batch's; smaller parts where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vgg_ablate.training.errors import OutOfMemoryError

Backward = Callable[[Tensor, float], Tensor]  # examples, and what part of the batch they are -> their mean loss


class MicroBatches:
    """How many examples go through the net at once; halved for good where they do not fit."""

    def __init__(self, size: int, device: str) -> None:
        self.size, self.asked, self._device = size, size, device

    @property
    def halved(self) -> bool:
        """Whether memory ran out."""
        return self.size < self.asked

    def go_on(self, size: int) -> None:
        """As an interrupted training did: where memory ran out for it, parts stay as small as they were."""
        self.size = min(self.size, size)

    def loss(self, examples: Tensor, backward: Backward, discard: Callable[[], None], epoch: int) -> Tensor:
        """Mean loss of a batch, its gradients added up. `discard` drops gradients of parts before the next try.

        Raises OutOfMemory where not even one example fits.
        """
        while True:
            try:
                return self._in_parts(examples, backward)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                failed = error
            self._halve(epoch, failed)
            discard()

    def _in_parts(self, examples: Tensor, backward: Backward) -> Tensor:
        if self.size >= len(examples):
            return backward(examples, 1.0)
        total = torch.zeros((), device=examples.device)
        for at in range(0, len(examples), self.size):
            part = examples[at : at + self.size]
            share = len(part) / len(examples)
            total += share * backward(part, share)
        return total

    def _halve(self, epoch: int, error: BaseException) -> None:
        if self.size == 1:
            raise OutOfMemoryError(epoch, self._device) from error
        self.size = (self.size + 1) // 2
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()


def _is_out_of_memory(error: BaseException) -> bool:
    """torch has a type for the GPU's memory; the CPU's running out is a RuntimeError with these words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)

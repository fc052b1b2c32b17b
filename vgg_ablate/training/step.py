"""One training step: from examples to images, loss, gradients and update. On a GPU all of it is one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from vgg_ablate.config.training import Train
from vgg_ablate.data.augment import Augmenter
from vgg_ablate.training.cuda_graph import record_step
from vgg_ablate.training.device import Precision
from vgg_ablate.training.fusion import FusedForward
from vgg_ablate.training.micro_batch import MicroBatches


class BatchMemory(NamedTuple):
    """The tensors that a step reads and writes besides the net. They stay where they are in memory."""

    examples: Tensor  # int64, batch size: the augmenter's indices
    labels: Tensor  # int64, for these indices
    total_loss: Tensor  # float32, a scalar: of the epoch's steps so far


class TrainStep:
    """The update of a net, batch by batch, without waiting for the device.

    Contract for the CUDA graph: everything a step reads or writes stays where it is in memory, and no step depends on a
    value that is only on the device.
    """

    def __init__(
        self,
        net: nn.Module,
        forward: FusedForward,
        optimizer: Optimizer,
        augmenter: Augmenter,
        labels: Tensor,
        batch: BatchMemory,
        micro_batches: MicroBatches,
        train: Train,
        precision: Precision,
    ) -> None:
        self.micro_batches = micro_batches
        self._net = net
        self._forward = forward
        self._optimizer = optimizer
        self._augmenter = augmenter
        self._labels = labels
        self._examples = batch.examples
        self._batch_labels = batch.labels
        self._total_loss = batch.total_loss
        self._train = train
        self._precision = precision
        self._device = labels.device
        self._epoch = 0
        self._replay: Callable[[], None] | None = None  # of the CUDA graph, recorded at the first step

    @classmethod
    def prepare(
        cls,
        net: nn.Module,
        optimizer: Optimizer,
        augmenter: Augmenter,
        labels: Tensor,
        train: Train,
        precision: Precision,
        batch_size: int,
    ) -> TrainStep:
        """Return the step of a net with its optimiser, whose learning rate becomes a tensor on a GPU.

        `labels` (int64, on the device) are those of the whole training split.
        """
        device = labels.device
        if device.type == "cuda":  # a graph reads the learning rate from memory; a float would be recorded
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(float(group["lr"]), device=device)
        examples = torch.zeros(batch_size, dtype=torch.int64, device=device)
        batch_labels = torch.zeros_like(examples) if augmenter.is_streamed else labels
        batch = BatchMemory(examples, batch_labels, torch.zeros((), device=device))
        micro_batches = MicroBatches(min(train.micro_batch or batch_size, batch_size), device.type)
        forward = FusedForward.from_net(net)
        return cls(net, forward, optimizer, augmenter, labels, batch, micro_batches, train, precision)

    def begin_epoch(self, epoch: int, order: Tensor | None = None) -> None:
        """Draw the epoch's augmentation and reset the mean loss. `order`: int64, the epoch's batches, one per row."""
        self._epoch = epoch
        self._augmenter.begin_epoch(epoch, order)
        self._total_loss.zero_()

    def update(self, examples: Tensor, learning_rate: float) -> None:
        """Update the weights with these examples (int64 indices, a whole batch)."""
        # Filled and not assigned on a GPU: the recorded graph reads the rate from this memory.
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(learning_rate)
            else:
                group["lr"] = learning_rate
        self._examples.copy_(self._augmenter.load_examples(examples))
        if self._augmenter.is_streamed:
            self._batch_labels.copy_(self._labels[examples])
        if self._device.type != "cuda":
            # Called and not kept: an attribute with a method of its own object is a cycle, by which the images and the
            # net of every run stayed in memory until Python searched for cycles, which it hardly ever does.
            self.run_eagerly()
            return
        if self._replay is None:
            self._replay = record_step(self.run_eagerly, self.list_state, self._device)
        self._replay()

    def compute_mean_loss(self, steps: int) -> float:
        """Return the mean loss of the epoch's `steps` steps. The only place that waits for the device."""
        return (self._total_loss / steps).item()

    def list_state(self) -> list[Tensor]:
        """Return every tensor that a step changes."""
        moments = [
            value for state in self._optimizer.state.values() for value in state.values() if torch.is_tensor(value)
        ]
        return [*self._net.parameters(), *self._net.buffers(), *moments, self._total_loss]

    def run_eagerly(self) -> None:
        """Run the step kernel by kernel, on the examples that `update` has set."""
        self._discard_gradients()
        loss = self.micro_batches.compute_loss(self._examples, self._backward, self._discard_gradients, self._epoch)
        if self._train.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self._net.parameters(), self._train.clip_grad_norm)
        self._optimizer.step()
        # Added up on the device: to read the loss of a step is to wait for the step.
        self._total_loss += loss

    def _backward(self, examples: Tensor, share: float) -> Tensor:
        """Add the gradients of these examples, `share` of a batch, and return their mean loss."""
        images, labels = self._augmenter.make_batch(examples), self._batch_labels[examples]
        # Weights stay in fp32 and bf16 has the exponent range of fp32, so no loss scaling is needed.
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            logits = self._forward(images)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self._train.label_smoothing)
        # torch computes all gradients: a weight gradient by matrix products was slower (benchmarks/loop.md), and a
        # kernel in C would need a compiler on every machine.
        (loss * share if share < 1 else loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _discard_gradients(self) -> None:
        # To None rather than 0: the first backward pass then writes the gradients instead of adding to them.
        self._optimizer.zero_grad(set_to_none=True)

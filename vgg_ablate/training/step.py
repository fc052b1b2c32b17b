"""One update of the weights: examples -> images -> loss -> gradients -> step. On a GPU the whole of it is one graph."""

from __future__ import annotations

from collections.abc import Callable

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


class TrainStep:
    """Updates a net batch by batch, without waiting for the device."""

    def __init__(
        self,
        net: nn.Module,
        optimiser: Optimizer,
        augmenter: Augmenter,
        labels: Tensor,
        train: Train,
        precision: Precision,
        batch_size: int,
    ) -> None:
        """`labels`: int64, of the whole training split, resident."""
        self.micro = MicroBatches(min(train.micro_batch or batch_size, batch_size), labels.device.type)
        self._net, self._swift, self._optimiser = net, FusedForward(net), optimiser
        self._augmenter, self._labels, self._train, self._precision = augmenter, labels, train, precision
        self._device = labels.device
        self._examples = torch.zeros(batch_size, dtype=torch.int64, device=self._device)  # as the augmenter knows them
        self._known = torch.zeros_like(self._examples) if augmenter.streamed else labels  # labels, as it knows them
        self._total = torch.zeros((), device=self._device)  # of the losses since the epoch began
        self._epoch = 0
        self._replay: Callable[[], None] | None = None
        if self._device.type == "cuda":  # a graph reads its rate from memory
            for group in optimiser.param_groups:
                group["lr"] = torch.tensor(float(group["lr"]), device=self._device)

    def begin(self, epoch: int, order: Tensor | None = None) -> None:
        """Draw the epoch's augmentation; the losses start at 0. `order`: the epoch's batches, one a row."""
        self._epoch = epoch
        self._augmenter.begin(epoch, order)
        self._total.zero_()

    def update(self, examples: Tensor, rate: float) -> None:
        """One step with these examples (int64 indices, a whole batch)."""
        for group in self._optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._examples.copy_(self._augmenter.load(examples))
        if self._augmenter.streamed:
            self._known.copy_(self._labels[examples])
        if self._replay is None:
            self._replay = record_step(self.whole_step, self.state, self._device)
        self._replay()

    def mean_loss(self, steps: int) -> float:
        """Of the epoch so far; the one place that waits for the device."""
        return (self._total / steps).item()

    def state(self) -> list[Tensor]:
        """Everything that a step changes."""
        momenta = [
            value for kept in self._optimiser.state.values() for value in kept.values() if torch.is_tensor(value)
        ]
        return [*self._net.parameters(), *self._net.buffers(), *momenta, self._total]

    def whole_step(self) -> None:
        self._discard()
        loss = self.micro.loss(self._examples, self._backward, self._discard, self._epoch)
        if self._train.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self._net.parameters(), self._train.clip_grad_norm)
        self._optimiser.step()
        self._total += loss

    def _backward(self, examples: Tensor, share: float) -> Tensor:
        images, labels = self._augmenter.batch(examples), self._known[examples]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            scores = self._swift(images)
        loss = functional.cross_entropy(scores.float(), labels, label_smoothing=self._train.label_smoothing)
        (loss * share if share < 1 else loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _discard(self) -> None:
        self._optimiser.zero_grad(set_to_none=True)

"""The training of one run, as a generator of its epochs. Decisions about it live outside."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from vgg_ablate.net.model import build
from vgg_ablate.records import Epoch, Run, Tested
from vgg_ablate.train import checkpoint, device
from vgg_ablate.train.augment import Augmenter, Normaliser
from vgg_ablate.train.checkpoint import Checkpoint
from vgg_ablate.train.data import splits
from vgg_ablate.train.evaluate import Scored, scored
from vgg_ablate.train.failures import Diverged
from vgg_ablate.train.optimisers import optimiser
from vgg_ablate.train.schedules import learning_rate
from vgg_ablate.train.settings import Settings
from vgg_ablate.train.streams import Stream, derived, generator, numbers
from vgg_ablate.train.swift import Swift


def train(run: Run, settings: Settings) -> Generator[Epoch, None, Tested]:
    """Yield every epoch, those of a checkpoint too; return what the test set said.

    Raises Diverged, OutOfMemory; DataMissing, DeviceMissing, StorageFailed.
    """
    training = _Training(run, settings)
    yield from training.epochs
    while len(training.epochs) < run.train.epochs:
        yield training.epoch()
    return training.tested()


class _Training:
    """The state of one training between two epochs."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self.run, self.settings = run, settings
        self.device = device.device(settings.device)
        self.precision = device.precision(run, settings)
        self.splits = splits(run.data, run.fingerprint, run.seed, self.device)
        self.normalise = Normaliser(self.splits.mean, self.splits.std)
        size = run.data.shape.image_size
        assert size is not None  # Data checks it
        self.augmenter = Augmenter(run.data.augment, self.splits.train.images, size, self.normalise, run.seed)
        with torch.random.fork_rng(devices=[]):  # modules draw when they are made, before `build` draws for good
            net = build(run.arch, generator(run.seed, Stream.INIT))
        self.net: nn.Module = net.to(self.device).to(memory_format=torch.channels_last)
        self.optimiser = optimiser(run.train, self.net)
        self.epochs: list[Epoch] = []
        self.batch_size = min(run.train.batch_size, len(self.splits.train))
        self._resume()
        self.swift = Swift(self.net)

    def epoch(self) -> Epoch:
        """Train one epoch, validate, and keep a checkpoint where one is due."""
        number = len(self.epochs) + 1
        with device.threads(self.settings.threads):
            start = time.perf_counter()
            loss, rate, examples = self._pass(number)
            seconds = time.perf_counter() - start
            if not math.isfinite(loss):
                raise Diverged(number, loss)
            validation = self._scored("validation")
        self.epochs.append(
            Epoch(
                epoch=number,
                train_loss=loss,
                val_loss=validation.loss,
                val_accuracy=validation.accuracy(),
                lr=rate,
                seconds=seconds,
                images_per_second=examples / seconds,
            )
        )
        self._keep()
        return self.epochs[-1]

    def tested(self) -> Tested:
        """Read the test set, once."""
        with device.threads(self.settings.threads):
            test = self._scored("test")
        return Tested(
            val_accuracy=self.epochs[-1].val_accuracy,
            test_accuracy=test.accuracy(),
            test_top5_accuracy=test.accuracy(5) if test.logits.shape[1] > 5 else None,
            correct=test.correct_bits(),
            details={"test_loss": test.loss, "test_examples": len(test.labels), "confusion": test.confusion()},
        )

    def _pass(self, number: int) -> tuple[float, float, int]:
        """One pass over the training split: mean loss, the last rate, examples seen. No wait for the device inside."""
        self.net.train()
        self.augmenter.begin(number)
        order = self._order(number)
        total = torch.zeros((), device=self.device)
        accuracies = [epoch.val_accuracy for epoch in self.epochs]
        rate = 0.0
        with self._noise(number):
            for step, examples in enumerate(order):
                rate = learning_rate(self.run.train, number - 1 + step / len(order), accuracies)
                total += self._step(examples, rate)
        return (total / len(order)).item(), rate, order.numel()

    def _order(self, number: int) -> Tensor:
        """int64, steps x batch: a new order of the training split; what fills no batch is left out this epoch."""
        shuffled = numbers(self.run.seed, Stream.ORDER, number).permutation(len(self.splits.train))
        steps = len(shuffled) // self.batch_size
        whole = torch.from_numpy(shuffled[: steps * self.batch_size])
        return whole.reshape(steps, self.batch_size).to(self.device)

    def _step(self, examples: Tensor, rate: float) -> Tensor:
        """One update; the loss, still on the device."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        images = self.augmenter.batch(examples)
        labels = self.splits.train.labels[examples]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            scores = self.swift(images)
        loss = functional.cross_entropy(scores.float(), labels, label_smoothing=self.run.train.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.run.train.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.run.train.clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.detach()

    @contextmanager
    def _noise(self, number: int) -> Iterator[None]:
        """Dropout draws from torch's global generator: seeded for the epoch, given back as it was."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derived(self.run.seed, Stream.NOISE, number))
            yield

    def _scored(self, name: str) -> Scored:
        return scored(self.net, getattr(self.splits, name), self.normalise, self.precision)

    def _resume(self) -> None:
        if self.settings.checkpoint is None:
            return
        found = checkpoint.read(self.settings.checkpoint, self.run.key, self._environment())
        if found is not None:
            self.net.load_state_dict(found.net)
            self.optimiser.load_state_dict(found.optimiser)
            self.epochs = list(found.epochs)

    def _keep(self) -> None:
        number = len(self.epochs)
        if self.settings.checkpoint is None or number % self.settings.checkpoint_every:
            return
        state = (self.net.state_dict(), self.optimiser.state_dict())
        found = Checkpoint(self.run.key, tuple(self.epochs), *state, self._environment())
        checkpoint.write(self.settings.checkpoint, found)

    def _environment(self) -> dict[str, str | int]:
        """What the result depends on beside the run."""
        return {"device": self.device.type, "threads": self.settings.threads, "precision": self.precision}

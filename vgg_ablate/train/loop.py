"""The training of one run, as a generator of its epochs. Decisions about it live outside."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vgg_ablate.net import interop
from vgg_ablate.net.model import Vgg, build
from vgg_ablate.records import Epoch, Run, Tested
from vgg_ablate.spec.recipe import Evaluate
from vgg_ablate.train import checkpoint, device, fitting
from vgg_ablate.train.allocation import keep_freed_memory
from vgg_ablate.train.augment import Augmenter, Normaliser
from vgg_ablate.train.checkpoint import Checkpoint
from vgg_ablate.train.data import Split, splits
from vgg_ablate.train.evaluate import Scored, scored
from vgg_ablate.train.failures import Diverged
from vgg_ablate.train.optimisers import optimiser
from vgg_ablate.train.pretraining import copied, pretrained_run
from vgg_ablate.train.schedules import learning_rate
from vgg_ablate.train.settings import Settings
from vgg_ablate.train.step import Updater
from vgg_ablate.train.streams import Stream, derived, generator, numbers
from vgg_ablate.train.views import validation

_MOST_CLASSES = 100  # of which a record keeps the whole confusion


def train(run: Run, settings: Settings) -> Generator[Epoch, None, Tested]:
    """Yield every epoch, those of a checkpoint too; return what the test set said.

    Raises Diverged, OutOfMemory; SpecError, DataMissing, DeviceMissing, StorageFailed.
    """
    keep_freed_memory()
    training = _Training(run, settings)
    yield from training.epochs
    while len(training.epochs) < run.train.epochs:
        yield training.epoch()
    return training.tested()


class _Training:
    """The state of one training between two epochs."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self.run, self.settings = run, settings
        self.size = fitting.image_size(run)
        self.device = device.device(settings.device)
        self.precision = device.precision(run, settings)
        self.splits = splits(run.data, run.fingerprint, run.seed, self.device, resident=settings.resident)
        self.normalise = Normaliser(self.splits.mean, self.splits.std)
        self.net = self._built()
        self.optimiser = optimiser(run.train, self.net)
        self.epochs: list[Epoch] = []
        self.pretrained: list[str] = []  # names of the layers that came from another net
        found = self._resume()
        self.kept = len(self.epochs)  # epochs that a checkpoint holds
        if run.train.pretrain and not self.epochs:
            self._pretrain()
        images, labels = self.splits.train
        augmenter = Augmenter(run.data.augment, images, self.size, self.normalise, run.seed)
        self.batch_size = min(run.train.batch_size, len(labels))
        self.updater = Updater(self.net, self.optimiser, augmenter, labels, run.train, self.precision, self.batch_size)
        if found is not None:
            self.updater.micro.go_on(found.micro_batch)

    def epoch(self) -> Epoch:
        """Train one epoch, validate, and keep a checkpoint where one is due."""
        number = len(self.epochs) + 1
        with device.threads(self.settings.threads):
            start = time.perf_counter()
            loss, rate, examples = self._pass(number)
            seconds = time.perf_counter() - start
            if not math.isfinite(loss):
                raise Diverged(number, loss)
            seen = self._scored(self.splits.validation, validation(self.run.data.evaluate))
        self.epochs.append(
            Epoch(
                epoch=number,
                train_loss=loss,
                val_loss=seen.loss,
                val_accuracy=seen.accuracy(),
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
            test = self._scored(self.splits.test, self.run.data.evaluate)
        if self.settings.weights is not None:
            interop.write(self.settings.weights, self.run.arch, self.net.state_dict(), self.run.model_dump_json())
        return Tested(
            val_accuracy=self.epochs[-1].val_accuracy,
            test_accuracy=test.accuracy(),
            test_top5_accuracy=test.accuracy(5) if test.logits.shape[1] > 5 else None,
            correct=test.correct_bits(),
            details=self._details(test),
        )

    def _built(self) -> Vgg:
        with torch.random.fork_rng(devices=[]):  # modules draw when they are made, before `build` draws for good
            net = build(self.run.arch, generator(self.run.seed, Stream.INIT))
        return net.to(self.device).to(memory_format=torch.channels_last)

    def _pass(self, number: int) -> tuple[float, float, int]:
        """One pass over the training split: mean loss, the last rate, examples seen. No wait for the device inside."""
        self.net.train()
        order = self._order(number)
        self.updater.begin(number, order)
        accuracies = [epoch.val_accuracy for epoch in self.epochs]
        rate = 0.0
        with self._noise(number):
            for step, examples in enumerate(order):
                rate = learning_rate(self.run.train, number - 1 + step / len(order), accuracies)
                self.updater.update(examples, rate)
        return self.updater.mean_loss(len(order)), rate, order.numel()

    def _order(self, number: int) -> Tensor:
        """int64, steps x batch: a new order of the training split; what fills no batch is left out this epoch."""
        shuffled = numbers(self.run.seed, Stream.ORDER, number).permutation(len(self.splits.train))
        steps = len(shuffled) // self.batch_size
        whole = torch.from_numpy(shuffled[: steps * self.batch_size])
        return whole.reshape(steps, self.batch_size).to(self.device)

    @contextmanager
    def _noise(self, number: int) -> Iterator[None]:
        """Dropout draws from torch's global generator: seeded for the epoch, given back as it was."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derived(self.run.seed, Stream.NOISE, number))
            yield

    def _scored(self, split: Split, how: Evaluate) -> Scored:
        return scored(self.net, split, self.normalise, self.precision, self.size, how)

    def _details(self, test: Scored) -> dict[str, Any]:
        found: dict[str, Any] = {
            "test_loss": test.loss,
            "test_examples": len(test.labels),
            "class_accuracy": test.class_accuracy(),
        }
        if test.logits.shape[1] <= _MOST_CLASSES:
            found["confusion"] = test.confusion()
        if self.splits.skipped:
            found["skipped_files"] = self.splits.skipped
        if self.pretrained:
            found["pretrained"] = self.pretrained
        if self.updater.micro.halved:
            found["micro_batch"] = self.updater.micro.size
            norm = "; batch norm's statistics are of micro-batches" if self.run.arch.norm.kind == "batch" else ""
            found["flags"] = [f"out of memory: batches of {self.batch_size} went in parts{norm}"]
        return found

    def _pretrain(self) -> None:
        """Train the shallower net, and start from its layers."""
        assert self.run.train.pretrain is not None
        before = pretrained_run(self.run)
        shallow = _Training(before, replace(self.settings, checkpoint=None, weights=None))
        while len(shallow.epochs) < before.train.epochs:
            shallow.epoch()
        convs = self.run.train.pretrain.convs
        self.pretrained = copied(shallow.net, before.arch, self.net, self.run.arch, convs)

    def _resume(self) -> Checkpoint | None:
        if self.settings.checkpoint is None:
            return None
        found = checkpoint.read(self.settings.checkpoint, self.run.key, self._environment())
        if found is not None:
            self.net.load_state_dict(found.net)
            self.optimiser.load_state_dict(found.optimiser)
            self.epochs, self.pretrained = list(found.epochs), found.pretrained
        return found

    def _keep(self) -> None:
        unkept = self.epochs[self.kept :]
        seconds = sum(epoch.seconds for epoch in unkept)
        due = len(unkept) >= self.settings.checkpoint_every or seconds >= self.settings.checkpoint_seconds
        if self.settings.checkpoint is None or not due:
            return
        self.kept = len(self.epochs)
        state = (self.net.state_dict(), self.optimiser.state_dict(), self.updater.micro.size)
        found = Checkpoint(self.run.key, tuple(self.epochs), self.pretrained, *state, self._environment())
        checkpoint.write(self.settings.checkpoint, found)

    def _environment(self) -> dict[str, str | int]:
        """What the result depends on beside the run."""
        return {"device": self.device.type, "threads": self.settings.threads, "precision": self.precision}

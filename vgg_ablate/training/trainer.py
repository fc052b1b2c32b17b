"""One net in training, between two epochs. When epochs are made, and what they decide, is left to the loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vgg_ablate.config.training import Evaluate
from vgg_ablate.data import image_size
from vgg_ablate.data.augment import Augmenter, Normalizer
from vgg_ablate.data.rng import (
    RandomStream,
    choose_training_seed,
    derive_torch_seed,
    make_numpy_generator,
    make_torch_generator,
)
from vgg_ablate.data.splits import Split, Splits
from vgg_ablate.data.views import get_validation_view
from vgg_ablate.models.vgg import Vgg, build_model
from vgg_ablate.records import Epoch, Run
from vgg_ablate.training import device
from vgg_ablate.training.checkpoint import NetState
from vgg_ablate.training.errors import DivergedError
from vgg_ablate.training.evaluate import Predictions, evaluate_split
from vgg_ablate.training.optimizers import build_optimizer
from vgg_ablate.training.pretrain import build_pretraining_run, copy_layers
from vgg_ablate.training.schedules import compute_learning_rate
from vgg_ablate.training.settings import TrainingSettings
from vgg_ablate.training.step import TrainStep

MAX_TRAIN_ERROR_EXAMPLES = (
    5_000  # that the training error is measured on, at the most: its standard error is below 0.7 points
)


class Trainer:
    """A net, its optimiser, its draws, and the epochs that it has behind it."""

    def __init__(self, run: Run, settings: TrainingSettings, splits: Splits, kept: NetState | None = None) -> None:
        """`run` has one net. It goes on from `kept`; without, it starts, from another net's layers where that is asked.

        Raises Diverged, OutOfMemory, of the net that is trained first; SpecError.
        """
        self.run, self.settings, self.splits = run, settings, splits
        self.size = image_size.check_image_size(run)
        self.device = splits.train.labels.device
        self.precision = device.choose_precision(run, settings)
        self.seed = choose_training_seed(run)
        self.normalise = Normalizer(splits.mean, splits.std)
        self.net = self._built()
        self.optimiser = build_optimizer(run.train, self.net)
        self.epochs: list[Epoch] = []
        self.pretrained: list[str] = []  # names of the layers that came from another net
        if kept is not None:
            self.net.load_state_dict(kept.net)
            self.optimiser.load_state_dict(kept.optimiser)
            self.epochs, self.pretrained = list(kept.epochs), kept.pretrained
        elif run.train.pretrain:
            self._pretrain()
        images, labels = splits.train
        augmenter = Augmenter(run.data.augment, images, self.size, self.normalise, self.seed)
        self.batch_size = min(run.train.batch_size, len(labels))
        self.updater = TrainStep(
            self.net, self.optimiser, augmenter, labels, run.train, self.precision, self.batch_size
        )
        if kept is not None:
            self.updater.micro.go_on(kept.micro_batch)

    def epoch(self) -> Predictions:
        """Train one epoch; the validation split, scored. Raises Diverged, OutOfMemory."""
        number = len(self.epochs) + 1
        with device.use_threads(self.settings.threads):
            start, cpu_start = time.perf_counter(), time.process_time()
            loss, rate, examples = self._pass(number)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            _finite(loss, number)
            seen = self._validated()
            _finite(seen.loss, number)  # the epoch's last step may be the one too many
        self.epochs.append(
            Epoch(
                epoch=number,
                train_loss=loss,
                val_loss=seen.loss,
                val_accuracy=seen.accuracy(),
                lr=rate,
                seconds=seconds,
                images_per_second=examples / seconds,
                cpu_seconds=cpu_seconds,
                val_examples=len(seen.labels),
            )
        )
        return seen

    def validated(self) -> Predictions:
        """The validation split, scored as after an epoch."""
        with device.use_threads(self.settings.threads):
            return self._validated()

    def tested(self, split: Split, how: Evaluate) -> Predictions:
        """The test split, scored, shown as `how` says."""
        with device.use_threads(self.settings.threads):
            return self._scored(split, how)

    def score_training(self) -> Predictions:
        """Score the first TRAIN_EXAMPLES of the training split, shown as validation is.

        They are the same for all variants of a seed: the split comes from the seed, and no epoch's order matters.
        """
        with device.use_threads(self.settings.threads):
            subset = self.splits.train.first(MAX_TRAIN_ERROR_EXAMPLES)
            return self._scored(subset, get_validation_view(self.run.data.augment))

    def kept(self) -> NetState:
        """What a checkpoint holds of it."""
        state = (self.net.state_dict(), self.optimiser.state_dict(), self.updater.micro.size)
        return NetState(tuple(self.epochs), self.pretrained, *state)

    @property
    def flags(self) -> list[str]:
        """Sentences on what went otherwise than was asked."""
        if not self.updater.micro.halved:
            return []
        norm = "; batch norm's statistics are of micro-batches" if self.run.arch.norm.kind == "batch" else ""
        return [f"out of memory: batches of {self.batch_size} went in parts{norm}"]

    def _built(self) -> Vgg:
        with torch.random.fork_rng(devices=[]):  # modules draw when they are made, before `build` draws for good
            net = build_model(self.run.arch, make_torch_generator(self.seed, RandomStream.INIT))
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
                rate = compute_learning_rate(self.run.train, number - 1 + step / len(order), accuracies)
                self.updater.update(examples, rate)
        return self.updater.mean_loss(len(order)), rate, order.numel()

    def _order(self, number: int) -> Tensor:
        """int64, steps x batch: a new order of the training split; what fills no batch is left out this epoch."""
        shuffled = make_numpy_generator(self.seed, RandomStream.ORDER, number).permutation(len(self.splits.train))
        steps = len(shuffled) // self.batch_size
        whole = torch.from_numpy(shuffled[: steps * self.batch_size])
        return whole.reshape(steps, self.batch_size).to(self.device)

    @contextmanager
    def _noise(self, number: int) -> Iterator[None]:
        """Dropout draws from torch's global generator: seeded for the epoch, given back as it was."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derive_torch_seed(self.seed, RandomStream.NOISE, number))
            yield

    def _validated(self) -> Predictions:
        return self._scored(self.splits.validation, get_validation_view(self.run.data.augment))

    def _scored(self, split: Split, how: Evaluate) -> Predictions:
        return evaluate_split(self.net, split, self.normalise, self.precision, self.size, how)

    def _pretrain(self) -> None:
        """Train the shallower net, and start from its layers."""
        assert self.run.train.pretrain is not None
        before = build_pretraining_run(self.run)
        shallow = Trainer(before, self.settings, self.splits)
        while len(shallow.epochs) < before.train.epochs:
            shallow.epoch()
        convs = self.run.train.pretrain.convs
        self.pretrained = copy_layers(shallow.net, before.arch, self.net, self.run.arch, convs)


def _finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise DivergedError(epoch, loss)

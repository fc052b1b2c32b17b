"""One net in training. It trains and evaluates; when it does so is decided by the loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from vgg_ablate.config.training import Evaluate
from vgg_ablate.data.augment import Augmenter, Normalizer
from vgg_ablate.data.rng import (
    RandomStream,
    choose_training_seed,
    derive_torch_seed,
    make_numpy_generator,
    make_torch_generator,
)
from vgg_ablate.data.splits import Split, Splits, check_image_size
from vgg_ablate.data.views import get_validation_view
from vgg_ablate.models.vgg import Vgg, build_model
from vgg_ablate.records import Epoch, Run
from vgg_ablate.training.checkpoint import NetState
from vgg_ablate.training.device import Precision, choose_precision, use_threads
from vgg_ablate.training.errors import DivergedError
from vgg_ablate.training.evaluate import Predictions, evaluate_split
from vgg_ablate.training.optimizers import build_optimizer
from vgg_ablate.training.pretrain import build_pretraining_run, copy_layers
from vgg_ablate.training.schedules import compute_learning_rate
from vgg_ablate.training.settings import TrainingSettings
from vgg_ablate.training.step import TrainStep

MAX_TRAIN_ERROR_EXAMPLES = 5_000  # for the training error: its standard error is then below 0.7 points


@dataclass(eq=False, kw_only=True)
class Trainer:
    """A net with its optimiser, its random streams and the epochs that it has been trained for."""

    run: Run
    settings: TrainingSettings
    splits: Splits
    net: Vgg
    optimizer: Optimizer
    step: TrainStep
    normalize: Normalizer
    size: int  # side of the images, in pixels
    batch_size: int  # of the recipe, or the whole training split where that is smaller
    precision: Precision
    seed: int  # of every random stream but the split's
    epochs: list[Epoch]
    pretrained: list[str]  # names of the layers that were copied from another net

    @classmethod
    def start(cls, run: Run, settings: TrainingSettings, splits: Splits, state: NetState | None = None) -> Trainer:
        """Continue a run of one net from `state`; without it start, pre-initialised where the recipe has `pretrain`.

        Raises SpecError, and DivergedError or OutOfMemoryError of the net that is trained for the pre-initialisation.
        """
        size, precision, seed = check_image_size(run), choose_precision(run, settings), choose_training_seed(run)
        images, labels = splits.train
        net = _build_net(run, seed, labels.device)
        optimizer = build_optimizer(run.train, net)
        pretrained: list[str] = []
        if state is not None:
            pretrained = state.pretrained
            net.load_state_dict(state.net)
            optimizer.load_state_dict(state.optimiser)
        elif run.train.pretrain:
            pretrained = _pretrain(net, run, settings, splits)
        # The step comes last: it looks for zero biases, and on a GPU turns the optimiser's rates into tensors.
        normalize = Normalizer(splits.mean, splits.std)
        augmenter = Augmenter.prepare(run.data.augment, images, size, normalize, seed)
        batch_size = min(run.train.batch_size, len(labels))
        step = TrainStep.prepare(net, optimizer, augmenter, labels, run.train, precision, batch_size)
        if state is not None:
            step.micro_batches.restore(state.micro_batch)
        return cls(
            run=run,
            settings=settings,
            splits=splits,
            net=net,
            optimizer=optimizer,
            step=step,
            normalize=normalize,
            size=size,
            batch_size=batch_size,
            precision=precision,
            seed=seed,
            epochs=[] if state is None else list(state.epochs),
            pretrained=pretrained,
        )

    def run_epoch(self) -> Predictions:
        """Train for one epoch and return the validation predictions. Raises DivergedError, OutOfMemoryError."""
        number = len(self.epochs) + 1
        with use_threads(self.settings.threads):
            start, cpu_start = time.perf_counter(), time.process_time()
            loss, learning_rate, examples = self._train_epoch(number)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            _check_finite(loss, number)
            validation = self._evaluate_validation()  # not part of the epoch's seconds
            _check_finite(validation.loss, number)  # the last step may have spoiled the net after a finite loss
        self.epochs.append(
            Epoch(
                epoch=number,
                train_loss=loss,
                val_loss=validation.loss,
                val_accuracy=validation.compute_accuracy(),
                lr=learning_rate,
                seconds=seconds,
                images_per_second=examples / seconds,
                cpu_seconds=cpu_seconds,
                val_examples=len(validation.labels),
            )
        )
        return validation

    def evaluate_validation(self) -> Predictions:
        """Evaluate the validation split as after an epoch."""
        with use_threads(self.settings.threads):
            return self._evaluate_validation()

    def evaluate(self, split: Split, evaluate: Evaluate) -> Predictions:
        """Evaluate a split by the views of `evaluate`."""
        with use_threads(self.settings.threads):
            return self._evaluate_split(split, evaluate)

    def evaluate_training(self) -> Predictions:
        """Evaluate the first MAX_TRAIN_ERROR_EXAMPLES of the training split, shown as validation images are.

        They are the same for all variants of a seed: the split comes from the seed, before any epoch's order.
        """
        subset = self.splits.train.select_first(MAX_TRAIN_ERROR_EXAMPLES)
        return self.evaluate(subset, get_validation_view(self.run.data.augment))

    def get_state(self) -> NetState:
        """Return what a checkpoint holds of this net."""
        micro_batch = self.step.micro_batches.size
        net, optimizer = self.net.state_dict(), self.optimizer.state_dict()
        return NetState(tuple(self.epochs), self.pretrained, net, optimizer, micro_batch)

    @property
    def flags(self) -> list[str]:
        """Sentences for the record on how the training departed from the recipe."""
        if not self.step.micro_batches.is_halved:
            return []
        norm = "; batch norm's statistics are of micro-batches" if self.run.arch.norm.kind == "batch" else ""
        return [f"out of memory: batches of {self.batch_size} went in parts{norm}"]

    def _train_epoch(self, number: int) -> tuple[float, float, int]:
        """Train on every batch; return mean loss, last learning rate, and examples seen."""
        self.net.train()
        order = self._draw_order(number)
        self.step.begin_epoch(number, order)
        # The net's own accuracies, also in an ensemble: its plateau schedule is then that of the net alone.
        accuracies = [epoch.val_accuracy for epoch in self.epochs]
        learning_rate = 0.0
        with self._seed_noise(number):
            for index, examples in enumerate(order):  # nothing in here waits for the device
                learning_rate = compute_learning_rate(self.run.train, number - 1 + index / len(order), accuracies)
                self.step.update(examples, learning_rate)
        return self.step.compute_mean_loss(len(order)), learning_rate, order.numel()

    def _draw_order(self, number: int) -> Tensor:
        """Return a new order of the training split: int64, steps x batch size.

        Examples that fill no batch are left out of this epoch: a recorded graph fits one size, batch norm never sees a
        batch of one, and every variant of a seed leaves out the same examples.
        """
        shuffled = make_numpy_generator(self.seed, RandomStream.ORDER, number).permutation(len(self.splits.train))
        steps = len(shuffled) // self.batch_size
        full_batches = torch.from_numpy(shuffled[: steps * self.batch_size])
        return full_batches.reshape(steps, self.batch_size).to(self.splits.train.labels.device)

    @contextmanager
    def _seed_noise(self, number: int) -> Iterator[None]:
        """Seed torch's global generator, from which dropout draws, for an epoch; restore it afterwards."""
        device = self.splits.train.labels.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(derive_torch_seed(self.seed, RandomStream.NOISE, number))
            yield

    def _evaluate_validation(self) -> Predictions:
        return self._evaluate_split(self.splits.validation, get_validation_view(self.run.data.augment))

    def _evaluate_split(self, split: Split, evaluate: Evaluate) -> Predictions:
        return evaluate_split(self.net, split, self.normalize, self.precision, self.size, evaluate)


def _build_net(run: Run, seed: int, device: torch.device) -> Vgg:
    with torch.random.fork_rng(devices=[]):  # torch's modules draw initial weights, which `build_model` replaces
        net = build_model(run.arch, make_torch_generator(seed, RandomStream.INIT))
    return net.to(device).to(memory_format=torch.channels_last)


def _pretrain(net: Vgg, run: Run, settings: TrainingSettings, splits: Splits) -> list[str]:
    """Train the shallower net and copy its layers into `net`; return their names."""
    assert run.train.pretrain is not None
    shallow_run = build_pretraining_run(run)
    # Without a checkpoint: an interrupted run trains the shallower net again, to the same weights.
    shallow = Trainer.start(shallow_run, settings, splits)
    while len(shallow.epochs) < shallow_run.train.epochs:
        shallow.run_epoch()
    return copy_layers(shallow.net, shallow_run.arch, net, run.arch, run.train.pretrain.convs)


def _check_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise DivergedError(epoch, loss)

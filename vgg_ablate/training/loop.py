"""The training of one run, as a generator of its epochs. Whoever iterates decides when to stop."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.config.datasets import DATASETS
from vgg_ablate.config.training import Data
from vgg_ablate.data.sources import read_class_names
from vgg_ablate.data.splits import Split, Splits, load_splits, load_test_split
from vgg_ablate.models import checkpoints
from vgg_ablate.records import Epoch, FinalMetrics, Run
from vgg_ablate.training import checkpoint
from vgg_ablate.training.checkpoint import Checkpoint
from vgg_ablate.training.device import choose_precision, resolve_device
from vgg_ablate.training.evaluate import Predictions, average_predictions
from vgg_ablate.training.memory import keep_freed_memory
from vgg_ablate.training.metrics import compute_class_metrics, pack_correct_bits
from vgg_ablate.training.predictions import StoredPredictions, write_predictions
from vgg_ablate.training.settings import TrainingSettings, build_weights_path
from vgg_ablate.training.trainer import Trainer

_MAX_SKIPPED = 3  # names of skipped files in a record


def train(run: Run, settings: TrainingSettings) -> Generator[Epoch, None, FinalMetrics | None]:
    """Yield every epoch, those of a checkpoint too; return the test metrics, or None for a run with `test: false`.

    Raises DivergedError, OutOfMemoryError; SpecError, DatasetError, DeviceNotFoundError, StorageError.
    """
    evaluate = yield from train_for_evaluations(run, settings)
    return evaluate(run)


def train_for_evaluations(
    run: Run, settings: TrainingSettings
) -> Generator[Epoch, None, Callable[[Run], FinalMetrics | None]]:
    """Yield every epoch as `train` does; return a function that evaluates the trained net on the test set.

    The function takes any run with this run's training key, and uses the views of that run's `data.evaluate`: one
    training serves all of them.
    """
    keep_freed_memory()
    training = _Training.resume(run, settings)
    yield from training.epochs
    while len(training.epochs) < run.train.epochs:
        yield training.run_epoch()
    return training.evaluate


class _Training:
    """The state of a run's training between two epochs.

    The nets of an ensemble are trained in turns, epoch by epoch, so that each epoch has a validation of all of them.
    Each net remains what it is alone: a plateau schedule follows the net's own validation.
    """

    def __init__(
        self, run: Run, settings: TrainingSettings, splits: Splits, trainers: Sequence[Trainer], epochs: Sequence[Epoch]
    ) -> None:
        self.run = run
        self.settings = settings
        self.splits = splits
        self.trainers = trainers  # one per net
        self.epochs = list(epochs)  # of all nets together, so far
        self.saved_epochs = len(epochs)  # how many the checkpoint holds

    @classmethod
    def resume(cls, run: Run, settings: TrainingSettings) -> _Training:
        """Return the training as its checkpoint has left it; without one, before the first epoch."""
        device = resolve_device(settings.device)
        splits = load_splits(run.data, run.fingerprint, run.seed, device, resident=settings.resident)
        saved = None
        if settings.checkpoint is not None:
            conditions = _describe_conditions(run, settings)
            saved = checkpoint.read_checkpoint(settings.checkpoint, run.training_key, conditions)
        states = saved.nets if saved else (None,) * len(run.nets)
        trainers = [Trainer.start(net, settings, splits, state) for net, state in zip(run.nets, states, strict=True)]
        return cls(run, settings, splits, trainers, saved.epochs if saved else ())

    def run_epoch(self) -> Epoch:
        """Train every net for one epoch, validate them together, and write a checkpoint where one is due."""
        validation = average_predictions([trainer.run_epoch() for trainer in self.trainers])
        self.epochs.append(_merge_epochs([trainer.epochs[-1] for trainer in self.trainers], validation))
        self._write_checkpoint_if_due()
        return self.epochs[-1]

    def evaluate(self, run: Run) -> FinalMetrics | None:
        """Return the training error and the test metrics with the views of `run`; None for a run with `test: false`.

        Raises ValueError where the training key of `run` is not this training's.
        """
        if run.training_key != self.run.training_key:
            raise ValueError(f"{run.key} has training key {run.training_key}, this training {self.run.training_key}")
        if not run.test:
            return None
        split = self._load_test_split(run.data)
        training = average_predictions([trainer.evaluate_training() for trainer in self.trainers])
        net_predictions = [trainer.evaluate(split, run.data.evaluate) for trainer in self.trainers]
        test = average_predictions(net_predictions)
        self._write_predictions(run, test)
        self._write_weights()
        return FinalMetrics(
            val_accuracy=self.epochs[-1].val_accuracy,
            train_error=1 - training.compute_accuracy(),
            train_examples=len(training.labels),
            test_accuracy=test.compute_accuracy(),
            test_top5_accuracy=test.compute_accuracy(5)
            if test.logits.shape[1] > 5
            else None,  # of 5 classes it is always 1
            correct=pack_correct_bits(*test.get_classes()),
            details=self._collect_details(test, net_predictions),
        )

    def _load_test_split(self, data: Data) -> Split:
        """Return the test images at `data.test_size`: another run's evaluation may need larger ones than this run's."""
        if data.test_size == self.run.data.test_size:
            return self.splits.test
        device, resident = self.splits.test.labels.device, self.settings.resident
        return load_test_split(data, self.run.fingerprint, self.run.seed, device, resident=resident)

    def _write_predictions(self, run: Run, test: Predictions) -> None:
        if self.settings.predictions is None or run.train.keep != "predictions":
            return
        validation = average_predictions([trainer.evaluate_validation() for trainer in self.trainers])
        stored = StoredPredictions(*_convert_for_storage(validation), *_convert_for_storage(test))
        write_predictions(self.settings.predictions, run.key, stored)

    def _write_weights(self) -> None:
        if self.settings.weights is None:
            return
        mean, std = (tuple(statistic.tolist()) for statistic in (self.splits.mean, self.splits.std))
        inputs = checkpoints.ImageInputs(mean, std, self._list_class_names())
        for index, trainer in enumerate(self.trainers):
            path, run = build_weights_path(self.settings.weights, index), trainer.run
            checkpoints.write_safetensors(path, run.arch, trainer.net.state_dict(), run.model_dump_json(), inputs)

    def _list_class_names(self) -> tuple[str, ...]:
        """Return the names of the classes, or their numbers where the data set has none."""
        names = DATASETS[self.run.data.name].class_names or read_class_names(self.run.data)
        return names or tuple(map(str, range(self.run.arch.classes or 0)))

    def _collect_details(self, test: Predictions, net_predictions: Sequence[Predictions]) -> dict[str, Any]:
        details: dict[str, Any] = {
            "test_loss": test.loss,
            "test_examples": len(test.labels),
            **compute_class_metrics(*test.get_classes(), test.logits.shape[1]),
        }
        # The names of class folders, where there are any; those of other data sets are in the registry.
        is_named = bool(DATASETS[self.run.data.name].class_names)
        if "confusion" in details and not is_named and (names := read_class_names(self.run.data)):
            details["class_names"] = list(names)
        if skipped := self.splits.skipped:
            details["skipped_files"] = len(skipped)
            # Without the reasons, which may hold absolute paths: records are published.
            details["skipped_names"] = [line.partition(": ")[0] for line in skipped[:_MAX_SKIPPED]]
        if pretrained := [name for trainer in self.trainers for name in trainer.pretrained]:
            details["pretrained"] = pretrained
        if flags := [flag for trainer in self.trainers for flag in trainer.flags]:
            details["micro_batch"] = min(trainer.step.micro_batches.size for trainer in self.trainers)
            details["flags"] = flags
        if len(net_predictions) > 1:
            details["nets"] = [
                {"val_accuracy": trainer.epochs[-1].val_accuracy, "test_accuracy": predictions.compute_accuracy()}
                for trainer, predictions in zip(self.trainers, net_predictions, strict=True)
            ]
        return details

    def _write_checkpoint_if_due(self) -> None:
        # Every few epochs, so that short ones don't wait for the disk; after every long one, so that little is lost.
        unsaved = self.epochs[self.saved_epochs :]
        seconds = sum(epoch.seconds for epoch in unsaved)
        due = len(unsaved) >= self.settings.checkpoint_every or seconds >= self.settings.checkpoint_seconds
        due |= self.settings.checkpoint_last and len(self.epochs) == self.run.train.epochs
        if self.settings.checkpoint is None or not due:
            return
        self.saved_epochs = len(self.epochs)
        nets = tuple(trainer.get_state() for trainer in self.trainers)
        state = Checkpoint(
            self.run.training_key, tuple(self.epochs), nets, _describe_conditions(self.run, self.settings)
        )
        checkpoint.write_checkpoint(self.settings.checkpoint, state)


def _describe_conditions(run: Run, settings: TrainingSettings) -> dict[str, Any]:
    """Return what the result depends on besides the run: a checkpoint is continued only under equal conditions."""
    return {
        "device": resolve_device(settings.device).type,
        "threads": settings.threads,
        "precision": choose_precision(run, settings),
    }


def _convert_for_storage(predictions: Predictions) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Return class probabilities and labels of a split as StoredPredictions holds them."""
    return predictions.logits.softmax(1).half().cpu().numpy(), predictions.labels.cpu().numpy()


def _merge_epochs(epochs: Sequence[Epoch], validation: Predictions) -> Epoch:
    """Return one epoch of all nets: `validation` of their mean, the mean training loss, the first net's rate."""
    if len(epochs) == 1:
        return epochs[0]
    return Epoch(
        epoch=epochs[0].epoch,
        train_loss=sum(epoch.train_loss for epoch in epochs) / len(epochs),
        val_loss=validation.loss,
        val_accuracy=validation.compute_accuracy(),
        lr=epochs[0].lr,
        seconds=sum(epoch.seconds for epoch in epochs),
        # An image counts once it has passed through every net: the times per image add up.
        images_per_second=1 / sum(1 / epoch.images_per_second for epoch in epochs),
        cpu_seconds=sum(epoch.cpu_seconds for epoch in epochs),
        val_examples=epochs[0].val_examples,
    )

"""The training of one run, as a generator of its epochs. Decisions about it live outside."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.config.training import Data
from vgg_ablate.data.splits import Split, load_splits, load_test_split
from vgg_ablate.models import checkpoints
from vgg_ablate.records import Epoch, FinalMetrics, Run
from vgg_ablate.training import checkpoint, device, predictions
from vgg_ablate.training.allocator import keep_freed_memory
from vgg_ablate.training.checkpoint import Checkpoint
from vgg_ablate.training.evaluate import Predictions, average_predictions
from vgg_ablate.training.predictions import StoredPredictions
from vgg_ablate.training.settings import TrainingSettings, build_weights_path
from vgg_ablate.training.trainer import Trainer

_MOST_CLASSES = 100  # of which a record keeps the whole confusion


def train(run: Run, settings: TrainingSettings) -> Generator[Epoch, None, FinalMetrics | None]:
    """Yield every epoch, those of a checkpoint too; return what the test set said, or None where it is not asked for.

    Raises Diverged, OutOfMemory; SpecError, DataMissing, DeviceMissing, StorageFailed.
    """
    evaluate = yield from train_for_evaluations(run, settings)
    return evaluate(run)


def train_for_evaluations(
    run: Run, settings: TrainingSettings
) -> Generator[Epoch, None, Callable[[Run], FinalMetrics | None]]:
    """Yield every epoch as `train` does; return a function that evaluates the trained net on the test set.

    The function takes any run with this run's training key, and shows the test set as that run asks for.
    """
    keep_freed_memory()
    training = _Training(run, settings)
    yield from training.epochs
    while len(training.epochs) < run.train.epochs:
        yield training.epoch()
    return training.tested


class _Training:
    """The state of one training between two epochs: of its net, or of all nets of an ensemble, epoch by epoch."""

    def __init__(self, run: Run, settings: TrainingSettings) -> None:
        self.run, self.settings = run, settings
        where = device.resolve_device(settings.device)
        self.environment = {  # what the result depends on beside the run
            "device": where.type,
            "threads": settings.threads,
            "precision": device.choose_precision(run, settings),
        }
        self.splits = load_splits(run.data, run.fingerprint, run.seed, where, resident=settings.resident)
        found = self._found()
        self.epochs = list(found.epochs) if found else []
        kept = found.nets if found else (None,) * len(run.nets)
        self.members = [Trainer(net, settings, self.splits, state) for net, state in zip(run.nets, kept, strict=True)]
        self.kept = len(self.epochs)  # epochs that a checkpoint holds

    def epoch(self) -> Epoch:
        """Train every net for one epoch, validate them together, and keep a checkpoint where one is due."""
        seen = average_predictions([member.epoch() for member in self.members])
        self.epochs.append(_of_all([member.epochs[-1] for member in self.members], seen))
        self._keep()
        return self.epochs[-1]

    def tested(self, run: Run) -> FinalMetrics | None:
        """Measure the training error and read the test set as `run` asks for; None where it asks for no test.

        The training key of `run` must be this training's.
        """
        if run.training_key != self.run.training_key:
            raise ValueError(f"{run.key} has training key {run.training_key}, this is {self.run.training_key}")
        if not run.test:
            return None
        split = self._test_split(run.data)
        seen = average_predictions([member.score_training() for member in self.members])
        each = [member.tested(split, run.data.evaluate) for member in self.members]
        test = average_predictions(each)
        if self.settings.predictions is not None and run.train.keep == "predictions":
            validated = average_predictions([member.validated() for member in self.members])
            kept = StoredPredictions(*_kept(validated), *_kept(test))
            predictions.write_predictions(self.settings.predictions, run.key, kept)
        if self.settings.weights is not None:
            for place, member in enumerate(self.members):
                path, net = build_weights_path(self.settings.weights, place), member.run
                checkpoints.write_safetensors(path, net.arch, member.net.state_dict(), net.model_dump_json())
        return FinalMetrics(
            val_accuracy=self.epochs[-1].val_accuracy,
            train_error=1 - seen.accuracy(),
            train_examples=len(seen.labels),
            test_accuracy=test.accuracy(),
            test_top5_accuracy=test.accuracy(5) if test.logits.shape[1] > 5 else None,
            correct=test.correct_bits(),
            details=self._details(test, each),
        )

    def _test_split(self, data: Data) -> Split:
        """The test images at the size at which these data keep them: scales of other evaluations need larger ones."""
        if data.test_size == self.run.data.test_size:
            return self.splits.test
        where = device.resolve_device(self.settings.device)
        return load_test_split(data, self.run.fingerprint, self.run.seed, where, resident=self.settings.resident)

    def _details(self, test: Predictions, each: Sequence[Predictions]) -> dict[str, Any]:
        found: dict[str, Any] = {
            "test_loss": test.loss,
            "test_examples": len(test.labels),
            "class_accuracy": test.class_accuracy(),
        }
        if test.logits.shape[1] <= _MOST_CLASSES:
            found["confusion"] = test.confusion()
        if self.splits.skipped:
            found["skipped_files"] = self.splits.skipped
        if pretrained := [name for member in self.members for name in member.pretrained]:
            found["pretrained"] = pretrained
        if flags := [flag for member in self.members for flag in member.flags]:
            found["micro_batch"] = min(member.updater.micro.size for member in self.members)
            found["flags"] = flags
        if len(each) > 1:
            alone = zip(self.members, each, strict=True)
            found["nets"] = [
                {"val_accuracy": member.epochs[-1].val_accuracy, "test_accuracy": one.accuracy()}
                for member, one in alone
            ]
        return found

    def _found(self) -> Checkpoint | None:
        path = self.settings.checkpoint
        return None if path is None else checkpoint.read_checkpoint(path, self.run.training_key, self.environment)

    def _keep(self) -> None:
        unkept = self.epochs[self.kept :]
        seconds = sum(epoch.seconds for epoch in unkept)
        due = len(unkept) >= self.settings.checkpoint_every or seconds >= self.settings.checkpoint_seconds
        due |= self.settings.checkpoint_last and len(self.epochs) == self.run.train.epochs
        if self.settings.checkpoint is None or not due:
            return
        self.kept = len(self.epochs)
        nets = tuple(member.kept() for member in self.members)
        state = Checkpoint(self.run.training_key, tuple(self.epochs), nets, self.environment)
        checkpoint.write_checkpoint(self.settings.checkpoint, state)


def _kept(scored: Predictions) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Class probabilities and labels of a split, as they are stored."""
    return scored.logits.softmax(1).half().cpu().numpy(), scored.labels.cpu().numpy()


def _of_all(each: Sequence[Epoch], seen: Predictions) -> Epoch:
    """An epoch of all nets: `seen` is what they say together, the training loss their mean, the rate the first's."""
    if len(each) == 1:
        return each[0]
    return Epoch(
        epoch=each[0].epoch,
        train_loss=sum(one.train_loss for one in each) / len(each),
        val_loss=seen.loss,
        val_accuracy=seen.accuracy(),
        lr=each[0].lr,
        seconds=sum(one.seconds for one in each),
        images_per_second=1 / sum(1 / one.images_per_second for one in each),
        cpu_seconds=sum(one.cpu_seconds for one in each),
        val_examples=each[0].val_examples,
    )

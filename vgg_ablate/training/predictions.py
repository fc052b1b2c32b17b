"""Class probabilities of trained nets, stored beside their records, and the metrics of an ensemble's mean.

One file per run, `predictions/<key>.npz`, holds the probabilities of the last epoch's net on the validation and test
splits in float16, with the labels. An ensemble of recorded runs is thereby evaluated without images and without torch.

Rounding to float16 moves a probability by at most 2^-12: a prediction changes only where two classes are that close.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.errors import StorageError
from vgg_ablate.files import replace_file
from vgg_ablate.records import build_predictions_path

# The smallest float16 above 0, for probabilities that were rounded to 0: it keeps the loss finite.
_MIN_PROBABILITY = 2.0**-24


class StoredPredictions(NamedTuple):
    """A run's class probabilities. Both splits are in the order in which the seed draws them."""

    validation: NDArray[Any]  # float16 as stored, N x classes; float64 as the mean of several nets
    validation_labels: NDArray[np.int64]  # N
    test: NDArray[Any]  # M x classes
    test_labels: NDArray[np.int64]  # M


def write_predictions(folder: Path, key: str, predictions: StoredPredictions) -> None:
    """Write the predictions of a run, made aside and then renamed. Raises StorageError."""
    content = io.BytesIO()
    np.savez(content, **predictions._asdict())
    replace_file(build_predictions_path(folder, key), content.getvalue())


def read_predictions(folder: Path, key: str) -> StoredPredictions:
    """Return the stored predictions of a run. Raises StorageError."""
    path = build_predictions_path(folder, key)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return StoredPredictions(**{name: arrays[name] for name in StoredPredictions._fields})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        remedy = "remove the file, and the ensemble is trained instead"
        raise StorageError(f"{path}: not the predictions of a run: {error}; {remedy}") from error


def average_stored_predictions(nets: Sequence[StoredPredictions]) -> StoredPredictions:
    """Average the probabilities of several nets, in float64. Raises ValueError where their splits differ."""
    first = nets[0]
    for other in nets[1:]:
        same_validation = np.array_equal(first.validation_labels, other.validation_labels)
        if not same_validation or not np.array_equal(first.test_labels, other.test_labels):
            raise ValueError("the nets of an ensemble must have been tested on the same examples in the same order")
    validation = np.mean([net.validation.astype(np.float64) for net in nets], axis=0)
    test = np.mean([net.test.astype(np.float64) for net in nets], axis=0)
    return StoredPredictions(validation, first.validation_labels, test, first.test_labels)


def compute_accuracy(probabilities: NDArray[Any], labels: NDArray[np.int64], top: int = 1) -> float:
    """Return the fraction of examples whose label is among the `top` most probable classes.

    `probabilities`: N x classes. Of equally probable classes the first counts as more probable, as in argmax.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return float((order == labels[:, None]).any(1).mean())


def compute_loss(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy of class probabilities, N x classes, in nats."""
    likelihoods = np.maximum(probabilities[np.arange(len(labels)), labels].astype(np.float64), _MIN_PROBABILITY)
    return float(-np.log(likelihoods).mean())

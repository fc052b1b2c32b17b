"""Class probabilities of a trained net, stored beside its record, and what several nets answer by their mean.

One file per run, `predictions/<key>.npz`: the probabilities of the last epoch's net on the validation and test splits
in float16, with the labels, so that an ensemble of recorded runs is evaluated without images and without torch.
Rounding to float16 moves a probability by at most 2^-12: the answer changes only where two classes are that close.
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

_LEAST = 2.0**-24  # the smallest float16 above 0: what was rounded to 0 costs a finite loss
_MOST_CLASSES = 100  # of which a record keeps the whole confusion


class StoredPredictions(NamedTuple):
    """What a net answers. Both splits are in the order in which the seed draws them."""

    validation: NDArray[Any]  # float16 as stored, N x classes; float64 as the mean of several nets
    validation_labels: NDArray[np.int64]  # N
    test: NDArray[Any]  # M x classes
    test_labels: NDArray[np.int64]  # M


def write_predictions(folder: Path, key: str, predictions: StoredPredictions) -> None:
    """Write the predictions of a run whole: aside, then renamed. Raises StorageFailed."""
    content = io.BytesIO()
    np.savez(content, **predictions._asdict())
    replace_file(build_predictions_path(folder, key), content.getvalue())


def read_predictions(folder: Path, key: str) -> StoredPredictions:
    """Return the stored predictions of a run. Raises StorageFailed."""
    path = build_predictions_path(folder, key)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return StoredPredictions(**{name: arrays[name] for name in StoredPredictions._fields})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        rule = "not the predictions of a run; without the file, the ensemble is trained"
        raise StorageError(f"{path}: {rule}: {error}") from error


def average_stored_predictions(each: Sequence[StoredPredictions]) -> StoredPredictions:
    """Average the probabilities of several nets, in float64. Raises ValueError where their splits differ."""
    first = each[0]
    for other in each[1:]:
        same = np.array_equal(first.validation_labels, other.validation_labels)
        if not same or not np.array_equal(first.test_labels, other.test_labels):
            raise ValueError("the nets of an ensemble must have been tested on the same examples in the same order")
    validation = np.mean([one.validation.astype(np.float64) for one in each], axis=0)
    test = np.mean([one.test.astype(np.float64) for one in each], axis=0)
    return StoredPredictions(validation, first.validation_labels, test, first.test_labels)


def compute_accuracy(probabilities: NDArray[Any], labels: NDArray[np.int64], top: int = 1) -> float:
    """Return the fraction of examples whose label is among the `top` most probable classes; of equals, the first."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return float((order == labels[:, None]).any(1).mean())


def pack_correct_bits(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> str:
    """Return whether each answer is the label, as hex digits of packed bits, most significant first."""
    return np.packbits(probabilities.argmax(1) == labels).tobytes().hex()


def compute_test_details(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Return what a record's details say of the test set: loss, examples, accuracy per class, confusion."""
    classes, answers = probabilities.shape[1], probabilities.argmax(1)
    likely = np.maximum(probabilities[np.arange(len(labels)), labels].astype(np.float64), _LEAST)
    confusion = np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)
    pairs = zip(np.diag(confusion).tolist(), confusion.sum(1).tolist(), strict=True)
    found: dict[str, Any] = {
        "test_loss": float(-np.log(likely).mean()),
        "test_examples": len(labels),
        "class_accuracy": [hits / count if count else None for hits, count in pairs],
    }
    return found | ({"confusion": confusion.tolist()} if classes <= _MOST_CLASSES else {})

"""The metrics of a test set that follow from the predicted classes. Imports no torch.

Loss and top-5 accuracy need probabilities: `Predictions` has them from a net, `training/predictions.py` from a file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_CONFUSION_CLASSES = 100  # above, a record has no confusion matrix: with 1000 classes it would fill megabytes

ClassIndices = NDArray[np.int64]  # N


def pack_correct_bits(predicted: ClassIndices, labels: ClassIndices) -> str:
    """Return whether each prediction is correct, as hex digits of packed bits, most significant first."""
    return np.packbits(predicted == labels).tobytes().hex()


def compute_class_metrics(predicted: ClassIndices, labels: ClassIndices, classes: int) -> dict[str, Any]:
    """Return `class_accuracy`, with None for a class without examples, and for few enough classes `confusion`.

    The confusion matrix counts examples: one row per label, one column per predicted class.
    """
    confusion = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    pairs = zip(np.diag(confusion).tolist(), confusion.sum(1).tolist(), strict=True)
    metrics: dict[str, Any] = {"class_accuracy": [hits / count if count else None for hits, count in pairs]}
    return metrics | ({"confusion": confusion.tolist()} if classes <= MAX_CONFUSION_CLASSES else {})

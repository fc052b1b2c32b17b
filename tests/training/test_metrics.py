"""Metrics of predicted classes, compared with scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, recall_score

from vgg_ablate.training.metrics import MAX_CONFUSION_CLASSES, compute_class_metrics


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_class_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs).T
    metrics = compute_class_metrics(predicted, labels, 4)
    assert metrics["confusion"] == confusion_matrix(labels, predicted, labels=range(4)).tolist()
    recalls = recall_score(labels, predicted, labels=range(4), average=None, zero_division=np.nan)
    assert metrics["class_accuracy"] == [None if np.isnan(recall) else pytest.approx(recall) for recall in recalls]


def test_a_record_of_many_classes_has_no_confusion_matrix() -> None:
    labels = np.arange(MAX_CONFUSION_CLASSES + 1)
    assert "confusion" in compute_class_metrics(labels[:-1], labels[:-1], MAX_CONFUSION_CLASSES)
    assert compute_class_metrics(labels, labels, len(labels)) == {"class_accuracy": [1.0] * len(labels)}

"""Facts about the data of a study: examples per split, classes, skipped files, and a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.analysis.results import EPOCH_FIELDS, Results
from vgg_ablate.config.datasets import DATASETS
from vgg_ablate.records import Record


@dataclass(frozen=True)
class DataFacts:
    """Facts about the data of a variant's runs; None where no record has them."""

    name: str
    train: int | None
    train_is_exact: bool
    validation: int | None
    test: int | None
    class_names: tuple[str, ...]  # empty where they are unknown
    classes: int | None
    skipped_files: int
    skipped_names: tuple[str, ...]  # of the first of them, below the root


def collect_data_facts(results: Results, variant: str) -> DataFacts:
    """Return the facts about the data of a variant, from its first finished record."""
    data = next(item.data for item in results.study.all_variants if item.name == variant)
    key, record = _find_finished(results, variant)
    details = record.tested.details if record is not None and record.tested is not None else {}
    epochs = results.epochs.get(key)
    validation = None
    if epochs is not None and len(epochs):
        validation = int(epochs[-1, EPOCH_FIELDS.index("val_examples")]) or None
    train, is_exact = _count_training_examples(record, data.name, data.limit, data.validation_fraction, validation)
    names = details.get("class_names") or DATASETS[data.name].class_names
    return DataFacts(
        name=data.root if data.name == "image-folder" and data.root else data.name,
        train=train,
        train_is_exact=is_exact,
        validation=validation,
        test=details.get("test_examples"),
        class_names=tuple(names),
        classes=data.shape.classes,
        skipped_files=int(details.get("skipped_files", 0)),
        skipped_names=tuple(map(str, details.get("skipped_names", ()))),
    )


def sum_confusion(results: Results, variant: str) -> NDArray[np.int64] | None:
    """Return the confusion matrix of a variant, summed over its seeds: rows are true classes, columns predicted ones.

    None where a record has none, as with more than 100 classes.
    """
    matrices = []
    for planned in results.manifest.planned:
        record = results.records.get(planned.key)
        if planned.variant != variant or record is None or record.tested is None:
            continue
        if record.tested.details.get("confusion") is None:
            return None
        matrices.append(np.asarray(record.tested.details["confusion"], dtype=np.int64))
    return np.sum(matrices, axis=0, dtype=np.int64) if matrices else None


def _find_finished(results: Results, variant: str) -> tuple[str, Record | None]:
    for planned in results.manifest.planned:
        record = results.records.get(planned.key)
        if planned.variant == variant and record is not None and record.tested is not None and not record.is_averaged:
            return planned.key, record
    return "", None


def _count_training_examples(
    record: Record | None, name: str, limit: int | None, validation_fraction: float, validation: int | None
) -> tuple[int | None, bool]:
    """Return the number of training examples, and whether it is exact.

    The train error is measured on at most 5,000 examples, so that it gives the size of smaller training splits only.
    """
    info = DATASETS[name]
    if info.examples is not None and info.test_split == "fixed":
        count = min(limit or info.examples.train, info.examples.train)
        return count - round(count * validation_fraction), True
    measured = record.tested.train_examples if record is not None and record.tested is not None else None
    if measured is not None and validation is not None:
        estimate = round(validation / validation_fraction) - validation
        # The validation split is rounded: a whole number of examples below the estimate can be the exact count.
        is_exact = abs(measured - estimate) <= 0.5 / validation_fraction
        return (measured if is_exact else estimate), is_exact
    return None, False

"""Test examples as a random sample: which ones each run got right, and the error that their choice adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.results import Results
from vgg_ablate.analysis.stats import CrossedEstimate, Estimate
from vgg_ablate.config.claims import Claim
from vgg_ablate.config.datasets import DATASETS

CorrectExamples = Mapping[
    tuple[str, int], NDArray[np.bool_]
]  # (variant, seed) -> per test example, whether it is correct


def add_examples(
    claim: Claim,
    estimate: Estimate | CrossedEstimate | None,
    weights: Mapping[str, float],
    seeds: Sequence[int],
    examples: CorrectExamples | None,
) -> Estimate | CrossedEstimate | None:
    """Return the estimate with the error from the choice of the test examples, if all runs answered the same ones."""
    is_tested = claim.metric in ("test_error", "test_accuracy")
    if not examples or not isinstance(estimate, Estimate) or not is_tested:
        return estimate
    total = np.zeros((len(seeds), 1))  # the contrast of the answers
    for name, weight in weights.items():
        rows = [examples.get((name, seed)) for seed in seeds]
        present = [row for row in rows if row is not None]
        if len(present) < len(rows) or len({len(row) for row in present}) != 1:
            return estimate
        part = weight * np.array(present, dtype=np.float64)
        if total.shape[1] not in (1, part.shape[1]):
            return estimate
        total = total + part
    return CrossedEstimate(estimate, *stats.estimate_examples(100.0 * total)) if total.shape[1] > 1 else estimate


def has_shared_test_split(results: Results) -> bool:
    """Return whether all seeds are tested on the same examples.

    An image folder without test/ draws its test split from the seed. A report reads records and no images, so the
    records must show which it was: two draws differ in the number of examples per class, one test folder never does.
    Where a record has no confusion matrix (more than 100 classes), the split counts as drawn.
    """
    match DATASETS[results.study.base.data.name].test_split:
        case "fixed":
            return True
        case "drawn":
            return False
    confusions = [
        record.tested.details.get("confusion") for record in results.records.values() if record.tested is not None
    ]
    class_counts = {tuple(map(sum, confusion)) if confusion else None for confusion in confusions}
    return len(class_counts) == 1 and None not in class_counts


def collect_correct_examples(results: Results) -> CorrectExamples:
    """Return the correct answers of every recorded run whose record has them."""
    examples: dict[tuple[str, int], NDArray[np.bool_]] = {}
    for planned in results.manifest.planned:
        record = results.records.get(planned.key)
        if record is not None and record.tested is not None and record.tested.correct:
            examples[planned.variant, planned.seed] = unpack_correct_bits(
                record.tested.correct, record.tested.test_accuracy, record.tested.details.get("test_examples")
            )
    return examples


def unpack_correct_bits(packed: str, accuracy: float, count: object = None) -> NDArray[np.bool_]:
    """Return `FinalMetrics.correct` as one boolean per test example, true where it was classified correctly.

    `packed` is hexadecimal, eight examples per byte, with padding in the last byte. `count` is the number of examples;
    records of older versions lack it, and it follows from the accuracy.
    """
    unpacked = np.unpackbits(np.frombuffer(bytes.fromhex(packed), dtype=np.uint8)).astype(np.bool_)
    if isinstance(count, int):
        return unpacked[:count]
    correct = int(unpacked.sum())
    return unpacked[: round(correct / accuracy)] if correct and accuracy > 0 else unpacked

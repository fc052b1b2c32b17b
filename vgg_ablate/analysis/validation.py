"""Validation of a record: its numbers must agree with each other, and its run with the study's variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import isclose
from statistics import median
from typing import NamedTuple

import numpy as np

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.config.overrides import find_differences
from vgg_ablate.config.study import Study
from vgg_ablate.config.training import DECLARATION_FIELDS, Train
from vgg_ablate.config.variants import Variant
from vgg_ablate.errors import SpecError
from vgg_ablate.manifest import PlannedRun
from vgg_ablate.models.width_matching import resolve_variants
from vgg_ablate.records import FinalMetrics, Record

_ROUNDING = 1e-9  # relative: the effect of adding floats up in another order


class ExpectedVariant(NamedTuple):
    """A variant as the study asks for it, with the costs of its net."""

    variant: Variant
    arch: Arch  # in its normal form
    train: Train  # the nets of an ensemble in their normal form
    costs: dict[str, int]


def resolve_expected_variants(study: Study) -> dict[str, ExpectedVariant]:
    """Return the study's variants by name; empty where they cannot be built, for then no record can contradict them."""
    try:
        resolved = resolve_variants(study.all_variants)
    except SpecError:
        return {}
    return {
        item.variant.name: ExpectedVariant(item.variant, item.arch, item.train, item.costs.as_dict())
        for item in resolved
    }


def find_contradiction(record: Record, planned: PlannedRun, expected: ExpectedVariant | None) -> str | None:
    """Return the first reason why a record cannot be used for a planned run (`field: rule, got value`), or None.

    The numbers of a record must agree with each other exactly, so that an edited record is noticed; then its run must
    be that of the study's variant.
    """
    if record.run.seed != planned.seed:
        return f"run.seed: the manifest plans seed {planned.seed} of {planned.variant}, got {record.run.seed}"
    if record.outcome == "finished" and (problem := _check_finished(record)):
        return problem
    if problem := _check_totals(record):
        return problem
    for cost, counted in record.audited.items():
        closed_form = record.costs.get(cost)
        if closed_form != counted:
            counter = record.environment.get("flop_counter", "fvcore")  # older records do not name it
            return f"audited.{cost}: {counter} counts {counted}, the closed form {closed_form}; they must agree"
    return None if expected is None else _compare_with_variant(record, expected)


def describe_nearest_variant(record: Record, expected: Mapping[str, ExpectedVariant]) -> str:
    """Describe the first difference of a record of no planned run from its nearest variant; empty without variants."""
    candidates = [(list(_find_differences(record, variant)), name) for name, variant in expected.items()]
    if not candidates:
        return ""
    differences, name = min(candidates, key=lambda candidate: len(candidate[0]))
    if not differences:
        return f"run.seed: seed {record.run.seed} of {name}"
    path, wanted, got = differences[0]
    more = f"; {len(differences) - 1} more differ" if len(differences) > 1 else ""
    return f"{path}: the study's nearest variant {name} has {wanted!r}, got {got!r}{more}"


def _check_finished(record: Record) -> str | None:
    """Check what a finished run must have: test results and all of its epochs."""
    tested, epochs = record.tested, record.run.train.epochs
    if tested is None:
        return "tested: a finished run has test results, got none"
    if record.is_averaged and not record.epochs:
        return _check_averaged(record, tested)
    numbers = [epoch.epoch for epoch in record.epochs]
    if numbers != list(range(1, epochs + 1)):
        shown = ", ".join(map(str, numbers[:3])) + (f", ..., {numbers[-1]}" if len(numbers) > 3 else "")
        return f"epochs: a finished run has epochs 1 to {epochs}, got {len(numbers)} of them ({shown})"
    if problem := _check_fractions(record):
        return problem
    last = record.epochs[-1].val_accuracy
    if tested.val_accuracy != last:
        return f"tested.val_accuracy: must be that of the last epoch, {last}, got {tested.val_accuracy}"
    return _check_correct_examples(tested)


def _check_averaged(record: Record, tested: FinalMetrics) -> str | None:
    """Check an ensemble that was averaged from stored predictions: it has members in place of epochs."""
    nets, members = [net.key for net in record.run.nets], tested.details["members"]
    if not record.run.train.ensemble or members != nets:
        return f"tested.details.members: must be the run's nets {nets}, got {members!r}"
    examples = tested.details.get("val_examples")
    if not isinstance(examples, int) or not _is_whole(tested.val_accuracy, examples):
        return f"tested.val_accuracy: must be a whole number of {examples} examples, got {tested.val_accuracy}"
    return _check_correct_examples(tested)


def _check_fractions(record: Record) -> str | None:
    """Check that accuracies and errors are whole numbers of the examples that they are fractions of."""
    tested = record.tested
    for epoch in record.epochs:
        if not _is_whole(epoch.val_accuracy, epoch.val_examples):
            field = f"epochs[{epoch.epoch - 1}].val_accuracy"
            return f"{field}: must be a whole number of {epoch.val_examples} examples, got {epoch.val_accuracy}"
    if tested is not None and (tested.train_error is None) != (tested.train_examples is None):
        given = f"got {tested.train_error} and {tested.train_examples}"
        return f"tested.train_error: must be recorded together with train_examples, {given}"
    if tested is not None and not _is_whole(tested.train_error or 0.0, tested.train_examples or 0):
        rule = f"must be a whole number of {tested.train_examples} examples"
        return f"tested.train_error: {rule}, got {tested.train_error}"
    return None


def _is_whole(fraction: float, examples: int) -> bool:
    """Return whether the fraction of the examples is a whole number of them."""
    # Records of older versions have 0 examples, for unknown: any fraction of 0 is whole.
    return isclose(fraction * examples, round(fraction * examples), rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _check_totals(record: Record) -> str | None:
    """Check the training seconds and the rate of the whole run against those of its epochs."""
    if not record.epochs:
        return None
    seconds = sum(epoch.seconds for epoch in record.epochs)
    rate = median(epoch.images_per_second for epoch in record.epochs)
    if not isclose(record.train_seconds, seconds, rel_tol=_ROUNDING):
        return f"train_seconds: its epochs add up to {seconds}, got {record.train_seconds}"
    if not isclose(record.images_per_second, rate, rel_tol=_ROUNDING):
        return f"images_per_second: the median of its epochs is {rate}, got {record.images_per_second}"
    return None


def _check_correct_examples(tested: FinalMetrics) -> str | None:
    """Check the test accuracies against the bits of the examples that were classified correctly."""
    top5 = tested.test_top5_accuracy
    if top5 is not None and top5 < tested.test_accuracy:
        return f"tested.test_top5_accuracy: must not be less than test_accuracy {tested.test_accuracy}, got {top5}"
    if tested.correct is None:
        return None
    try:
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(tested.correct), dtype=np.uint8))
    except ValueError:
        return "tested.correct: must be bits in hexadecimal digits"
    correct, length = int(bits.sum()), len(bits)
    # Without a recorded number of examples, the last byte may have up to seven bits of padding.
    recorded = tested.details.get("test_examples")
    counts = [recorded] if isinstance(recorded, int) else range(length - 7, length + 1)
    if not any(count > 0 and isclose(correct / count, tested.test_accuracy, rel_tol=_ROUNDING) for count in counts):
        rule = f"must be {correct} of {counts[-1]} examples by the bits of tested.correct"
        return f"tested.test_accuracy: {rule}, got {tested.test_accuracy}"
    return _check_confusion(tested.details.get("confusion"), correct)


def _check_confusion(confusion: object, correct: int) -> str | None:
    """Check the diagonal of the confusion matrix, where there is one, against the number of correct examples."""
    if confusion is None:
        return None
    with suppress(ValueError):  # numpy refuses rows of several lengths: then it is no matrix
        table = np.asarray(confusion)
        if table.ndim == 2 and table.dtype.kind == "i" and np.trace(table) == correct:
            return None
    return (
        f"tested.details.confusion: must be a matrix whose diagonal adds up to {correct}, by the bits of tested.correct"
    )


def _compare_with_variant(record: Record, expected: ExpectedVariant) -> str | None:
    """Return the first field in which the run is not the study's variant."""
    for path, wanted, got in _find_differences(record, expected):
        return f"{path}: the study's variant {expected.variant.name} has {wanted!r}, got {got!r}"
    for cost, recorded in record.costs.items():
        if expected.costs.get(cost, recorded) != recorded:
            return f"costs.{cost}: the arch has {expected.costs[cost]}, got {recorded}"
    return None


def _find_differences(record: Record, expected: ExpectedVariant) -> Iterator[tuple[str, object, object]]:
    """Yield path, the study's value and the run's value where they differ.

    Data are compared by shape and processing: the name and the folder of a data set do not matter, since two names may
    hold the same pixels. Nor does `train.keep`, which selects what is stored beside the record.
    """
    variant, run = expected.variant, record.run
    for field in Shape._fields:
        wanted, got = getattr(variant.data.shape, field), getattr(run.data.shape, field)
        if wanted != got:
            yield f"run.data.{field}", wanted, got
    for name, of_study, of_run in (
        ("arch", expected.arch, run.arch),
        ("data", variant.data, run.data),
        ("train", expected.train, run.train),
    ):
        if of_study == of_run:
            continue  # the usual case, and much faster than comparing field by field
        for path, (wanted, got) in find_differences(of_study, of_run).items():
            if (name != "data" or path not in DECLARATION_FIELDS) and (name, path) != ("train", "keep"):
                yield f"run.{name}.{path}", wanted, got

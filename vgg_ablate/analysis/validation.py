"""Is a record fit for the cell of the study that asks for it? What it says of itself and its variant must agree."""

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
from vgg_ablate.config.study import Study, Variant
from vgg_ablate.config.training import DECLARATION_FIELDS, Train
from vgg_ablate.errors import SpecError
from vgg_ablate.models.width_matching import resolve_variants
from vgg_ablate.records import FinalMetrics, PlannedRun, Record

_ROUNDING = 1e-9  # relative: what adding floats up in another order may change


class ExpectedVariant(NamedTuple):
    """What a study asks for in one variant."""

    variant: Variant
    arch: Arch  # in its normal form
    train: Train  # the nets of an ensemble in theirs
    costs: dict[str, int]


def resolve_expected_variants(study: Study) -> dict[str, ExpectedVariant]:
    """By variant; nothing where the study's variants cannot be (then nothing can contradict it)."""
    try:
        resolved = resolve_variants(study.all_variants)
    except SpecError:
        return {}
    return {
        one.variant.name: ExpectedVariant(one.variant, one.arch, one.train, one.costs.as_dict()) for one in resolved
    }


def find_contradiction(record: Record, cell: PlannedRun, asked: ExpectedVariant | None) -> str | None:
    """What makes a record unfit for its cell, in words."""
    if record.run.seed != cell.seed:
        return f"run.seed: the manifest plans seed {cell.seed} of {cell.variant}, got {record.run.seed}"
    if record.outcome == "finished" and (told := _unfinished(record)):
        return told
    if told := _misadded(record):
        return told
    for cost, counted in record.audited.items():
        closed = record.costs.get(cost)
        if closed != counted:
            return f"audited.{cost}: fvcore counts {counted}, the closed form {closed}; they must agree"
    return None if asked is None else _unlike(record, asked)


def describe_nearest_variant(record: Record, asked: Mapping[str, ExpectedVariant]) -> str:
    """Of a record that no cell asks for: which variant it is most like, and where it differs; empty where none is."""
    found = [(list(_differences(record, one)), name) for name, one in asked.items()]
    if not found:
        return ""
    apart, name = min(found, key=lambda one: len(one[0]))
    if not apart:
        return f"run.seed: seed {record.run.seed} of {name}"
    path, wanted, got = apart[0]
    more = f"; {len(apart) - 1} more differ" if len(apart) > 1 else ""
    return f"{path}: the study's nearest variant {name} says {wanted!r}, got {got!r}{more}"


def _unfinished(record: Record) -> str | None:
    """What a finished run must have, and has not."""
    tested, epochs = record.tested, record.run.train.epochs
    if tested is None:
        return "tested: a finished run has test results, got none"
    if record.averaged and not record.epochs:
        return _miscomposed(record, tested)
    numbers = [epoch.epoch for epoch in record.epochs]
    if numbers != list(range(1, epochs + 1)):
        shown = ", ".join(map(str, numbers[:3])) + (f", ..., {numbers[-1]}" if len(numbers) > 3 else "")
        return f"epochs: a finished run has epochs 1 to {epochs}, got {len(numbers)} of them ({shown})"
    if told := _fractional(record):
        return told
    last = record.epochs[-1].val_accuracy
    if tested.val_accuracy != last:
        return f"tested.val_accuracy: that of the last epoch is {last}, got {tested.val_accuracy}"
    return _miscounted(tested)


def _miscomposed(record: Record, tested: FinalMetrics) -> str | None:
    """The members of an ensemble that was not trained itself."""
    nets, members = [net.key for net in record.run.nets], tested.details["members"]
    if not record.run.train.ensemble or members != nets:
        return f"tested.details.members: the run's nets are {nets}, got {members!r}"
    examples = tested.details.get("val_examples")
    if not isinstance(examples, int) or not _is_whole(tested.val_accuracy, examples):
        return f"tested.val_accuracy: no whole number of {examples} examples is right, got {tested.val_accuracy}"
    return _miscounted(tested)


def _fractional(record: Record) -> str | None:
    """Accuracies and errors against the numbers of examples that they are fractions of, where these are recorded."""
    tested = record.tested
    for epoch in record.epochs:
        if not _is_whole(epoch.val_accuracy, epoch.val_examples):
            place = f"epochs[{epoch.epoch - 1}].val_accuracy"
            return f"{place}: no whole number of {epoch.val_examples} examples is right, got {epoch.val_accuracy}"
    if tested is not None and (tested.train_error is None) != (tested.train_examples is None):
        got = f"got {tested.train_error} and {tested.train_examples}"
        return f"tested.train_error: it and train_examples are recorded together, {got}"
    if tested is not None and not _is_whole(tested.train_error or 0.0, tested.train_examples or 0):
        rule = f"no whole number of {tested.train_examples} examples is wrong"
        return f"tested.train_error: {rule}, got {tested.train_error}"
    return None


def _is_whole(share: float, examples: int) -> bool:
    """Whether the share of the examples is a whole number of them; so it is of an unknown number of examples, 0."""
    return isclose(share * examples, round(share * examples), rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _misadded(record: Record) -> str | None:
    """What stands for all epochs against the epochs."""
    if not record.epochs:
        return None
    seconds = sum(epoch.seconds for epoch in record.epochs)
    pace = median(epoch.images_per_second for epoch in record.epochs)
    if not isclose(record.train_seconds, seconds, rel_tol=_ROUNDING):
        return f"train_seconds: its epochs add up to {seconds}, got {record.train_seconds}"
    if not isclose(record.images_per_second, pace, rel_tol=_ROUNDING):
        return f"images_per_second: the median of its epochs is {pace}, got {record.images_per_second}"
    return None


def _miscounted(tested: FinalMetrics) -> str | None:
    """The test accuracies against the test examples that were classified rightly."""
    top5 = tested.test_top5_accuracy
    if top5 is not None and top5 < tested.test_accuracy:
        return f"tested.test_top5_accuracy: must not be less than test_accuracy {tested.test_accuracy}, got {top5}"
    if tested.correct is None:
        return None
    try:
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(tested.correct), dtype=np.uint8))
    except ValueError:
        return "tested.correct: not bits in hexadecimal digits"
    right, most = int(bits.sum()), len(bits)
    counts = [counted] if isinstance(counted := tested.details.get("test_examples"), int) else range(most - 7, most + 1)
    if not any(count > 0 and isclose(right / count, tested.test_accuracy, rel_tol=_ROUNDING) for count in counts):
        rule = f"by its bits {right} of {counts[-1]} examples are right"
        return f"tested.test_accuracy: {rule}, got {tested.test_accuracy}"
    return _confused(tested.details.get("confusion"), right)


def _confused(confusion: object, right: int) -> str | None:
    """The confusion's diagonal against the number of examples that were classified rightly; None: it is not there."""
    if confusion is None:
        return None
    with suppress(ValueError):  # rows of several lengths
        table = np.asarray(confusion)
        if table.ndim == 2 and table.dtype.kind == "i" and np.trace(table) == right:
            return None
    return f"tested.details.confusion: {right} examples are right by the bits, its diagonal does not add up to that"


def _unlike(record: Record, asked: ExpectedVariant) -> str | None:
    """Where the run is not the study's variant: the first path that differs."""
    for path, wanted, got in _differences(record, asked):
        return f"{path}: the study's variant {asked.variant.name} says {wanted!r}, got {got!r}"
    for cost, recorded in record.costs.items():
        if asked.costs.get(cost, recorded) != recorded:
            return f"costs.{cost}: the arch has {asked.costs[cost]}, got {recorded}"
    return None


def _differences(record: Record, asked: ExpectedVariant) -> Iterator[tuple[str, object, object]]:
    """Path, what the study says, what the run was. Data of one shape that are declared otherwise do not differ."""
    variant, run = asked.variant, record.run
    for field in Shape._fields:
        asked_for, had = getattr(variant.data.shape, field), getattr(run.data.shape, field)
        if asked_for != had:
            yield f"run.data.{field}", asked_for, had
    for name, wanted, ran in (
        ("arch", asked.arch, run.arch),
        ("data", variant.data, run.data),
        ("train", asked.train, run.train),
    ):
        if wanted == ran:
            continue
        for path, (one, other) in find_differences(wanted, ran).items():
            if (name != "data" or path not in DECLARATION_FIELDS) and (name, path) != ("train", "keep"):
                yield f"run.{name}.{path}", one, other

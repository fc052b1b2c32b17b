"""Comparison of a run that was trained again with its record: bit for bit, or within the spread of its seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from vgg_ablate.analysis.stats import ALPHA
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.text import truncate
from vgg_ablate.records import DECISIVE_FACTS, Epoch, FinalMetrics, Record

_AVERAGING_TOLERANCE = 0.001  # of test accuracy: stored float16 probabilities change few answers of an ensemble
_CLOCK_FIELDS = {"seconds", "cpu_seconds", "images_per_second"}  # of an epoch: never the same twice


@dataclass(frozen=True)
class Reproduction:
    """The result of the comparison: a sentence per difference, and whether the run was compared bit for bit."""

    agrees: bool
    is_bitwise: bool
    differences: tuple[str, ...]


def compare_reproduction(stored: Record, repeated: Record, variant_records: Sequence[Record]) -> Reproduction:
    """Compare a record with the same run trained again; `variant_records` are the records of all seeds of its variant.

    On the same device, threads, precision and torch, every number must be the same. Elsewhere the test error must lie
    in the 95 % prediction interval for one more seed of the variant.
    """
    if stored.tested is not None and stored.is_averaged:
        return _compare_averaged(stored.tested, repeated)
    changes = list(_find_environment_changes(stored, repeated))
    if not changes:
        differences = tuple(_find_differences(stored, repeated))
        return Reproduction(not differences, True, differences)
    agrees, sentence = _compare_with_seeds(repeated, variant_records)
    return Reproduction(agrees, False, (*changes, sentence))


def _compare_averaged(stored: FinalMetrics, repeated: Record) -> Reproduction:
    """Compare an ensemble that was averaged from stored predictions with the same ensemble trained as a whole."""
    if repeated.tested is None:
        return Reproduction(False, False, (f"outcome: recorded finished, now {repeated.outcome}",))
    difference = abs(stored.test_accuracy - repeated.tested.test_accuracy)
    sentence = f"recorded {stored.test_accuracy!r} from stored predictions, trained {repeated.tested.test_accuracy!r}"
    return Reproduction(difference <= _AVERAGING_TOLERANCE, False, (f"tested.test_accuracy: {sentence}",))


def _find_environment_changes(stored: Record, repeated: Record) -> Iterator[str]:
    for name in DECISIVE_FACTS:
        before, now = stored.environment.get(name), repeated.environment.get(name)
        if before != now:
            yield f"environment.{name}: recorded on {before!r}, now {now!r}: not compared bit for bit"


def _find_differences(stored: Record, repeated: Record) -> Iterator[str]:
    if stored.outcome is not repeated.outcome:
        yield f"outcome: recorded {stored.outcome}, now {repeated.outcome}"
    if len(stored.epochs) != len(repeated.epochs):
        yield f"epochs: recorded {len(stored.epochs)}, now {len(repeated.epochs)}"
    for before, now in zip(stored.epochs, repeated.epochs, strict=False):
        yield from _compare_fields(f"epochs[{before.epoch - 1}]", before, now, _CLOCK_FIELDS)
    if stored.tested is not None and repeated.tested is not None:
        yield from _compare_fields("tested", stored.tested, repeated.tested, {"details"})


def _compare_fields(
    path: str, before: Epoch | FinalMetrics, now: Epoch | FinalMetrics, ignored: set[str]
) -> Iterator[str]:
    old, new = before.model_dump(exclude=ignored), now.model_dump(exclude=ignored)
    for name, value in old.items():
        if value != new[name]:
            yield f"{path}.{name}: recorded {truncate(repr(value), 40)}, now {truncate(repr(new[name]), 40)}"


def _compare_with_seeds(repeated: Record, variant_records: Sequence[Record]) -> tuple[bool, str]:
    """Return whether the test error lies in Student's prediction interval for one more observation, and a sentence."""
    errors = [100 * (1 - record.tested.test_accuracy) for record in variant_records if record.tested is not None]
    if repeated.tested is None:
        return False, f"outcome: {repeated.outcome}: there is no test error to compare"
    if len(errors) < FEWEST_SEEDS:
        return False, f"{len(errors)} recorded seeds of the variant are too few for an interval"
    error = 100 * (1 - repeated.tested.test_accuracy)
    n, mean, sd = len(errors), float(np.mean(errors)), float(np.std(errors, ddof=1))
    reach = float(special.stdtrit(n - 1, 1 - ALPHA / 2)) * sd * sqrt(1 + 1 / n)
    interval = numbers.format_interval(mean - reach, mean + reach, sd / sqrt(n))
    agrees = mean - reach <= error <= mean + reach
    side = "inside" if agrees else "outside"
    return agrees, (
        f"test error {numbers.format_number(error, 2)} %, {side} {interval}, the interval for one more of {n} seeds"
    )

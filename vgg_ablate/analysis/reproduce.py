"""A run that was trained again, beside its record: the same bit for bit, or where its seeds say it should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from scipy import special

from vgg_ablate.analysis.verdicts import FEWEST_SEEDS
from vgg_ablate.formatting import numbers
from vgg_ablate.records import Epoch, FinalMetrics, Record

BITWISE_ENVIRONMENT = ("device", "device_name", "threads", "precision", "memory_format", "torch", "system")
_ROUNDED = 0.001  # of the test set: answers that float16 probabilities of an ensemble's nets may change
_CLOCK = {"seconds", "cpu_seconds", "images_per_second"}  # of an epoch: never the same twice


@dataclass(frozen=True)
class Reproduction:
    """Whether a run could be had again, how closely that was asked, and what differs, a sentence each."""

    agrees: bool
    exactly: bool  # was it compared bit for bit?
    differences: tuple[str, ...]


def compare_reproduction(stored: Record, again: Record, of_variant: Sequence[Record]) -> Reproduction:
    """Compare a record with the same run trained again; `of_variant` are the records of all of its variant's seeds.

    Where everything that decides the bits agrees (device, threads, precision, torch), every number must be the same.
    Elsewhere the test error must lie in the 95 % interval for one more seed of the variant.
    """
    if stored.tested is not None and stored.averaged:
        return _composed(stored.tested, again)
    other = list(_environment(stored, again))
    if not other:
        differences = tuple(_numbers(stored, again))
        return Reproduction(not differences, True, differences)
    inside, said = _inside(again, of_variant)
    return Reproduction(inside, False, (*other, said))


def _composed(stored: FinalMetrics, again: Record) -> Reproduction:
    """An ensemble that was evaluated by kept predictions, beside one that was trained: float16 moves few answers."""
    if again.tested is None:
        return Reproduction(False, False, (f"outcome: recorded finished, now {again.outcome}",))
    apart = abs(stored.test_accuracy - again.tested.test_accuracy)
    said = f"recorded {stored.test_accuracy!r} by kept predictions, trained {again.tested.test_accuracy!r}"
    return Reproduction(apart <= _ROUNDED, False, (f"tested.test_accuracy: {said}",))


def _environment(stored: Record, again: Record) -> Iterator[str]:
    for name in BITWISE_ENVIRONMENT:
        before, now = stored.environment.get(name), again.environment.get(name)
        if before != now:
            yield f"environment.{name}: recorded on {before!r}, now {now!r}: not compared bit for bit"


def _numbers(stored: Record, again: Record) -> Iterator[str]:
    if stored.outcome is not again.outcome:
        yield f"outcome: recorded {stored.outcome}, now {again.outcome}"
    if len(stored.epochs) != len(again.epochs):
        yield f"epochs: recorded {len(stored.epochs)}, now {len(again.epochs)}"
    for before, now in zip(stored.epochs, again.epochs, strict=False):
        yield from _fields(f"epochs[{before.epoch - 1}]", before, now, _CLOCK)
    if stored.tested is not None and again.tested is not None:
        yield from _fields("tested", stored.tested, again.tested, {"details"})


def _fields(place: str, before: Epoch | FinalMetrics, now: Epoch | FinalMetrics, left_out: set[str]) -> Iterator[str]:
    old, new = before.model_dump(exclude=left_out), now.model_dump(exclude=left_out)
    for name, value in old.items():
        if value != new[name]:
            yield f"{place}.{name}: recorded {_cut(value)}, now {_cut(new[name])}"


def _inside(again: Record, of_variant: Sequence[Record]) -> tuple[bool, str]:
    """Student's prediction interval for one more observation."""
    errors = [100 * (1 - record.tested.test_accuracy) for record in of_variant if record.tested is not None]
    if again.tested is None:
        return False, f"outcome: {again.outcome}: there is no test error to compare"
    if len(errors) < FEWEST_SEEDS:
        return False, f"{len(errors)} recorded seeds of the variant are too few for an interval"
    found = 100 * (1 - again.tested.test_accuracy)
    n, mean, sd = len(errors), float(np.mean(errors)), float(np.std(errors, ddof=1))
    reach = float(special.stdtrit(n - 1, 0.975)) * sd * sqrt(1 + 1 / n)
    interval = numbers.format_interval(mean - reach, mean + reach, sd / sqrt(n))
    inside = mean - reach <= found <= mean + reach
    where = "inside" if inside else "outside"
    said = f"test error {numbers.format_number(found, 2)} %, {where} {interval}, the interval for one more of {n} seeds"
    return inside, said


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."

"""A claim: a sentence about a difference between two variants, with a margin."""

from __future__ import annotations

from math import inf
from typing import Literal, Self

from pydantic import model_validator

from vgg_ablate.spec.values import Frozen, Name, NonNegative

Kind = Literal["better", "worse", "not_worse", "equivalent", "different"]
Metric = Literal[
    "test_error",
    "test_accuracy",
    "val_error",
    "val_accuracy",
    "test_top5_error",
    "params",
    "macs",
    "activations",
    "train_seconds",
    "images_per_second",
]
EXACT: frozenset[str] = frozenset({"params", "macs", "activations"})  # the same for every seed
HIGHER_IS_BETTER: frozenset[str] = frozenset({"test_accuracy", "val_accuracy", "images_per_second"})


class Claim(Frozen):
    """`a` is `kind` than `b` on `metric` by `margin`; margins of errors and accuracies are percentage points."""

    id: Name
    text: str
    kind: Kind
    a: str
    b: str = "base"
    metric: Metric = "test_error"
    margin: NonNegative = 0.0

    @model_validator(mode="after")
    def _needs_a_margin(self) -> Self:
        if self.kind in ("equivalent", "not_worse") and self.margin == 0:
            raise ValueError(f"a claim of kind {self.kind} needs a margin greater than 0")
        return self

    @property
    def region(self) -> tuple[float, float]:
        """(lo, hi): where the claim says that the gain of a over b lies; for `different`, where it does not."""
        return {
            "better": (self.margin, inf),
            "worse": (-inf, -self.margin),
            "not_worse": (-self.margin, inf),
            "equivalent": (-self.margin, self.margin),
            "different": (-self.margin, self.margin),
        }[self.kind]

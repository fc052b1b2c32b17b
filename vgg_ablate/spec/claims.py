"""A claim: a sentence about a difference between two variants, or two levels of a factor, with a margin."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Literal, Self

from pydantic import model_validator

from vgg_ablate.errors import nearest
from vgg_ablate.spec.values import Frozen, Name, NonNegative, Wrong

Levels = Mapping[str, Mapping[str, str]]  # variant -> factor -> level; no factors: an empty mapping

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
    """`a` is `kind` than `b` on `metric` by `margin`; margins of errors and accuracies are percentage points.

    A side is a variant, or `factor=level`: the mean over all variants at that level (a main effect). `within` restricts
    both sides to a level of another factor; with `against` too, the claim is about how much the effect of a over b
    within the one exceeds that within the other: an interaction.
    """

    id: Name
    text: str
    kind: Kind
    a: str
    b: str = "base"
    metric: Metric = "test_error"
    margin: NonNegative = 0.0
    within: str | None = None  # factor=level
    against: str | None = None  # factor=level

    @model_validator(mode="after")
    def _needs_a_margin(self) -> Self:
        if self.kind in ("equivalent", "not_worse") and self.margin == 0:
            raise Wrong(f"a claim of kind {self.kind} needs a margin greater than 0", field="margin")
        return self

    @model_validator(mode="after")
    def _against_what(self) -> Self:
        if self.against is not None and self.within is None:
            raise ValueError("against needs within: the effect within one level against that within another")
        return self

    def contrast(self, levels: Levels) -> dict[str, float]:
        """The weight of every variant in "a minus b"; weights sum to 0. `levels` has every variant of the study.

        Raises Wrong, with the field, where a side is neither a variant nor a level, or nothing is compared.
        """
        weights = dict.fromkeys(levels, 0.0)
        for place, sign in ((self.within, 1), (self.against, -1)) if self.against else ((self.within, 1),):
            field = "within" if sign > 0 else "against"
            for side, name in (("a", self.a), ("b", self.b)):
                cells = _cells(side, name, field, place, levels)
                for cell in cells:
                    weights[cell] += sign * (1 if side == "a" else -1) / len(cells)
        weights = {name: weight for name, weight in weights.items() if abs(weight) > 1e-12}
        if not weights:
            raise Wrong("compares a thing with itself", field="b", got=self.b)
        return weights

    def problems(self, levels: Levels) -> list[Wrong]:
        """Everything that is wrong with its sides and places, each with its field; empty where `contrast` works."""
        found = []
        for field in ("a", "b", "within", "against"):
            name = getattr(self, field)
            if name is None or (field in ("a", "b") and name in levels):
                continue
            try:
                _at(field, name, levels)
            except Wrong as wrong:
                found.append(wrong)
        if not found:
            try:
                self.contrast(levels)
            except Wrong as wrong:
                found.append(wrong)
        return found

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


def _cells(side: str, name: str, field: str, place: str | None, levels: Levels) -> list[str]:
    """The variants that a side stands for."""
    here = list(levels) if place is None else _at(field, place, levels)
    if name in levels:
        if name not in here:
            raise Wrong(f"the variant {name} is not at this level", field=field, got=place)
        return [name]
    cells = [variant for variant in _at(side, name, levels) if variant in here]
    if not cells:
        raise Wrong(f"no variant is at {name} and at this level", field=field, got=place)
    return cells


def _at(field: str, place: str, levels: Levels) -> list[str]:
    """The variants at `factor=level`, where the factor may be the last part of its path."""
    factor, equals, level = place.rpartition("=")
    found = [
        variant
        for variant, its in levels.items()
        if equals and any(factor in (name, name.rsplit(".", 1)[-1]) and its[name] == level for name in its)
    ]
    if not found:
        known = {f"{name.rsplit('.', 1)[-1]}={its[name]}" for its in levels.values() for name in its}
        known |= set() if field in ("within", "against") else set(levels)
        what = "no such level of a factor" if field in ("within", "against") else "no such variant"
        there = f"; there are {', '.join(sorted(known)[:12])}" if known else "; this design has no factors"
        raise Wrong(what + there, field=field, got=place, nearest=nearest(place, known))
    return found

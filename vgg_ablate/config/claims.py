"""A claim: a sentence about a difference between two sides, or about a trend over variants, with a margin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vgg_ablate.config.search import COSTS
from vgg_ablate.config.types import FrozenModel, InvalidValueError, Name, NonNegative
from vgg_ablate.errors import find_nearest

FactorLevels = Mapping[str, Mapping[str, str]]  # variant -> factor -> level; no factors: an empty mapping
TrendQuantities = Mapping[str, Mapping[str, float]]  # what a trend is over -> variant -> its number
ClaimSide = str | Annotated[tuple[str, ...], Field(min_length=1)]

ClaimKind = Literal["better", "worse", "not_worse", "equivalent", "different"]
MetricName = Literal[
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
    "trained",
]
EXACT_METRICS: frozenset[str] = frozenset({"params", "macs", "activations"})  # the same for every seed
HIGHER_IS_BETTER_METRICS: frozenset[str] = frozenset({"test_accuracy", "val_accuracy", "images_per_second", "trained"})
PERCENTAGE_SUFFIXES = ("error", "accuracy")  # metrics of these endings are compared in percentage points
PER_MILLION_METRICS: frozenset[str] = frozenset({"params", "macs", "activations"})  # a trend over these is per million


class Trend(FrozenModel):
    """The slope of the gain over a quantity of the variants, by least squares, one slope per seed.

    `over` is a cost of the nets (weight_layers, params, ...), the path of a number in the study (train.epochs), or a
    factor of the design whose levels are numbers.
    """

    over: str
    variants: Annotated[tuple[str, ...], Field(min_length=2)]

    def slope(self, quantities: TrendQuantities) -> dict[str, float]:
        """The weight of every variant in the slope, (x - mean x) / sum((x - mean x)^2); weights sum to 0.

        A variant at the mean has weight 0 and stays: its runs are part of what the claim is about. Raises Wrong where a
        variant has no number or all have the same.
        """
        numbers = quantities.get(self.over, {})
        if lacking := [name for name in self.variants if name not in numbers]:
            raise InvalidValueError(f"has no number for {lacking[0]}", field="trend.over", got=self.over)
        mean = sum(numbers[name] for name in self.variants) / len(self.variants)
        apart = {name: numbers[name] - mean for name in self.variants}
        if len({numbers[name] for name in self.variants}) == 1:
            rule = f"is {numbers[self.variants[0]]:.15g} in every variant: there is no slope"
            raise InvalidValueError(rule, field="trend.over", got=self.over)
        squares = sum(value**2 for value in apart.values())
        return {name: value / squares for name, value in apart.items()}


class Claim(FrozenModel):
    """`a` is `kind` than `b` on `metric` by `margin`; margins of errors and accuracies are percentage points.

    A side is a variant, or `factor=level`: the mean over all variants at that level (a main effect), or a list of
    these: their mean. `within` restricts both sides to a level of another factor; with `against` too, the claim is
    about how much the effect of a over b within the one exceeds that within the other: an interaction.

    With `trend` in place of the sides, the claim is about the slope of the gain over the variants that it lists, and
    `margin` is per unit of what it is over.

    The metric `trained` counts the runs that trained, as opposed to those that diverged or stalled at chance.
    """

    id: Name
    text: str
    kind: ClaimKind
    a: ClaimSide | None = None
    b: ClaimSide = "base"
    trend: Trend | None = None
    metric: MetricName = "test_error"
    margin: NonNegative = 0.0
    smallest_effect: NonNegative | None = None  # the smallest difference that matters; None: the study's
    within: str | None = None  # factor=level
    against: str | None = None  # factor=level

    @model_validator(mode="after")
    def _sides_or_a_trend(self) -> Self:
        if self.trend is None and self.a is None:
            raise InvalidValueError("must be given", field="a")
        if self.trend is not None:
            for field in ("a", "b", "within", "against"):
                if field in self.model_fields_set:
                    raise InvalidValueError("a claim with a trend has no sides", field=field, got=getattr(self, field))
        return self

    @model_validator(mode="after")
    def _counts_have_no_size(self) -> Self:
        if self.metric != "trained":
            return self
        if self.margin:
            raise InvalidValueError("a claim on `trained` takes no margin", field="margin", got=self.margin)
        if self.kind not in ("better", "worse", "different"):
            raise InvalidValueError("a claim on `trained` is better, worse or different", field="kind", got=self.kind)
        if self.trend is not None or self.against is not None:
            field = "trend" if self.trend is not None else "against"
            raise InvalidValueError("a claim on `trained` compares two sides: it counts runs", field=field)
        return self

    @model_validator(mode="after")
    def _needs_a_margin(self) -> Self:
        if self.kind in ("equivalent", "not_worse") and self.margin == 0:
            raise InvalidValueError(f"a claim of kind {self.kind} needs a margin greater than 0", field="margin")
        return self

    @model_validator(mode="after")
    def _against_what(self) -> Self:
        if self.against is not None and self.within is None:
            raise ValueError("against needs within: the effect within one level against that within another")
        return self

    def compute_contrast(self, levels: FactorLevels, quantities: TrendQuantities | None = None) -> dict[str, float]:
        """The weight of every variant in "a minus b", or in the slope of a trend; weights sum to 0.

        `levels` has every variant of the study, `quantities` the numbers that trends are over. Raises Wrong, with the
        field, where a side is neither a variant nor a level, or nothing is compared.
        """
        if self.trend is not None:
            return self.trend.slope(quantities or {})
        weights = dict.fromkeys(levels, 0.0)
        for place, sign in ((self.within, 1), (self.against, -1)) if self.against else ((self.within, 1),):
            field = "within" if sign > 0 else "against"
            sides = {side: _shares(side, list_side_names(self, side), field, place, levels) for side in ("a", "b")}
            self._must_not_overlap(sides["a"], sides["b"])
            for side, shares in sides.items():
                for cell, share in shares.items():
                    weights[cell] += sign * (1 if side == "a" else -1) * share
        weights = {name: weight for name, weight in weights.items() if abs(weight) > 1e-12}
        if not weights:
            raise InvalidValueError("compares a thing with itself", field="b", got=self.b)
        return weights

    def problems(self, levels: FactorLevels, quantities: TrendQuantities | None = None) -> list[InvalidValueError]:
        """Everything that is wrong with its sides and places, each with its field; empty where `contrast` works.

        A trend over a cost that `quantities` leaves out is not judged: costs are known once the nets are.
        """
        found = self._trend_problems(levels) if self.trend is not None else self._side_problems(levels)
        known = self.trend is None or self.trend.over not in COSTS or self.trend.over in (quantities or {})
        if not found and known:
            try:
                self.compute_contrast(levels, quantities)
            except InvalidValueError as wrong:
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

    def _side_problems(self, levels: FactorLevels) -> list[InvalidValueError]:
        found = []
        sides = [pair for side in ("a", "b") for pair in list_side_names(self, side)]
        places = [(field, getattr(self, field)) for field in ("within", "against")]
        for field, name in (*sides, *places):
            if name is None or (field not in ("within", "against") and name in levels):
                continue
            try:
                _at(field, name, levels)
            except InvalidValueError as wrong:
                found.append(wrong)
        return found

    def _trend_problems(self, levels: FactorLevels) -> list[InvalidValueError]:
        found: list[InvalidValueError] = []
        for index, name in enumerate(self.trend.variants if self.trend is not None else ()):
            field = f"trend.variants[{index}]"
            if name not in levels:
                rule = f"no such variant; there are {', '.join(sorted(levels)[:12])}"
                found.append(InvalidValueError(rule, field=field, got=name, nearest=find_nearest(name, levels)))
            elif self.trend is not None and name in self.trend.variants[:index]:
                found.append(InvalidValueError("is listed twice", field=field, got=name))
        return found

    def _must_not_overlap(self, a: Mapping[str, float], b: Mapping[str, float]) -> None:
        """A list, or a count, whose sides share a variant is a mistake; levels of two factors share theirs."""
        lists = isinstance(self.a, tuple) or isinstance(self.b, tuple)
        shared = [name for name in a if name in b]
        if (lists or self.metric == "trained") and shared and self.a != self.b:
            raise InvalidValueError(f"{shared[0]} is on both sides", field="b", got=self.b)


def list_side_names(claim: Claim, side: str) -> list[tuple[str, str]]:
    """Field and name of everything that makes up a side: `a`, or `a[0]` and `a[1]` of a list; none of a trend."""
    given: ClaimSide | None = getattr(claim, side) if claim.trend is None else None
    if given is None or isinstance(given, str):
        return [] if given is None else [(side, given)]
    return [(f"{side}[{index}]", name) for index, name in enumerate(given)]


def _shares(
    side: str, names: Sequence[tuple[str, str]], field: str, place: str | None, levels: FactorLevels
) -> dict[str, float]:
    """The variants that a side stands for, each with its share of the mean."""
    shares: dict[str, float] = {}
    for name_field, name in names:
        cells = _cells(name_field, name, field, place, levels)
        for cell in cells:
            if cell in shares:
                raise InvalidValueError(f"{cell} is on this side twice", field=name_field, got=name)
            shares[cell] = 1 / len(cells) / len(names)
    return shares


def _cells(side: str, name: str, field: str, place: str | None, levels: FactorLevels) -> list[str]:
    """The variants that a name on a side stands for."""
    here = list(levels) if place is None else _at(field, place, levels)
    if name in levels:
        if name not in here:
            raise InvalidValueError(f"the variant {name} is not at this level", field=field, got=place)
        return [name]
    cells = [variant for variant in _at(side, name, levels) if variant in here]
    if not cells:
        raise InvalidValueError(f"no variant is at {name} and at this level", field=field, got=place)
    return cells


def _at(field: str, place: str, levels: FactorLevels) -> list[str]:
    """The variants at `factor=level`, where the factor may be the last part of its path."""
    factor, equals, level = place.rpartition("=")
    found = [variant for variant, its in levels.items() if equals and level in _named(factor, its)]
    if not found:
        known = {f"{name.rsplit('.', 1)[-1]}={its[name]}" for its in levels.values() for name in its}
        known |= set() if field in ("within", "against") else set(levels)
        what = "no such level of a factor" if field in ("within", "against") else "no such variant"
        there = f"; there are {', '.join(sorted(known)[:12])}" if known else "; this design has no factors"
        raise InvalidValueError(what + there, field=field, got=place, nearest=find_nearest(place, known))
    return found


def _named(factor: str, levels: Mapping[str, str]) -> Iterator[str]:
    """A variant's levels of the factors of this name, whole or the last part of it."""
    return (level for name, level in levels.items() if factor in (name, name.rsplit(".", 1)[-1]))

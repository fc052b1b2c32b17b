"""Claims: statements about a difference between two sides, or about a trend over variants, with a margin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vgg_ablate.config.constraints import COSTS
from vgg_ablate.config.published import PublishedValue
from vgg_ablate.config.types import FrozenModel, InvalidValueError, Name, NonNegative, find_repeated
from vgg_ablate.errors import MAX_PROBLEMS, find_nearest

FactorLevels = Mapping[str, Mapping[str, str]]  # variant -> factor -> level; an empty mapping without factors
TrendQuantities = Mapping[str, Mapping[str, float]]  # quantity of a trend -> variant -> number
ClaimSide = str | Annotated[tuple[str, ...], Field(min_length=1)]

ClaimKind = Literal["better", "worse", "not_worse", "equivalent", "different"]
ExpectedVerdict = Literal["supported", "refuted", "no difference"]
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
PERCENTAGE_SUFFIXES = ("error", "accuracy")  # such metrics are compared in percentage points
PER_MILLION_METRICS: frozenset[str] = frozenset({"params", "macs", "activations"})  # trends over these are per million


class Trend(FrozenModel):
    """The least-squares slope of the gain over a quantity of the variants, one slope per seed.

    `over` is a cost of the nets (weight_layers, params, ...), the path of a number in the study (train.epochs), or a
    factor of the design whose levels are numbers.
    """

    over: str
    """Quantity of the variants: a cost, the path of a number, or a factor whose levels are numbers.

    Example: weight_layers
    """
    variants: Annotated[tuple[str, ...], Field(min_length=2)]
    """Names of at least two variants. Example: [A, B, D, E]"""

    def compute_weights(self, quantities: TrendQuantities) -> dict[str, float]:
        """Return the weight of every variant in the slope, (x - mean x) / sum((x - mean x)^2); the weights sum to 0.

        Raises InvalidValueError if a variant has no number, or if all variants have the same.
        """
        numbers = quantities.get(self.over, {})
        if missing := [name for name in self.variants if name not in numbers]:
            raise InvalidValueError(f"has no value for variant {missing[0]}", field="trend.over", got=self.over)
        if len({numbers[name] for name in self.variants}) == 1:
            rule = f"is {numbers[self.variants[0]]:.15g} in every variant, so that no slope is defined"
            raise InvalidValueError(rule, field="trend.over", got=self.over)
        mean = sum(numbers[name] for name in self.variants) / len(self.variants)
        deviations = {name: numbers[name] - mean for name in self.variants}
        sum_of_squares = sum(deviation**2 for deviation in deviations.values())
        # A variant at the mean has weight 0 and stays: a claim is not judged without the runs of all its variants.
        return {name: deviation / sum_of_squares for name, deviation in deviations.items()}


class Claim(FrozenModel):
    """The statement that `a` is `kind` than `b` on `metric` by `margin` (percentage points for errors and accuracies).

    A side is a variant, a level `factor=level` (the mean over all variants at that level: a main effect), or a list of
    these (their mean). `within` restricts both sides to a level of another factor. With `against`, the claim is about
    the difference between the effect of a over b within one level and within the other: an interaction.

    With `trend` instead of sides, the claim is about the slope of the gain over the listed variants, and `margin` is
    per unit of the trend's quantity.

    The metric `trained` counts the runs that trained, and neither diverged nor stalled at chance level.
    """

    id: Name
    """Short name of the claim, unique in the study. Example: norm-helps"""
    text: str
    """The statement in words, printed in the report. Example: batch normalisation lowers the test error"""
    kind: ClaimKind
    """What is claimed of a against b. Example: better"""
    a: ClaimSide | None = None
    """Side of the claim: a variant, a level `factor=level` (the mean over its variants), or a list of these.

    Example: normalised
    """
    b: ClaimSide | PublishedValue = "base"
    """Side that a is compared with, written like a; or a published number with its source.

    Example: base
    """
    trend: Trend | None = None
    """Slope over several variants, instead of two sides. Example: {over: weight_layers, variants: [A, B, D, E]}"""
    metric: MetricName = "test_error"
    """What is compared. `trained` counts the runs that neither diverged nor stalled at chance level.

    Example: test_error
    """
    margin: NonNegative = 0.0
    """Difference that a must exceed (better, worse, different) or stay within (not_worse, equivalent); for a trend, per
    unit of its quantity.

    Unit: percentage points for errors and accuracies. Example: 0.5
    """
    smallest_effect: NonNegative | None = None
    """Smallest difference that matters for this claim; without it, that of the study.

    Unit: percentage points for errors and accuracies. Example: 0.5
    """
    expect: ExpectedVerdict | None = None
    """Verdict that `test` requires, as for a result that must not get lost. Example: supported"""
    within: str | None = None
    """Level `factor=level` to which both sides are restricted. Example: norm=batch"""
    against: str | None = None
    """Another level: the claim is that the effect of a over b differs between it and `within` (an interaction).

    Example: norm=none
    """

    @model_validator(mode="after")
    def _check_sides_or_trend(self) -> Self:
        if self.trend is None and self.a is None:
            raise InvalidValueError("must be given", field="a")
        if self.trend is not None:
            for field in ("a", "b", "within", "against"):
                if field in self.model_fields_set:
                    raise InvalidValueError("cannot be combined with trend", field=field, got=getattr(self, field))
        return self

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        if self.metric != "trained":
            return self
        if self.margin:
            raise InvalidValueError("must be 0 for the metric trained", field="margin", got=self.margin)
        if self.kind not in ("better", "worse", "different"):
            rule = "must be better, worse or different for the metric trained"
            raise InvalidValueError(rule, field="kind", got=self.kind)
        if self.trend is not None or self.against is not None:
            field = "trend" if self.trend is not None else "against"
            rule = "cannot be combined with the metric trained, which compares counts of runs on two sides"
            raise InvalidValueError(rule, field=field)
        return self

    @model_validator(mode="after")
    def _check_published(self) -> Self:
        if self.published is None:
            return self
        if self.within is not None or self.against is not None:
            field = "within" if self.within is not None else "against"
            raise InvalidValueError("cannot be combined with a published value", field=field, got=getattr(self, field))
        if self.metric == "trained":
            raise InvalidValueError("cannot be compared with a published value", field="metric", got=self.metric)
        return self

    @model_validator(mode="after")
    def _check_margin(self) -> Self:
        if self.kind in ("equivalent", "not_worse") and self.margin == 0:
            raise InvalidValueError(f"must be greater than 0 for a claim of kind {self.kind}", field="margin")
        return self

    @model_validator(mode="after")
    def _check_against(self) -> Self:
        if self.against is not None and self.within is None:
            raise ValueError("against requires within")
        return self

    @property
    def published(self) -> PublishedValue | None:
        """The published value that side a is compared with; None where side b is a variant."""
        return self.b if isinstance(self.b, PublishedValue) and self.trend is None else None

    def compute_contrast(self, levels: FactorLevels, quantities: TrendQuantities | None = None) -> dict[str, float]:
        """Return the weight of every variant in "a minus b", or in the slope of a trend; the weights sum to 0.

        Where b is a published value, they are those of a alone, and sum to 1.

        `levels` has an entry for every variant of the study, `quantities` the numbers that trends are over. Raises
        InvalidValueError, with the field, if a side is neither a variant nor a level, or if both sides are the same.
        """
        if self.trend is not None:
            return self.trend.compute_weights(quantities or {})
        if self.published is not None:
            return _compute_shares(list_side_names(self, "a"), "within", None, levels)
        weights = dict.fromkeys(levels, 0.0)
        # An interaction is (a - b within one level) - (a - b within another).
        conditions = [("within", self.within, 1)]
        if self.against:
            conditions.append(("against", self.against, -1))
        for field, condition, sign in conditions:
            sides = {
                side: _compute_shares(list_side_names(self, side), field, condition, levels) for side in ("a", "b")
            }
            self._check_overlap(sides["a"], sides["b"])
            for side, shares in sides.items():
                for variant, share in shares.items():
                    weights[variant] += sign * (1 if side == "a" else -1) * share
        # Shares such as 1/3 and -1/3 cancel up to rounding.
        weights = {name: weight for name, weight in weights.items() if abs(weight) > 1e-12}
        if not weights:
            raise InvalidValueError("both sides are the same", field="b", got=self.b)
        return weights

    def find_problems(self, levels: FactorLevels, quantities: TrendQuantities | None = None) -> list[InvalidValueError]:
        """Return all errors of the sides and levels, each with its field; empty if `compute_contrast` succeeds.

        A trend over a cost that `quantities` lacks is not checked: costs are known only after the nets are resolved.
        """
        errors = self._find_trend_problems(levels) if self.trend is not None else self._find_side_problems(levels)
        is_known = self.trend is None or self.trend.over not in COSTS or self.trend.over in (quantities or {})
        if not errors and is_known:
            try:
                self.compute_contrast(levels, quantities)
            except InvalidValueError as error:
                errors.append(error)
        return errors

    @property
    def region(self) -> tuple[float, float]:
        """The claimed range (low, high) of the gain of a over b; for `different`, the range that is excluded."""
        return {
            "better": (self.margin, inf),
            "worse": (-inf, -self.margin),
            "not_worse": (-self.margin, inf),
            "equivalent": (-self.margin, self.margin),
            "different": (-self.margin, self.margin),
        }[self.kind]

    def _find_side_problems(self, levels: FactorLevels) -> list[InvalidValueError]:
        errors = []
        names = [pair for side in ("a", "b") for pair in list_side_names(self, side) if pair[1] not in levels]
        conditions = [(field, getattr(self, field)) for field in ("within", "against")]
        for field, name in (*names, *conditions):
            if name is None:
                continue
            try:
                _find_variants_at(field, name, levels)
            except InvalidValueError as error:
                errors.append(error)
        return errors

    def _find_trend_problems(self, levels: FactorLevels) -> list[InvalidValueError]:
        errors: list[InvalidValueError] = []
        names = self.trend.variants if self.trend is not None else ()
        repeated = set(find_repeated(names))
        for index, name in enumerate(names):
            if len(errors) >= MAX_PROBLEMS:
                break
            field = f"trend.variants[{index}]"
            if name not in levels:
                rule = f"unknown variant; available: {', '.join(sorted(levels)[:12])}"
                errors.append(InvalidValueError(rule, field=field, got=name, nearest=find_nearest(name, levels)))
            elif name in repeated and name in names[:index]:
                errors.append(InvalidValueError("duplicate variant", field=field, got=name))
        return errors

    def _check_overlap(self, a: Mapping[str, float], b: Mapping[str, float]) -> None:
        # Main effects of two factors share variants by design. In a list, or where runs are counted, it is a mistake.
        has_list = isinstance(self.a, tuple) or isinstance(self.b, tuple)
        shared = [name for name in a if name in b]
        if (has_list or self.metric == "trained") and shared and self.a != self.b:
            raise InvalidValueError(f"{shared[0]} is on both sides", field="b", got=self.b)


def list_side_names(claim: Claim, side: str) -> list[tuple[str, str]]:
    """Return (field, name) for every name of a side: `a`, or `a[0]` and `a[1]` of a list; empty for a trend."""
    names: ClaimSide | PublishedValue | None = getattr(claim, side) if claim.trend is None else None
    if names is None or isinstance(names, PublishedValue):
        return []
    if isinstance(names, str):
        return [(side, names)]
    return [(f"{side}[{index}]", name) for index, name in enumerate(names)]


def _compute_shares(
    names: Sequence[tuple[str, str]], condition_field: str, condition: str | None, levels: FactorLevels
) -> dict[str, float]:
    """Return the variants of a side, each with its share of the mean over the side."""
    shares: dict[str, float] = {}
    for field, name in names:
        variants = _find_variants(field, name, condition_field, condition, levels)
        for variant in variants:
            if variant in shares:
                raise InvalidValueError(f"{variant} appears twice on this side", field=field, got=name)
            shares[variant] = 1 / len(variants) / len(names)
    return shares


def _find_variants(
    field: str, name: str, condition_field: str, condition: str | None, levels: FactorLevels
) -> list[str]:
    """Return the variants that a name on a side stands for, restricted to the level `condition`."""
    allowed = levels.keys() if condition is None else set(_find_variants_at(condition_field, condition, levels))
    if name in levels:  # names of variants take precedence over `factor=level`
        if name not in allowed:
            raise InvalidValueError(f"variant {name} is not at this level", field=condition_field, got=condition)
        return [name]
    variants = [variant for variant in _find_variants_at(field, name, levels) if variant in allowed]
    if not variants:
        rule = f"no variant at {name} is also at this level"
        raise InvalidValueError(rule, field=condition_field, got=condition)
    return variants


def _find_variants_at(field: str, condition: str, levels: FactorLevels) -> list[str]:
    """Return the variants at `factor=level`; the factor may be given by the last part of its path."""
    factor, equals, level = condition.rpartition("=")
    variants = [name for name, own in levels.items() if equals and level in _list_levels_of(factor, own)]
    if not variants:
        is_side = field not in ("within", "against")
        known = {f"{name.rsplit('.', 1)[-1]}={own[name]}" for own in levels.values() for name in own}
        known |= set(levels) if is_side else set()
        rule = "unknown variant" if is_side else "unknown level of a factor"
        rule += f"; available: {', '.join(sorted(known)[:12])}" if known else "; this design has no factors"
        raise InvalidValueError(rule, field=field, got=condition, nearest=find_nearest(condition, known))
    return variants


def _list_levels_of(factor: str, levels: Mapping[str, str]) -> Iterator[str]:
    """Yield a variant's levels of the factors with this name, which is the whole path or its last part."""
    return (level for name, level in levels.items() if factor in (name, name.rsplit(".", 1)[-1]))

"""The numbers that the trends of claims are over: a variant's value at a path, or its level of a factor."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from math import isfinite

from vgg_ablate.config.claims import Claim
from vgg_ablate.config.constraints import COSTS
from vgg_ablate.config.horizons import CHANGEABLE_KEYS
from vgg_ablate.config.overrides import get_at_path
from vgg_ablate.config.types import InvalidValueError
from vgg_ablate.config.variants import Variant


def collect_quantities(claims: Sequence[Claim], variants: Sequence[Variant]) -> dict[str, dict[str, float]]:
    """Return the numbers of trends over a path or a factor, by quantity and variant, for variants that have one."""
    quantities: dict[str, dict[str, float]] = {}
    for trend in (claim.trend for claim in claims if claim.trend is not None and claim.trend.over not in COSTS):
        numbers = quantities.setdefault(trend.over, {})
        for variant in variants:
            if variant.name in trend.variants and (number := _get_number(variant, trend.over)) is not None:
                numbers[variant.name] = number
    return quantities


def _get_number(variant: Variant, over: str) -> float | None:
    """Return a variant's number at a path, or its level of a factor if that is a number; None otherwise."""
    with contextlib.suppress(InvalidValueError):  # the name of a factor need not be a path
        value = get_at_path(variant.model_dump(mode="json", include=set(CHANGEABLE_KEYS)), over)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    for factor, level in variant.levels.items():
        with contextlib.suppress(ValueError):
            if over in (factor, factor.rsplit(".", 1)[-1]) and isfinite(number := float(level)):
                return number
    return None

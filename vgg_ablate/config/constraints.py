"""`constraints: ["macs <= 60e6", "receptive_field >= 32"]`: bounds on the costs of the archs that a search proposes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from vgg_ablate.config.types import FrozenModel, InvalidValueError, Number, parse_budget_number
from vgg_ablate.errors import find_nearest

# Also the costs that a trend may be over.
COSTS = ("params", "macs", "activations", "receptive_field", "weight_layers", "activation_layers")

_BOUND = re.compile(
    r"(?:(?P<low>[-+.\d]\S*(?:\s+[kMG])?)\s*(?P<below><=|<)\s*)?(?P<cost>[a-z_]+)\s*(?:(?P<sign><=|>=|<|>)\s*(?P<bound>\S+(?:\s+[kMG])?))?"
)


class Constraint(FrozenModel):
    """Bounds on a cost of an arch, both included: `40e6 <= macs <= 60e6`."""

    cost: str
    """Name of the cost. Example: macs"""
    low: Number | None = None
    """Smallest allowed cost; without it, any. Example: 1.0e+6"""
    high: Number | None = None
    """Largest allowed cost; without it, any. Example: 60.0e+6"""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InvalidValueError(
                "the lower bound exceeds the upper bound", got=f"{self.low:.15g} to {self.high:.15g}"
            )
        return self

    def __str__(self) -> str:
        """Return `1,000,000 <= macs <= 60,000,000`, or one side of it."""
        low = "" if self.low is None else f"{self.low:,.15g} <= "
        high = "" if self.high is None else f" <= {self.high:,.15g}"
        return f"{low}{self.cost}{high}" if self.high is not None or not low else f"{self.cost} >= {self.low:,.15g}"

    def compute_excess(self, costs: Mapping[str, int]) -> float:
        """Return the distance from the allowed range as a fraction of the violated bound; at most 0 inside it."""
        value = costs[self.cost]
        # The sampler ranks infeasible proposals by this number, so it must grow with the distance.
        under = -math.inf if self.low is None else (self.low - value) / max(abs(self.low), 1.0)
        over = -math.inf if self.high is None else (value - self.high) / max(abs(self.high), 1.0)
        return max(under, over)


def parse_constraint(text: str) -> dict[str, Any]:
    """Parse `macs <= 60e6` or `40e6 <= macs <= 60e6` into the fields of a Constraint. Raises InvalidValueError."""
    match = _BOUND.fullmatch(text.strip())
    if match is None or not (match["below"] or match["sign"]):
        raise InvalidValueError("must be a cost with bounds, such as macs <= 60e6 or 1e6 <= params <= 5e6", got=text)
    if match["cost"] not in COSTS:
        raise InvalidValueError(
            f"unknown cost; available: {', '.join(COSTS)}",
            got=match["cost"],
            nearest=find_nearest(match["cost"], COSTS),
        )
    bounds: dict[str, Any] = {"cost": match["cost"]}
    if match["below"]:
        bounds["low"] = _parse_bound(match["low"], ">=" if match["below"] == "<=" else ">")
    if match["sign"]:
        side = "high" if match["sign"].startswith("<") else "low"
        bounds[side] = _parse_bound(match["bound"], match["sign"])
    return bounds


def _parse_bound(text: str, sign: str) -> float:
    """Return the closest integer that meets the bound: costs are integers, so `< 5e6` is `<= 5e6 - 1`."""
    try:
        value = float(parse_budget_number(text))
    except ValueError as error:
        raise InvalidValueError("a bound must be a number, such as 60e6 or 60M", got=text) from error
    return {
        "<=": math.floor(value),
        "<": math.ceil(value) - 1,
        ">=": math.ceil(value),
        ">": math.floor(value) + 1,
    }[sign] * 1.0

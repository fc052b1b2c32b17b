"""Designs: how a study's variants are laid out. Each turns into named changes of the base, and the levels of factors.

Without a design the variants are the list that was given.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field

from vgg_ablate.config.search import Search
from vgg_ablate.config.types import ByKind, FrozenModel, InvalidValueError, Name

Changes = dict[str, Any]  # path -> new value
Factor = list[Any] | dict[str, Changes]  # values of the path that names it, or label -> changes


def _told_apart(factors: dict[str, Factor]) -> dict[str, Factor]:
    """Two levels of one name would be one: a row would be missing."""
    for factor, given in factors.items():
        labels = list(given) if isinstance(given, dict) else [_label(value) for value in given]
        if not labels:
            raise InvalidValueError("needs a level", field=factor)
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise InvalidValueError(
                "two levels have this name; `name: {path: value}` gives one", field=factor, got=twice[0]
            )
    return factors


Factors = Annotated[dict[str, Factor], AfterValidator(_told_apart)]


class DesignCell(NamedTuple):
    """One variant of a design, before it is applied to the base."""

    name: str
    changes: Changes
    levels: dict[str, str]  # factor -> level


class ListedVariants(FrozenModel):
    """The variants that were given, and no others."""

    kind: Literal["list"]

    def cells(self) -> list[DesignCell]:
        """None of its own."""
        return []


class OneFactorAtATime(FrozenModel):
    """Every level of every factor, the others as in the base."""

    kind: Literal["one_factor_at_a_time"]
    factors: Factors = Field(min_length=1)

    def cells(self) -> list[DesignCell]:
        """One cell a level."""
        return [
            DesignCell(_name({factor: level}), changes, {factor: level})
            for factor, levels in self.factors.items()
            for level, changes in _levels(factor, levels).items()
        ]


class LeaveOneOut(FrozenModel):
    """The base without one of its parts at a time; a part says which changes take it away."""

    kind: Literal["leave_one_out"]
    parts: dict[Name, Changes] = Field(min_length=1)

    def cells(self) -> list[DesignCell]:
        """One cell a part."""
        return [DesignCell(f"no-{part}", changes, {"without": part}) for part, changes in self.parts.items()]


class Cumulative(FrozenModel):
    """The road from the base: every step keeps the changes of those before it."""

    kind: Literal["cumulative"]
    steps: dict[Name, Changes] = Field(min_length=1)

    def cells(self) -> list[DesignCell]:
        """One cell a step, in order."""
        road = itertools.accumulate(self.steps.items(), lambda before, step: (step[0], {**before[1], **step[1]}))
        return [DesignCell(name, dict(changes), {"step": name}) for name, changes in road]


class Factorial(FrozenModel):
    """Every combination of the factors' levels."""

    kind: Literal["factorial"]
    factors: Factors = Field(min_length=2)

    def cells(self) -> list[DesignCell]:
        """One cell a combination, the last factor varying fastest."""
        named = [[(name, *level) for level in _levels(name, factor).items()] for name, factor in self.factors.items()]
        cells = []
        for combination in itertools.product(*named):
            levels = {factor: level for factor, level, _ in combination}
            changes = {path: value for *_, changes in combination for path, value in changes.items()}
            cells.append(DesignCell(_name(levels), changes, levels))
        return cells


Design = Annotated[
    ListedVariants | OneFactorAtATime | LeaveOneOut | Cumulative | Factorial | Search,
    Field(discriminator="kind"),
    ByKind,
]


def _levels(factor: str, given: Factor) -> dict[str, Changes]:
    if isinstance(given, dict):
        return given
    return {_label(value): {factor: value} for value in given}


def _label(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("kind", ",".join(f"{key}={inner}" for key, inner in value.items()))
    if isinstance(value, list):
        value = "-".join(str(item) for item in value) or "none"
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[^A-Za-z0-9._+=-]+", "-", text).strip("-") or "none"


def _name(levels: Mapping[str, str]) -> str:
    return "+".join(f"{factor.rsplit('.', 1)[-1]}={level}" for factor, level in levels.items())[:80]

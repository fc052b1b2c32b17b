"""Designs: how the variants of a study are laid out.

A design produces cells: named changes of the base, with their levels of the factors. A study without a design has the
variants that it lists.

To add a design, write its class and add it to DESIGNS: all commands, general tables and figures then support it.
Tables of its own are a case in report/design_tables.py, figures of its own entries in report/figures/registry.py.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from vgg_ablate.config.base_design import BaseDesign, DesignCell
from vgg_ablate.config.limits import MAX_VARIANTS, check_count
from vgg_ablate.config.search import Search
from vgg_ablate.config.search_space import Changes
from vgg_ablate.config.types import InvalidValueError, Name, OneOf, find_repeated

Factor = list[Any] | dict[str, Changes]  # values of the path that is its name, or label -> changes


def _check_distinct_levels(factors: dict[str, Factor]) -> dict[str, Factor]:
    """Refuse factors with two levels of one name: the second would silently replace the first."""
    for name, factor in factors.items():
        labels = list(factor) if isinstance(factor, dict) else [_label_value(value) for value in factor]
        if not labels:
            raise InvalidValueError("must have at least one level", field=name)
        if duplicate := find_repeated(labels):
            rule = "duplicate level name; `name: {path: value}` names a level explicitly"
            raise InvalidValueError(rule, field=name, got=duplicate[0])
    return factors


Factors = Annotated[dict[str, Factor], AfterValidator(_check_distinct_levels)]


class ListedVariants(BaseDesign):
    """Only the variants that the study lists."""

    kind: Literal["list"]


class OneFactorAtATime(BaseDesign):
    """Every level of every factor, with the other factors as in the base."""

    kind: Literal["one_factor_at_a_time"]
    factors: Factors = Field(min_length=1)
    """Path with its values, or name of a factor with its levels, each a mapping of changes.

    Example: {arch.norm: [none, batch], head: {small: {arch.head.hidden: [32]}}}
    """

    def list_cells(self) -> list[DesignCell]:
        """Return one cell per level."""
        return [
            DesignCell(_name_cell({name: level}), changes, {name: level})
            for name, factor in self.factors.items()
            for level, changes in _list_levels(name, factor).items()
        ]


class LeaveOneOut(BaseDesign):
    """The base without one of its parts at a time; each part lists the changes that remove it."""

    kind: Literal["leave_one_out"]
    parts: dict[Name, Changes] = Field(min_length=1)
    """Name of a part of the base and the changes that remove it.

    Example: {norm: {arch.norm: none}, dropout: {arch.head.dropout: 0.0}}
    """

    def list_cells(self) -> list[DesignCell]:
        """Return one cell per part."""
        return [DesignCell(f"no-{part}", changes, {"without": part}) for part, changes in self.parts.items()]


class Cumulative(BaseDesign):
    """A sequence of steps from the base, each of which keeps the changes of the steps before it."""

    kind: Literal["cumulative"]
    steps: dict[Name, Changes] = Field(min_length=1)
    """Name of a step and its changes, which all later steps keep.

    Example: {norm: {arch.norm: batch}, deeper: {arch.depth: 3}}
    """

    def list_cells(self) -> list[DesignCell]:
        """Return one cell per step, in order."""
        cells, changes = list[DesignCell](), dict[str, Any]()
        for name, step in self.steps.items():
            changes = {**changes, **step}
            cells.append(DesignCell(name, changes, {"step": name}))
        return cells


class Factorial(BaseDesign):
    """Every combination of the levels of the factors."""

    kind: Literal["factorial"]
    factors: Factors = Field(min_length=2)
    """Path with its values, or name of a factor with its levels, each a mapping of changes.

    Example: {arch.norm: [none, batch], arch.head.hidden: [[], [64]]}
    """

    @field_validator("factors")
    @classmethod
    def _check_cell_count(cls, factors: dict[str, Factor]) -> dict[str, Factor]:
        # Before the cells are listed: seven factors of ten levels are ten million of them.
        check_count(math.prod(map(len, factors.values())), MAX_VARIANTS, "combinations of levels")
        return factors

    def list_cells(self) -> list[DesignCell]:
        """Return one cell per combination; the last factor varies fastest."""
        factors = [
            [(name, level, changes) for level, changes in _list_levels(name, factor).items()]
            for name, factor in self.factors.items()
        ]
        cells = []
        for combination in itertools.product(*factors):
            levels = {name: level for name, level, _ in combination}
            changes = {path: value for *_, changes in combination for path, value in changes.items()}
            cells.append(DesignCell(_name_cell(levels), changes, levels))
        return cells


DESIGNS: list[type[BaseDesign]] = [ListedVariants, OneFactorAtATime, LeaveOneOut, Cumulative, Factorial, Search]
Design = Annotated[BaseDesign, OneOf(DESIGNS)]


def _list_levels(name: str, factor: Factor) -> dict[str, Changes]:
    if isinstance(factor, dict):
        return factor
    return {_label_value(value): {name: value} for value in factor}


def _label_value(value: Any) -> str:
    """Return a name for a value that can be part of a variant's name: `{kind: batch}` is `batch`."""
    # What a person would call the value: the kind of a mapping, the numbers of a list.
    if isinstance(value, Mapping):
        value = value.get("kind", ",".join(f"{key}={inner}" for key, inner in value.items()))
    if isinstance(value, list):
        value = "-".join(str(item) for item in value) or "none"
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[^A-Za-z0-9._+=-]+", "-", text).strip("-") or "none"


def _name_cell(levels: Mapping[str, str]) -> str:
    # 80 characters is the limit of types.Name. Two names that are cut to one are reported as duplicates.
    # A name has no brackets: of arch.head.hidden[0] it has hidden.0.
    labels = (re.sub(r"\[(\d+)\]", r".\1", factor.rsplit(".", 1)[-1]) for factor in levels)
    return "+".join(f"{label}={level}" for label, level in zip(labels, levels.values(), strict=True))[:80]

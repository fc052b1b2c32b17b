"""Dimensions of a design space as columns of numbers, and the layers that each of them shapes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.config.search import Search
from vgg_ablate.config.search_space import NumberRange
from vgg_ablate.errors import Problem, SpecError

Values = NDArray[np.int64] | NDArray[np.float64]  # of one axis: indices of choices, or the numbers of a range

_STAGE_PATHS = ("arch.stages", "arch.depth", "arch.kernel", "arch.between", "arch.stack")
_FRAME_PATHS = (
    "arch.norm",
    "arch.pool",
    "arch.bias",
    "arch.image_size",
    "arch.in_channels",
    "arch.classes",
    "arch.width",
    "data",
)
_COST_FREE_PATHS = ("train", "arch.activation", "arch.init", "arch.head.dropout", "arch.head.convolutional")
BUDGET_PATHS = ("arch.match.macs", "arch.match.params", "arch.match.activations")
STAGE_PATTERN = re.compile(r"arch\.(?:stages|depth)\[(\d+)\](\.channels)?")
_MAX_NUMBERS = 1_000_000  # per axis


@dataclass(frozen=True)
class Axis:
    """One dimension of a space: a number of choices, or the real numbers of a range."""

    path: str
    size: int | None  # number of choices; None: a range of real numbers without a step
    numbers: tuple[float, ...] | None  # the choices, where all of them are numbers
    between: NumberRange | None
    changed_paths: frozenset[str]

    def draw(self, count: int, random: np.random.Generator) -> Values:
        """Return `count` random choices, as indices, or numbers of the range.

        The distribution is that of Optuna's random sampler, so that a sample of a space looks like the first proposals
        of a search in it.
        """
        if self.size is not None and not self.is_log:
            return random.integers(0, self.size, count)
        assert self.between is not None
        low, high = float(self.between.low), float(self.between.high)
        if self.size is not None:
            # Each whole number stands for the reals within 0.5 of it; without that, the two ends would get half of
            # their share.
            numbers = np.exp(random.uniform(log(low - 0.5), log(high + 0.5), count))
            return np.clip(np.rint(numbers) - low, 0, self.size - 1).astype(np.int64)
        if self.is_log:
            return np.clip(np.exp(random.uniform(log(low), log(high), count)), low, high)
        return random.uniform(low, high, count)

    @property
    def is_log(self) -> bool:
        """Whether the axis is a range on a logarithmic scale."""
        return self.between is not None and self.between.log

    def describe_scale(self) -> str:
        """Return in words how the numbers of a range are drawn."""
        assert self.between is not None
        return f"{'log-' * self.is_log}uniformly from {self.between.low:g} to {self.between.high:g}"

    def get_value(self, drawn: float) -> Any:
        """Return the value of a study file that a drawn number stands for; None for choices that are not numbers."""
        if self.size is None:
            return float(drawn)
        if self.between is not None:
            assert self.numbers is not None
            return self.numbers[int(drawn)]
        return None


def build_axis(design: Search, path: str) -> Axis:
    """Return a dimension of a search's space. Raises SpecError where a range has too many numbers for a table."""
    dimension, changed_paths = design.space[path], frozenset(find_changed_paths(design, path))
    if isinstance(dimension, NumberRange):
        if not dimension.is_whole and dimension.step is None:
            return Axis(path, None, None, dimension, changed_paths)
        if (dimension.high - dimension.low) / (dimension.step or 1) > _MAX_NUMBERS:
            rule = f"more than {_MAX_NUMBERS:,} numbers; give a larger step"
            raise SpecError(Problem(rule, f"design.space.{path}"))
        numbers = dimension.list_numbers()
        return Axis(path, len(numbers), tuple(numbers), dimension, changed_paths)
    choices = list(dimension)
    are_numbers = not isinstance(dimension, dict) and all(
        isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices
    )
    return Axis(path, len(choices), tuple(choices) if are_numbers else None, None, changed_paths)


def find_changed_paths(design: Search, name: str) -> set[str]:
    """Return the paths that a dimension changes: its own, or those of its labels."""
    dimension = design.space[name]
    return {path for changes in dimension.values() for path in changes} if isinstance(dimension, dict) else {name}


def affects_group(path: str, group: str) -> bool:
    """Return whether the value at `path` shapes a group of layers: "stage N", "frame", "head" or "match".

    A path that is not known here affects every group: the tables are then larger than needed, but never wrong.
    """
    if is_inert(path):
        return False
    match = STAGE_PATTERN.match(path)
    if match is not None:
        return group == f"stage {match[1]}"
    if any(is_within(path, parent) for parent in _STAGE_PATHS):
        return group.startswith("stage")
    if any(is_within(path, parent) for parent in _FRAME_PATHS):
        return group == "frame"
    if is_within(path, "arch.head"):
        return group == "head"
    if is_within(path, "arch.match"):
        return group == "match"
    return True


def is_inert(path: str) -> bool:
    """Return whether the value at `path` changes no cost."""
    return any(is_within(path, parent) for parent in _COST_FREE_PATHS)


def is_within(path: str, parent: str) -> bool:
    """Return whether `path` is `parent` or lies inside it."""
    return path == parent or path.startswith((f"{parent}.", f"{parent}["))

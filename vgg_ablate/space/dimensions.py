"""The dimensions of a design space as columns of numbers, and which layers each of them shapes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.config.search import NumberRange, Search
from vgg_ablate.errors import Problem, SpecError

Values = NDArray[np.int64] | NDArray[np.float64]

_STAGES = ("arch.stages", "arch.depth", "arch.kernel", "arch.between", "arch.stack")
_FRAME = (
    "arch.norm",
    "arch.pool",
    "arch.bias",
    "arch.image_size",
    "arch.in_channels",
    "arch.classes",
    "arch.width",
    "data",
)
_INERT = ("train", "arch.activation", "arch.init", "arch.head.dropout", "arch.head.convolutional")
BUDGET_PATHS = ("arch.match.macs", "arch.match.params", "arch.match.activations")
STAGE_PATTERN = re.compile(r"arch\.(?:stages|depth)\[(\d+)\](\.channels)?")
_MOST_NUMBERS = 1_000_000  # of one axis


@dataclass(frozen=True)
class Axis:
    """One dimension: so many choices, or numbers in a range."""

    path: str
    size: int | None  # None: a range without an end to its numbers
    numbers: tuple[float, ...] | None  # where all choices are numbers
    between: NumberRange | None
    touches: frozenset[str]  # the paths that it changes

    def draw(self, count: int, random: np.random.Generator) -> Values:
        """Choices by number, or numbers of a range, evenly on its scale: as a search draws its first proposals."""
        if self.size is not None and not self.is_log:
            return random.integers(0, self.size, count)
        assert self.between is not None
        low, high = float(self.between.low), float(self.between.high)
        if self.size is not None:  # whole numbers: each stands for what lies half a unit around it
            drawn = np.exp(random.uniform(log(low - 0.5), log(high + 0.5), count))
            return np.clip(np.rint(drawn) - low, 0, self.size - 1).astype(np.int64)
        if self.is_log:
            return np.clip(np.exp(random.uniform(log(low), log(high), count)), low, high)
        return random.uniform(low, high, count)

    @property
    def is_log(self) -> bool:
        """Is it a range on a log scale?"""
        return self.between is not None and self.between.log

    @property
    def scale(self) -> str:
        """How its numbers are drawn, in words."""
        assert self.between is not None
        return f"{'log-' * self.is_log}uniformly from {self.between.low:g} to {self.between.high:g}"

    def value(self, drawn: float) -> Any:
        """What a ledger would hold for it."""
        if self.size is None:
            return float(drawn)
        if self.between is not None:
            assert self.numbers is not None
            return self.numbers[int(drawn)]
        return None


def build_axis(design: Search, path: str) -> Axis:
    """A dimension of a space. Raises SpecError where it has more numbers than can be written down."""
    dimension, touches = design.space[path], frozenset(find_changed_paths(design, path))
    if isinstance(dimension, NumberRange):
        if not dimension.whole and dimension.step is None:
            return Axis(path, None, None, dimension, touches)
        if (dimension.high - dimension.low) / (dimension.step or 1) > _MOST_NUMBERS:
            rule = f"more than {_MOST_NUMBERS:,} numbers; a step makes them fewer"
            raise SpecError(Problem(rule, f"design.space.{path}"))
        numbers = dimension.grid()
        return Axis(path, len(numbers), tuple(numbers), dimension, touches)
    values = list(dimension)
    plain = not isinstance(dimension, dict) and all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in values
    )
    return Axis(path, len(values), tuple(values) if plain else None, None, touches)


def find_changed_paths(design: Search, name: str) -> set[str]:
    """The paths that a dimension changes: its own, or those of its labels."""
    dimension = design.space[name]
    return {path for changes in dimension.values() for path in changes} if isinstance(dimension, dict) else {name}


def affects_group(path: str, group: str) -> bool:
    """Does what is at `path` shape the layers of a group? Paths that are not known here concern all."""
    if is_inert(path):
        return False
    found = STAGE_PATTERN.match(path)
    if found is not None:
        return group == f"stage {found[1]}"
    if any(is_within(path, one) for one in _STAGES):
        return group.startswith("stage")
    if any(is_within(path, one) for one in _FRAME):
        return group == "frame"
    if is_within(path, "arch.head"):
        return group == "head"
    if is_within(path, "arch.match"):
        return group == "match"
    return True


def is_inert(path: str) -> bool:
    """Does it change nothing that is counted?"""
    return any(is_within(path, one) for one in _INERT)


def is_within(path: str, above: str) -> bool:
    """Is a path another, or inside it?"""
    return path == above or path.startswith((f"{above}.", f"{above}["))

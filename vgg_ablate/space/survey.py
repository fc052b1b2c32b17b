"""A design space, counted: which of its nets exist, what they cost, which meet the constraints, and the best of them.

A space has far more nets than can be written down one by one. So every stage, the head, and what the layers share are
written down once for each combination of the choices that shape them; a point of the space is then a row of each of
these tables, and numpy counts a chunk of points at a time (space/vectorized_costs.py). Widths, channels and budgets are
numbers and need no table. Nets that are matched to a budget are counted at some 70 widths each, until theirs is found
(space/vectorized_matching.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study, Variant
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.models.costs import Costs
from vgg_ablate.models.width_matching import resolve_variants
from vgg_ablate.space import vectorized_costs
from vgg_ablate.space.dimensions import BUDGET_PATHS, STAGE_PATTERN, Axis, Values, affects_group, build_axis, is_within
from vgg_ablate.space.pareto import ParetoFront
from vgg_ablate.space.vectorized_costs import CostColumns, CostCounter, Flags, Ints
from vgg_ablate.space.vectorized_matching import BudgetTable, WidthBudget

CHUNK_SIZE = 1 << 13  # points that are counted at a time: their columns stay in a core's cache
MAX_POINTS = 10_000_000  # points; of larger spaces, and of those with no end, points are drawn
SAMPLE_SIZE = 1_000_000
MATCHED_SAMPLE_SIZE = 100_000  # the most, and as many as are drawn, where nets are matched
_MOST_ROWS = 200_000  # of one table

Table = TypeVar("Table")
MakeVariant = Callable[[Mapping[str, Any]], Variant]


@dataclass
class Survey:
    """What a space holds."""

    size: int | None  # points; None: no end
    seen: int = 0  # points that were counted
    exist: int = 0
    unmatched: int | None = None  # at no width meet their budget; None: no net has one
    meet: int = 0  # exist, and meet the constraints
    low: dict[str, int] = field(default_factory=dict)  # the least of every cost among those that meet them
    high: dict[str, int] = field(default_factory=dict)
    front: list[tuple[dict[str, Any], Costs]] = field(default_factory=list)  # point and costs, by params
    scales: dict[str, str] = field(default_factory=dict)  # of ranges without a step: how their numbers are drawn


class Space:
    """The nets of a search's space, around its base."""

    def __init__(self, design: Search, base: Variant, make: MakeVariant) -> None:
        """`make` gives the variant of some changes. Raises SpecError where the space cannot be counted."""
        self.design, self._base, self._make = design, base, make
        self.base = base.arch.with_shape(base.data.shape)
        self.axes = [build_axis(design, path) for path in design.space]
        for axis in self.axes:
            if axis.size is None and axis.path in ("arch.width", *BUDGET_PATHS) and not self._alone(axis):
                rule = "is changed by another axis too: then it needs a step where a space is counted"
                raise SpecError(Problem(rule, f"design.space.{axis.path}"))
            if axis.size is None and axis.path == "arch.match.tolerance":
                rule = "needs a step where a space is counted"
                raise SpecError(Problem(rule, f"design.space.{axis.path}"))
        self.matched = bool((self._budgets.table.cost > 0).any())  # is any net matched to a budget?

    @property
    def size(self) -> int | None:
        """How many points; None where a number in between has no step."""
        sizes = [axis.size for axis in self.axes]
        return None if None in sizes else prod(size for size in sizes if size is not None)

    def chunks(self, draw: int | None = None, most: int | None = None) -> Iterator[list[Values]]:
        """Points, a column an axis: all of them, or `draw` at random (the same every time) where they are more.

        None: DRAWN and MOST, or where nets are matched MATCHED of both.
        """
        draw = draw or (MATCHED_SAMPLE_SIZE if self.matched else SAMPLE_SIZE)
        most = (MATCHED_SAMPLE_SIZE if self.matched else MAX_POINTS) if most is None else most
        if self.size is not None and self.size <= most:
            sizes = [axis.size or 1 for axis in self.axes]
            for start in range(0, self.size, CHUNK_SIZE):
                yield list(np.unravel_index(np.arange(start, min(start + CHUNK_SIZE, self.size)), sizes))
            return
        random = np.random.default_rng(0)
        for start in range(0, draw, CHUNK_SIZE):
            count = min(CHUNK_SIZE, draw - start)
            yield [axis.draw(count, random) for axis in self.axes]

    def costs(self, points: Sequence[Values]) -> CostColumns:
        """What the nets at these points cost, at the width that meets their budget where they have one."""
        widths, budgets = self._widths(points), self._budgets
        if not self.matched:
            return self._counted(points, widths)
        own = self._frame.table.width[self._frame.rows(points)] if widths is None else widths
        return budgets.table.met(
            budgets.rows(points), self._wanted(points), own, lambda widths: self._counted(points, widths)
        )

    def _counted(self, points: Sequence[Values], widths: NDArray[np.float64] | None) -> CostColumns:
        """The same at given widths; None: as the frame's rows have it."""
        frame, head = self._frame, self._head
        counting = CostCounter(frame.table, frame.rows(points), widths)
        for index, stage in enumerate(self._stages):
            counting.stage(stage.table, stage.rows(points), self._channels(index, points))
        return counting.head(head.table, head.rows(points))

    def met(self, costs: CostColumns) -> Flags:
        """Which of them exist and meet every constraint."""
        met = costs.exists.copy()
        for one in self.design.constraints:
            cost = getattr(costs, one.cost)
            if one.low is not None:
                met &= cost >= one.low
            if one.high is not None:
                met &= cost <= one.high
        return met

    def point(self, points: Sequence[Values], index: int) -> dict[str, Any]:
        """One point as the space writes it: path -> value or label."""
        found: dict[str, Any] = {}
        for axis, column in zip(self.axes, points, strict=True):
            choices = self.design.values(axis.path)
            found[axis.path] = axis.value(column[index]) if choices is None else choices[int(column[index])]
        return found

    def survey(self, draw: int | None = None) -> Survey:
        """Count the space, and find the nets that no other betters in params, macs and receptive field together."""
        survey, front = Survey(self.size, unmatched=0 if self.matched else None), ParetoFront()
        survey.scales = {axis.path: axis.scale for axis in self.axes if axis.size is None}
        for points in self.chunks(draw):
            costs = self.costs(points)
            met = np.flatnonzero(self.met(costs))
            survey.seen += len(costs.exists)
            survey.exist += int(costs.exists.sum())
            survey.meet += len(met)
            if survey.unmatched is not None:
                survey.unmatched += int(costs.unmatched.sum())
            if len(met):
                _widen(survey, costs, met)
                kept = front.offer(costs.params[met], costs.macs[met], costs.receptive_field[met])
                front.keep({index: (self.point(points, met[index]), costs.of(met[index])) for index in kept})
        survey.front = front.members()
        return survey

    @cached_property
    def _frame(self) -> _Grid[vectorized_costs.FrameTable]:
        missing = vectorized_costs.FrameRow(exists=False)
        return self._grid(
            "frame", lambda arch: vectorized_costs.FrameRow.of(arch), missing, vectorized_costs.FrameTable
        )

    @cached_property
    def _head(self) -> _Grid[vectorized_costs.HeadTable]:
        return self._grid(
            "head",
            lambda arch: vectorized_costs.HeadRow.of(arch),
            vectorized_costs.HeadRow(exists=False),
            vectorized_costs.HeadTable,
        )

    @cached_property
    def _stages(self) -> list[_Grid[vectorized_costs.StageTable]]:
        missing = vectorized_costs.StageRow(exists=False)

        def of(index: int) -> _Grid[vectorized_costs.StageTable]:
            return self._grid(
                f"stage {index}",
                lambda arch: vectorized_costs.StageRow.of(arch, index),
                missing,
                vectorized_costs.StageTable,
            )

        first = of(0)
        return [first, *(of(index) for index in range(1, first.most_stages))]

    @cached_property
    def _budgets(self) -> _Grid[BudgetTable]:
        def row(arch: Arch) -> WidthBudget:
            return WidthBudget.of(arch.match, lambda: resolve_variants([self._base])[0].costs)

        return self._grid("match", row, WidthBudget(exists=False), BudgetTable)

    def _grid(self, group: str, row: Callable[[Arch], Any], missing: Any, table: Callable[[Any], Any]) -> _Grid[Any]:
        """The rows of a group of layers for every combination of the axes that shape it."""
        shaping = [index for index, axis in enumerate(self.axes) if self._shapes(axis, group)]
        sizes = [self.axes[index].size or 1 for index in shaping]
        if prod(sizes) > _MOST_ROWS:
            names = ", ".join(self.axes[index].path for index in shaping)
            rule = f"{prod(sizes):,} combinations of {names} shape one {group.split()[0]}: too many to write down"
            raise SpecError(Problem(rule, "design.space"))
        rows, most = [], len(self.base.stages)
        for combination in np.ndindex(*sizes):
            arch = self._arch(group, dict(zip(shaping, combination, strict=True)))
            rows.append(missing if arch is None else row(arch))
            most = most if arch is None else max(most, len(arch.stages))
        return _Grid(shaping, sizes, table(rows), most)

    def _arch(self, group: str, chosen: Mapping[int, int]) -> Arch | None:
        """The base with the choices of some axes; None where that cannot be.

        Of a range without a step one number stands for all: none but widths and budgets are counted, and these are
        columns.
        """
        changes: dict[str, Any] = {}
        for index, axis in enumerate(self.axes):
            if index in chosen:
                drawn, choice = self.design.values(axis.path), chosen[index]
                changes |= self.design.changes({axis.path: axis.value(choice) if drawn is None else drawn[choice]})
            elif axis.size is None and axis.between is not None and affects_group(axis.path, group):
                changes[axis.path] = float(axis.between.low)
        if not changes:
            return self.base
        try:
            variant = self._make(changes)
        except SpecError:
            return None
        return variant.arch.with_shape(variant.data.shape)

    def _shapes(self, axis: Axis, group: str) -> bool:
        if axis.size is None or self._is_number(axis):
            return False
        return any(affects_group(path, group) for path in axis.touches)

    def _is_number(self, axis: Axis) -> bool:
        """Is it used as a number, without a table?"""
        if axis.path == "arch.width":
            return axis.size is None or (axis.numbers is not None and self._alone(axis))
        return self._stage_of(axis) is not None

    def _stage_of(self, axis: Axis) -> int | None:
        """The stage of which it gives the channels, as numbers."""
        found = STAGE_PATTERN.fullmatch(axis.path)
        if found is None or found[2] is None or axis.numbers is None or not self._alone(axis):
            return None
        return int(found[1])

    def _alone(self, axis: Axis) -> bool:
        """Does no other axis change what this one does?"""
        others = [path for other in self.axes if other is not axis for path in other.touches]
        return not any(
            is_within(axis.path, path) or (path == "arch.preset" and "stages" in axis.path) for path in others
        )

    def _widths(self, points: Sequence[Values]) -> NDArray[np.float64] | None:
        for axis, column in zip(self.axes, points, strict=True):
            if axis.path == "arch.width" and self._is_number(axis):
                return column.astype(np.float64) if axis.size is None else np.array(axis.numbers)[column]
        return None

    def _wanted(self, points: Sequence[Values]) -> NDArray[np.float64] | None:
        """The budgets that a range without a step gives."""
        for axis, column in zip(self.axes, points, strict=True):
            if axis.path in BUDGET_PATHS and axis.size is None:
                return column.astype(np.float64)
        return None

    def _channels(self, stage: int, points: Sequence[Values]) -> Ints | None:
        for axis, column in zip(self.axes, points, strict=True):
            if self._stage_of(axis) == stage:
                return np.array(axis.numbers, dtype=np.int64)[column]
        return None


@dataclass(frozen=True)
class _Grid(Generic[Table]):
    """A table, and which axes number its rows."""

    axes: Sequence[int]
    sizes: Sequence[int]
    table: Table
    most_stages: int

    def rows(self, points: Sequence[Values]) -> Ints:
        """The row of every point."""
        row = np.zeros(len(points[0]), np.int64)
        for axis, size in zip(self.axes, self.sizes, strict=True):
            row = row * size + points[axis].astype(np.int64)
        return row


def build_space(study: Study) -> Space:
    """The space of a study that searches. Raises SpecError where it has none."""
    if not isinstance(study.design, Search):
        rule = "has no space: its design is not a search"
        raise SpecError(Problem(rule, "design.kind", study.locate_path("design"), study.design.kind))
    try:
        return Space(study.design, study.base, lambda changes: study.variant("point", dict(changes)))
    except SpecError as error:
        raise study.with_locations(error) from error


def _widen(survey: Survey, costs: CostColumns, met: Ints) -> None:
    for name in Costs.__slots__:
        column = getattr(costs, name)[met]
        survey.low[name] = min(int(column.min()), survey.low.get(name, int(column.min())))
        survey.high[name] = max(int(column.max()), survey.high.get(name, 0))

"""Tables of a design space, from which the costs of many of its nets are computed at once.

A space has far more nets than can be built one by one. So every stage, the head, and what all layers share are built
once for each combination of the choices that shape them. A point of the space is then one row of each of these tables,
and numpy computes the costs of a chunk of points at a time (space/vectorized_costs.py). Widths, channels and budgets
are numbers and need no table. The costs of nets that are matched to a budget are computed at some 70 widths each, until
theirs is found (space/vectorized_matching.py); that is about a hundred times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.search import Search
from vgg_ablate.config.variants import Variant
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.models.width_matching import resolve_variants
from vgg_ablate.space import vectorized_costs
from vgg_ablate.space.dimensions import BUDGET_PATHS, STAGE_PATTERN, Axis, Values, affects_group, build_axis, is_within
from vgg_ablate.space.vectorized_costs import CostColumns, CostCounter, Ints
from vgg_ablate.space.vectorized_matching import BudgetTable, WidthBudget

_MAX_TABLE_ROWS = 200_000

Table = TypeVar("Table")
MakeVariant = Callable[[Mapping[str, Any]], Variant]


@dataclass(frozen=True)
class _Grid(Generic[Table]):
    """A table with one row per combination of choices, and the axes that number its rows."""

    axes: Sequence[int]
    sizes: Sequence[int]
    table: Table
    most_stages: int

    def find_rows(self, points: Sequence[Values]) -> Ints:
        """Return the row of every point, with the last axis changing fastest as in numpy.ndindex."""
        rows = np.zeros(len(points[0]), np.int64)
        for axis, size in zip(self.axes, self.sizes, strict=True):
            rows = rows * size + points[axis].astype(np.int64)
        return rows


@dataclass(frozen=True)
class SpaceTables:
    """The tables of the nets of a search's space, around the base of its study."""

    design: Search
    base: Variant
    make_variant: MakeVariant  # a mapping of changes -> the variant
    axes: tuple[Axis, ...]

    @classmethod
    def build(cls, design: Search, base: Variant, make_variant: MakeVariant) -> SpaceTables:
        """Return the tables of a search's space. Raises SpecError where it cannot be surveyed."""
        tables = cls(design, base, make_variant, tuple(build_axis(design, path) for path in design.space))
        for axis in tables.axes:
            tables._check_axis(axis)
        _ = tables.is_matched  # budgets that are not valid raise here, and not in the first survey
        return tables

    @cached_property
    def is_matched(self) -> bool:
        """Whether any net is matched to a budget."""
        return bool((self._budgets.table.cost > 0).any())

    def compute_costs(self, points: Sequence[Values]) -> CostColumns:
        """Return the costs of the nets at these points, at the widths that meet their budgets where they have one."""
        widths, budgets = self._get_widths(points), self._budgets
        if not self.is_matched:
            return self._count_costs(points, widths)
        own = self._frame.table.width[self._frame.find_rows(points)] if widths is None else widths
        return budgets.table.match_widths(
            budgets.find_rows(points), self._get_budgets(points), own, lambda widths: self._count_costs(points, widths)
        )

    def _count_costs(self, points: Sequence[Values], widths: NDArray[np.float64] | None) -> CostColumns:
        """Return the costs at the given widths, or at those of the frame's rows."""
        frame, head = self._frame, self._head
        counter = CostCounter(frame.table, frame.find_rows(points), widths)
        for index, stage in enumerate(self._stages):
            counter.add_stage(stage.table, stage.find_rows(points), self._get_channels(index, points))
        return counter.add_head(head.table, head.find_rows(points))

    def _check_axis(self, axis: Axis) -> None:
        """Raise SpecError for a range without a step that would need a table."""
        path = f"design.space.{axis.path}"
        if axis.size is None and axis.path in ("arch.width", *BUDGET_PATHS) and not self._is_alone(axis):
            raise SpecError(Problem("needs a step, because it is changed by another axis too", path))
        if axis.size is None and axis.path == "arch.match.tolerance":
            raise SpecError(Problem("needs a step where a space is surveyed", path))

    @cached_property
    def _base_arch(self) -> Arch:
        return self.base.arch.with_shape(self.base.data.shape)

    @cached_property
    def _frame(self) -> _Grid[vectorized_costs.FrameTable]:
        missing = vectorized_costs.FrameRow(exists=False)
        return self._build_grid("frame", vectorized_costs.FrameRow.from_arch, missing, vectorized_costs.FrameTable)

    @cached_property
    def _head(self) -> _Grid[vectorized_costs.HeadTable]:
        missing = vectorized_costs.HeadRow(exists=False)
        return self._build_grid("head", vectorized_costs.HeadRow.from_arch, missing, vectorized_costs.HeadTable)

    @cached_property
    def _stages(self) -> list[_Grid[vectorized_costs.StageTable]]:
        missing = vectorized_costs.StageRow(exists=False)

        def build_stage(index: int) -> _Grid[vectorized_costs.StageTable]:
            def build_row(arch: Arch) -> vectorized_costs.StageRow:
                return vectorized_costs.StageRow.from_arch(arch, index)

            return self._build_grid(f"stage {index}", build_row, missing, vectorized_costs.StageTable)

        first = build_stage(0)
        return [first, *(build_stage(index) for index in range(1, first.most_stages))]

    @cached_property
    def _budgets(self) -> _Grid[BudgetTable]:
        def build_row(arch: Arch) -> WidthBudget:
            return WidthBudget.from_match(arch.match, lambda: resolve_variants([self.base])[0].costs)

        return self._build_grid("match", build_row, WidthBudget(exists=False), BudgetTable)

    def _build_grid(
        self, group: str, build_row: Callable[[Arch], Any], missing: Any, build_table: Callable[[Any], Any]
    ) -> _Grid[Any]:
        """Return the rows of a group of layers for every combination of the axes that shape it."""
        shaping = [index for index, axis in enumerate(self.axes) if self._needs_table(axis, group)]
        sizes = [self.axes[index].size or 1 for index in shaping]
        if prod(sizes) > _MAX_TABLE_ROWS:
            paths = ", ".join(self.axes[index].path for index in shaping)
            rule = f"at most {_MAX_TABLE_ROWS:,} combinations may shape one {group.split()[0]}; {paths} give"
            raise SpecError(Problem(f"{rule} {prod(sizes):,}", "design.space"))
        rows, most_stages = [], len(self._base_arch.stages)
        for combination in np.ndindex(*sizes):
            arch = self._build_arch(group, dict(zip(shaping, combination, strict=True)))
            rows.append(missing if arch is None else build_row(arch))
            most_stages = most_stages if arch is None else max(most_stages, len(arch.stages))
        return _Grid(shaping, sizes, build_table(rows), most_stages)

    def _build_arch(self, group: str, chosen: Mapping[int, int]) -> Arch | None:
        """Return the base with the choices of some axes, or None where they do not go together."""
        changes: dict[str, Any] = {}
        for index, axis in enumerate(self.axes):
            if index in chosen:
                choices, choice = self.design.list_choices(axis.path), chosen[index]
                value = axis.get_value(choice) if choices is None else choices[choice]
                changes |= self.design.build_changes({axis.path: value})
            elif axis.size is None and axis.between is not None and affects_group(axis.path, group):
                # One number stands for the whole range. Of the real numbers of an arch only widths and budgets change
                # its costs, and those are columns and not rows.
                changes[axis.path] = float(axis.between.low)
        if not changes:
            return self._base_arch
        try:
            variant = self.make_variant(changes)
        except SpecError:
            return None
        return variant.arch.with_shape(variant.data.shape)

    def _needs_table(self, axis: Axis, group: str) -> bool:
        """Return whether the choices of an axis decide the rows of a group's table."""
        if axis.size is None or self._is_number(axis):
            return False
        return any(affects_group(path, group) for path in axis.changed_paths)

    def _is_number(self, axis: Axis) -> bool:
        """Return whether the values of an axis are used as a column of numbers, without a table."""
        if axis.path == "arch.width":
            return axis.size is None or (axis.numbers is not None and self._is_alone(axis))
        return self._find_stage(axis) is not None

    def _find_stage(self, axis: Axis) -> int | None:
        """Return the index of the stage whose channels an axis gives as numbers, or None."""
        match = STAGE_PATTERN.fullmatch(axis.path)
        if match is None or match[2] is None or axis.numbers is None or not self._is_alone(axis):
            return None
        return int(match[1])

    def _is_alone(self, axis: Axis) -> bool:
        """Return whether no other axis changes what this one changes."""
        others = [path for other in self.axes if other is not axis for path in other.changed_paths]
        return not any(
            is_within(axis.path, path) or (path == "arch.preset" and "stages" in axis.path) for path in others
        )

    def _get_widths(self, points: Sequence[Values]) -> NDArray[np.float64] | None:
        for axis, column in zip(self.axes, points, strict=True):
            if axis.path == "arch.width" and self._is_number(axis):
                return column.astype(np.float64) if axis.size is None else np.array(axis.numbers)[column]
        return None

    def _get_budgets(self, points: Sequence[Values]) -> NDArray[np.float64] | None:
        """Return the budgets that a range without a step gives."""
        for axis, column in zip(self.axes, points, strict=True):
            if axis.path in BUDGET_PATHS and axis.size is None:
                return column.astype(np.float64)
        return None

    def _get_channels(self, stage: int, points: Sequence[Values]) -> Ints | None:
        for axis, column in zip(self.axes, points, strict=True):
            if self._find_stage(axis) == stage:
                return np.array(axis.numbers, dtype=np.int64)[column]
        return None

"""Survey of a design space: which nets exist, what they cost, which meet the constraints, and the Pareto front.

Points are taken in chunks, whose costs space/tables.py computes at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.models.costs import Costs
from vgg_ablate.space.dimensions import Axis, Values
from vgg_ablate.space.pareto import FrontEntry, ParetoFront
from vgg_ablate.space.tables import SpaceTables
from vgg_ablate.space.vectorized_costs import CostColumns, Flags, Ints

CHUNK_SIZE = 1 << 13  # points per chunk: their columns stay in the cache of a core
MAX_POINTS = 10_000_000  # a larger space, or one without an end, is sampled
SAMPLE_SIZE = 1_000_000
MATCHED_SAMPLE_SIZE = 100_000  # replaces both where nets are matched to a budget


@dataclass
class Survey:
    """Counts, cost ranges and Pareto front of a space."""

    size: int | None  # points; None: without an end
    seen: int = 0  # points whose costs were computed
    exist: int = 0
    unmatched: int | None = None  # points that meet their budget at no width; None: no net has a budget
    meet: int = 0  # points that exist and meet the constraints
    low: dict[str, int] = field(default_factory=dict)  # lowest value of each cost among those that meet them
    high: dict[str, int] = field(default_factory=dict)
    front: list[FrontEntry] = field(default_factory=list)  # sorted by params
    scales: dict[str, str] = field(default_factory=dict)  # for ranges without a step: how their numbers are drawn


@dataclass(frozen=True)
class Space:
    """The points of a search's space, and their nets."""

    design: Search
    axes: tuple[Axis, ...]
    tables: SpaceTables

    @property
    def is_matched(self) -> bool:
        """Whether any net is matched to a budget."""
        return self.tables.is_matched

    @property
    def size(self) -> int | None:
        """The number of points; None where a range of real numbers has no step."""
        sizes = [axis.size for axis in self.axes]
        return None if None in sizes else prod(size for size in sizes if size is not None)

    def iterate_chunks(self, draw: int | None = None, max_points: int | None = None) -> Iterator[list[Values]]:
        """Yield the points of the space in chunks, as one column per axis.

        Up to `max_points` points all are given; of a larger space, `draw` points at random, the same ones every time.
        The defaults are MAX_POINTS and SAMPLE_SIZE, or MATCHED_SAMPLE_SIZE for both where nets are matched.
        """
        draw = draw or (MATCHED_SAMPLE_SIZE if self.is_matched else SAMPLE_SIZE)
        if max_points is None:
            max_points = MATCHED_SAMPLE_SIZE if self.is_matched else MAX_POINTS
        if self.size is not None and self.size <= max_points:
            sizes = [axis.size or 1 for axis in self.axes]
            for start in range(0, self.size, CHUNK_SIZE):
                yield list(np.unravel_index(np.arange(start, min(start + CHUNK_SIZE, self.size)), sizes))
            return
        random = np.random.default_rng(0)
        for start in range(0, draw, CHUNK_SIZE):
            count = min(CHUNK_SIZE, draw - start)
            yield [axis.draw(count, random) for axis in self.axes]

    def find_feasible(self, costs: CostColumns) -> Flags:
        """Return which nets exist and meet every constraint of the search."""
        feasible = costs.exists.copy()
        for constraint in self.design.constraints:
            cost = getattr(costs, constraint.cost)
            if constraint.low is not None:
                feasible &= cost >= constraint.low
            if constraint.high is not None:
                feasible &= cost <= constraint.high
        return feasible

    def build_point(self, points: Sequence[Values], index: int) -> dict[str, Any]:
        """Return one point as a study file has it: the value or the label of every path."""
        point: dict[str, Any] = {}
        for axis, column in zip(self.axes, points, strict=True):
            choices = self.design.list_choices(axis.path)
            point[axis.path] = axis.get_value(column[index]) if choices is None else choices[int(column[index])]
        return point

    def survey(self, draw: int | None = None) -> Survey:
        """Return counts, cost ranges and the Pareto front of the space, or of `draw` of its points."""
        survey, front = Survey(self.size, unmatched=0 if self.is_matched else None), ParetoFront()
        survey.scales = {axis.path: axis.describe_scale() for axis in self.axes if axis.size is None}
        for points in self.iterate_chunks(draw):
            costs = self.tables.compute_costs(points)
            feasible = np.flatnonzero(self.find_feasible(costs))
            survey.seen += len(costs.exists)
            survey.exist += int(costs.exists.sum())
            survey.meet += len(feasible)
            if survey.unmatched is not None:
                survey.unmatched += int(costs.unmatched.sum())
            if len(feasible):
                _extend_ranges(survey, costs, feasible)
                self._extend_front(front, points, costs, feasible)
        survey.front = front.sort_entries()
        return survey

    def _extend_front(self, front: ParetoFront, points: Sequence[Values], costs: CostColumns, feasible: Ints) -> None:
        def build_entry(index: int) -> FrontEntry:
            return self.build_point(points, feasible[index]), costs.get_costs(feasible[index])

        front.add(costs.params[feasible], costs.macs[feasible], costs.receptive_field[feasible], build_entry)


def build_space(study: Study) -> Space:
    """Return the space of a study whose design is a search. Raises SpecError for other designs."""
    search = study.search
    if search is None:
        rule = "has no space: the design must be a search"
        raise SpecError(Problem(rule, "design.kind", study.locate_path("design"), study.design.kind))
    try:
        tables = SpaceTables.build(search, study.base, lambda changes: study.build_variant("point", dict(changes)))
        return Space(search, tables.axes, tables)
    except SpecError as error:
        raise study.with_locations(error) from error


def _extend_ranges(survey: Survey, costs: CostColumns, feasible: Ints) -> None:
    for name in Costs.__slots__:
        column = getattr(costs, name)[feasible]
        survey.low[name] = min(int(column.min()), survey.low.get(name, int(column.min())))
        survey.high[name] = max(int(column.max()), survey.high.get(name, 0))

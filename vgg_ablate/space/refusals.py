"""The rules that refuse nets of a space: for every net the first such rule, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgg_ablate.config.study import Study, format_changes
from vgg_ablate.errors import SpecError
from vgg_ablate.models.width_matching import resolve_point
from vgg_ablate.space.survey import Space

SPARSE_SHARE = 0.01  # a space of which less can be searched is explained
_DRAWN = 8_192  # points whose costs are computed to estimate that share
_EXAMINED = 200  # points that are built one by one to find the rules


@dataclass(frozen=True)
class Refusals:
    """The rules that refuse points of a space, the one that refuses most first."""

    examined: int
    rules: tuple[tuple[str, int, Mapping[str, Any]], ...]  # the rule, the points that it is the first to refuse, one

    def __str__(self) -> str:
        """Return `of 200 nets, 150 are refused by params <= 1,000 (as arch.depth: 3), 50 by ...`."""
        parts = [f"{count} by {rule} (as {format_changes(point)})" for rule, count, point in self.rules[:3]]
        return f"of {self.examined} nets, these are refused: {'; '.join(parts)}"


def is_sparse(space: Space) -> bool:
    """Return whether less than 1 % of a space exists and meets the constraints, judged by some thousands of points."""
    points = next(space.iterate_chunks(_DRAWN, _DRAWN))
    return bool(space.find_feasible(space.tables.compute_costs(points)).mean() < SPARSE_SHARE)


def find_refusals(space: Space, study: Study) -> Refusals:
    """Return the rules that refuse up to 200 points of a study's space, all of it where it is that small."""
    points = next(space.iterate_chunks(_EXAMINED, _EXAMINED))
    examined = len(points[0])
    counts, examples = Counter[str](), dict[str, dict[str, Any]]()
    for index in range(examined):
        point = space.build_point(points, index)
        if (rule := _find_rule(space, study, point)) is not None:
            counts[rule] += 1
            examples.setdefault(rule, point)
    return Refusals(examined, tuple((rule, count, examples[rule]) for rule, count in counts.most_common()))


def _find_rule(space: Space, study: Study, point: Mapping[str, Any]) -> str | None:
    """Return the first rule that a point breaks; None if its net exists and meets every constraint."""
    try:
        costs = resolve_point(study, "point", point).costs.as_dict()
    except SpecError as error:
        return error.problems[0].rule
    broken = (constraint for constraint in space.design.constraints if constraint.compute_excess(costs) > 0)
    return next(map(str, broken), None)

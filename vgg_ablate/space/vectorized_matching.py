"""Budgets met by many nets at once: the search of models/width_matching.py for a width, over columns of nets.

Every step counts all nets at one width each, so that a net here gets the width that it gets alone, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.config.arch import Match
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.models.costs import Costs
from vgg_ablate.models.width_matching import MAX_WIDTH, MIN_WIDTH
from vgg_ablate.space.vectorized_costs import CostColumns, Flags, Ints

Floats = NDArray[np.float64]
CountCosts = Callable[[Floats], CostColumns]  # widths -> what the nets cost at them

BUDGET_COSTS = ("macs", "params", "activations")
_MOST = {"macs": 1e13, "params": 1e13, "activations": 1e10}  # beyond, costs leave the range of int64


@dataclass(frozen=True, slots=True)
class WidthBudget:
    """What nets are matched to; `cost` None: to nothing."""

    cost: str | None = None
    wanted: float = 0.0
    tolerance: float = 0.0
    exists: bool = True

    @classmethod
    def of(cls, match: Match | None, base: Callable[[], Costs]) -> Self:
        """Of an arch's `match`; `base` says what the base costs. Raises SpecError."""
        if match is None:
            return cls()
        target = match.target
        if isinstance(target, str) and target != "base":
            rule = "the nets of a search can meet the budget of the base, or a number"
            raise SpecError(Problem(rule, "arch.match", got=target, nearest="base"))
        wanted = float(getattr(base(), match.cost)) if isinstance(target, str) else float(target)
        if wanted > _MOST[match.cost]:
            rule = f"more than {_MOST[match.cost]:,.0f} {match.cost} are not counted"
            raise SpecError(Problem(rule, "arch.match", got=target))
        return cls(match.cost, wanted, match.tolerance)


class BudgetTable:
    """Budgets as columns."""

    def __init__(self, rows: Sequence[WidthBudget]) -> None:
        self.cost: Ints = np.array(
            [0 if row.cost is None else 1 + BUDGET_COSTS.index(row.cost) for row in rows], np.int64
        )
        self.wanted = np.array([row.wanted for row in rows])
        self.tolerance = np.array([row.tolerance for row in rows])
        self.exists: Flags = np.array([row.exists for row in rows])

    def met(self, which: Ints, wanted: Floats | None, own: Floats, count: CountCosts) -> CostColumns:
        """The nets at the widths that come nearest to their budgets; those without one at their `own`.

        `which` row every net has; `wanted`, where it is given, in place of the rows'. A net that misses its budget by
        more than the tolerance does not exist, and is flagged as `unmatched`.
        """
        cost, budget = self.cost[which], self.wanted[which] if wanted is None else wanted
        asked = (cost > 0) & self.exists[which]

        def spent(widths: Floats) -> Floats:
            found = count(np.where(asked, widths, own))
            chosen = np.choose(cost, [found.macs, *(getattr(found, name) for name in BUDGET_COSTS)])
            return chosen.astype(np.float64)

        columns = count(np.where(asked, _nearest(spent, budget, asked), own))
        columns.exists &= self.exists[which]
        got = np.choose(cost, [columns.macs, *(getattr(columns, name) for name in BUDGET_COSTS)])
        missed = asked & (np.abs(got / np.where(asked, budget, 1.0) - 1) > self.tolerance[which])
        columns.unmatched = missed & columns.exists
        columns.exists &= ~missed
        return columns


def _nearest(spent: Callable[[Floats], Floats], budget: Floats, asked: Flags) -> Floats:
    """The width at which every net comes nearest to its budget; the narrower of two that come as near."""
    narrow, wide = _bracket(spent, budget, asked)
    return np.where(np.abs(spent(wide) - budget) < np.abs(spent(narrow) - budget), wide, narrow)


def _bracket(spent: Callable[[Floats], Floats], budget: Floats, asked: Flags) -> tuple[Floats, Floats]:
    """Two widths next to each other, the cost of one at most the budget, of the other more; as match.py has it."""
    below, above = np.full(len(budget), MIN_WIDTH), np.full(len(budget), 1.5)
    while (growing := asked & (above < MAX_WIDTH) & (spent(above) <= budget)).any():
        below, above = np.where(growing, above, below), np.where(growing, above * 2, above)
    least = spent(below)
    too_wide = least > budget  # at the narrowest: then the next that costs more is looked for
    low, high = _halved(spent, below, above, np.where(too_wide, least, budget), asked & (spent(above) > budget))
    return np.where(too_wide, below, low), high


def _halved(
    spent: Callable[[Floats], Floats], below: Floats, above: Floats, budget: Floats, asked: Flags
) -> tuple[Floats, Floats]:
    """Until no number lies between them."""
    while True:
        middle = (below + above) / 2
        apart = asked & (below < middle) & (middle < above)
        if not apart.any():
            return below, above
        less = spent(middle) <= budget
        below = np.where(apart & less, middle, below)
        above = np.where(apart & ~less, middle, above)

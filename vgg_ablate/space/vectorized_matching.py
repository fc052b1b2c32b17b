"""Widths that meet budgets, for many nets at once: the search of models/width_matching.py over columns of nets.

Every step computes the costs of all nets at one width each. A net gets the same width here as it gets alone, to the
last bit, so that a survey and a study agree on which nets exist.
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
CountCosts = Callable[[Floats], CostColumns]  # widths -> costs of the nets at these widths

BUDGET_COSTS = ("macs", "params", "activations")
# Of larger budgets, the costs at the widths that the search tries would leave the range of int64.
_MAX_BUDGETS = {"macs": 1e13, "params": 1e13, "activations": 1e10}


@dataclass(frozen=True, slots=True)
class WidthBudget:
    """The budget that nets are matched to; without one, `cost` is None."""

    cost: str | None = None
    budget: float = 0.0
    tolerance: float = 0.0
    exists: bool = True

    @classmethod
    def from_match(cls, match: Match | None, get_base_costs: Callable[[], Costs]) -> Self:
        """Return the budget of an arch's `match`.

        `get_base_costs` is called only where it is the base's. Raises SpecError for budgets of other variants, since a
        search has no other, and for budgets that are too large to count.
        """
        if match is None:
            return cls()
        target = match.target
        if isinstance(target, str) and target != "base":
            rule = "the budget in a search must be 'base' or a number"
            raise SpecError(Problem(rule, "arch.match", got=target, nearest="base"))
        budget = float(getattr(get_base_costs(), match.cost)) if isinstance(target, str) else float(target)
        if budget > _MAX_BUDGETS[match.cost]:
            rule = f"a budget in a search must be at most {_MAX_BUDGETS[match.cost]:,.0f} {match.cost}"
            raise SpecError(Problem(rule, "arch.match", got=target))
        return cls(match.cost, budget, match.tolerance)


class BudgetTable:
    """Budgets as columns, one number per row."""

    def __init__(self, rows: Sequence[WidthBudget]) -> None:
        # 0: no budget; else the place of its cost in BUDGET_COSTS, counted from 1.
        self.cost: Ints = np.array(
            [0 if row.cost is None else 1 + BUDGET_COSTS.index(row.cost) for row in rows], np.int64
        )
        self.budget = np.array([row.budget for row in rows])
        self.tolerance = np.array([row.tolerance for row in rows])
        self.exists: Flags = np.array([row.exists for row in rows])

    def match_widths(self, rows: Ints, budgets: Floats | None, own: Floats, count: CountCosts) -> CostColumns:
        """Return the costs of the nets at the widths that come nearest to their budgets.

        `rows` is the row of this table for every net; `budgets` replaces the budgets of these rows. Nets without a
        budget keep the width `own`. A net that misses its budget by more than the tolerance does not exist, and is
        flagged as `unmatched`.
        """
        cost, budget = self.cost[rows], self.budget[rows] if budgets is None else budgets
        matched = (cost > 0) & self.exists[rows]

        def select_cost(columns: CostColumns) -> Ints:
            """Return the cost that each net is matched in; any for nets without a budget."""
            return np.choose(cost, [columns.macs, *(getattr(columns, name) for name in BUDGET_COSTS)])

        def compute_cost(widths: Floats) -> Floats:
            return select_cost(count(np.where(matched, widths, own))).astype(np.float64)

        columns = count(np.where(matched, _find_nearest_widths(compute_cost, budget, matched), own))
        columns.exists &= self.exists[rows]
        mismatch = np.abs(select_cost(columns) / np.where(matched, budget, 1.0) - 1)
        missed = matched & (mismatch > self.tolerance[rows])
        columns.unmatched = missed & columns.exists
        columns.exists &= ~missed
        return columns


def _find_nearest_widths(compute_cost: Callable[[Floats], Floats], budget: Floats, matched: Flags) -> Floats:
    """Return the width at which every net comes nearest to its budget; the narrower of two that are as near."""
    narrow, wide = _bracket_widths(compute_cost, budget, matched)
    wide_is_nearer = np.abs(compute_cost(wide) - budget) < np.abs(compute_cost(narrow) - budget)
    return np.where(wide_is_nearer, wide, narrow)


def _bracket_widths(compute_cost: Callable[[Floats], Floats], budget: Floats, matched: Flags) -> tuple[Floats, Floats]:
    """Return two neighbouring widths per net, as `_bracket_width` of models/width_matching.py does."""
    below, above = np.full(len(budget), MIN_WIDTH), np.full(len(budget), 1.5)
    while (growing := matched & (above < MAX_WIDTH) & (compute_cost(above) <= budget)).any():
        below, above = np.where(growing, above, below), np.where(growing, above * 2, above)
    least = compute_cost(below)
    too_wide = least > budget  # even the narrowest net: its neighbour is the next width that costs more
    targets = np.where(too_wide, least, budget)
    low, high = _bisect_widths(compute_cost, below, above, targets, matched & (compute_cost(above) > budget))
    return np.where(too_wide, below, low), high


def _bisect_widths(
    compute_cost: Callable[[Floats], Floats], below: Floats, above: Floats, targets: Floats, open_brackets: Flags
) -> tuple[Floats, Floats]:
    """Narrow the open brackets until no floating-point number lies inside any of them."""
    # As in models/width_matching.py, to the last bit: a net of the survey then is the net that a study would train.
    while True:
        middle = (below + above) / 2
        unfinished = open_brackets & (below < middle) & (middle < above)
        if not unfinished.any():
            return below, above
        is_low = compute_cost(middle) <= targets
        below = np.where(unfinished & is_low, middle, below)
        above = np.where(unfinished & ~is_low, middle, above)

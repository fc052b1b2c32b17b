"""Pareto fronts: the points that no other point dominates.

A point dominates another where it is no worse in any cost and better in at least one. `find_pareto_rows` is the one
implementation for the whole package: tables and figures of reports, searches, and the survey of a space.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgg_ablate.models.costs import Costs
from vgg_ablate.space.vectorized_costs import Flags, Ints

FrontEntry = tuple[dict[str, Any], Costs]  # a point of a space and its costs

MAX_COSTS = 3
_Numbers = NDArray[Any]  # int64 or float64


def find_pareto_rows(costs: ArrayLike, *, keep_ties: bool = False) -> Ints:
    """Return the indices of the rows that no other row dominates, in ascending order.

    `costs` is rows x 1 to 3 costs, the lower the better, without NaN. Of equal rows the first is returned, or, with
    `keep_ties`, all of them. It takes O(n log n) for two costs, and for three as many passes as the last has values.

    >>> find_pareto_rows([[1, 9], [2, 9], [3, 1]])
    array([0, 2])
    """
    table: _Numbers = np.asarray(costs)
    if not table.size:
        return np.zeros(0, np.int64)
    if table.shape[1] > MAX_COSTS:
        raise ValueError(f"expected 1 to {MAX_COSTS} costs per row, got {table.shape[1]}")
    missing = MAX_COSTS - table.shape[1]
    padded = np.pad(table, ((0, 0), (0, missing)))  # a constant cost decides nothing
    front = np.sort(_find_front(padded))
    if not keep_ties:
        return front
    _, groups = np.unique(padded, axis=0, return_inverse=True)
    return np.flatnonzero(np.isin(groups.ravel(), groups.ravel()[front]))


class ParetoFront:
    """The front of a stream of nets by params, MACs and receptive field, of which more is better.

    Nets are added chunk by chunk, and only those on the front are kept: a space of a million nets needs no more memory
    than its front. Of nets with equal costs the first stays.
    """

    def __init__(self) -> None:
        self._costs: Ints = np.zeros((0, MAX_COSTS), np.int64)
        self._entries: list[FrontEntry] = []

    def add(self, params: Ints, macs: Ints, receptive_field: Ints, build_entry: Callable[[int], FrontEntry]) -> None:
        """Add a chunk of nets. `build_entry` is called with the index of each net that joins the front."""
        known = len(self._costs)
        costs = np.concatenate([self._costs, np.stack([params, macs, -receptive_field], axis=1)])
        front = find_pareto_rows(costs)
        self._entries = [
            self._entries[index] if index < known else build_entry(index - known) for index in front.tolist()
        ]
        self._costs = costs[front]

    def sort_entries(self) -> list[FrontEntry]:
        """Return the nets on the front, sorted by params and MACs."""
        return sorted(self._entries, key=lambda entry: (entry[1].params, entry[1].macs))


def _find_front(costs: _Numbers) -> Ints:
    """Return the rows on the front of three costs; of equal rows the first.

    Rows are taken in the order of the last cost, so that a row can be dominated only by rows that were taken before it,
    and only their first two costs matter. Rows of one value of the last cost are compared at once.
    """
    front: Ints = np.zeros(0, np.int64)
    for value in np.unique(costs[:, 2]):
        rows = np.flatnonzero(costs[:, 2] == value)
        candidates = rows[_find_staircase(costs[rows, 0], costs[rows, 1])]
        front = np.concatenate([front, candidates[~_are_dominated(costs[candidates], costs[front])]])
    return front


def _find_staircase(first: _Numbers, second: _Numbers) -> Ints:
    """Return the rows on the front of two costs; of equal rows the first."""
    order = np.lexsort((second, first))  # stable, so that the first of equal rows comes first
    lowest = np.minimum.accumulate(second[order])
    steps = np.flatnonzero(np.concatenate([[True], lowest[1:] < lowest[:-1]]))
    return order[steps]


def _are_dominated(rows: _Numbers, front: _Numbers) -> Flags:
    """Return for every row whether some row of `front` is no worse in the first two costs."""
    if not len(front):
        return np.zeros(len(rows), np.bool_)
    order = front[:, 0].argsort(kind="stable")
    lowest = np.minimum.accumulate(front[order, 1])
    last = np.searchsorted(front[order, 0], rows[:, 0], side="right") - 1  # the last that is no worse in the first cost
    dominated: Flags = (last >= 0) & (lowest[np.maximum(last, 0)] <= rows[:, 1])
    return dominated

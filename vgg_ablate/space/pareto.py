"""Nets that no other betters: not in params, nor macs, nor receptive field, without losing in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vgg_ablate.models.costs import Costs
from vgg_ablate.space.vectorized_costs import Flags, Ints

FrontEntry = tuple[dict[str, Any], Costs]


class ParetoFront:
    """Grows chunk by chunk, and holds no more than its members. Of equal nets the first stays."""

    def __init__(self) -> None:
        self._costs = np.zeros((0, 3), np.int64)  # params, macs, minus the receptive field: the less the better
        self._members: list[FrontEntry] = []
        self._survivors: Ints = np.zeros(0, np.int64)

    def offer(self, params: Ints, macs: Ints, field: Ints) -> list[int]:
        """Which of these nets join the front; `keep` must be given them next."""
        offered = np.stack([params, macs, -field], axis=1)
        both = np.concatenate([self._costs, offered])
        kept = find_pareto_rows(both)
        old = len(self._costs)
        self._survivors = kept[kept < old]
        self._costs = both[np.sort(kept)]
        return [int(index - old) for index in np.sort(kept[kept >= old])]

    def keep(self, joined: Mapping[int, FrontEntry]) -> None:
        """What the nets are that joined, in the order of `offer`."""
        self._members = [self._members[index] for index in np.sort(self._survivors)] + list(joined.values())

    def members(self) -> list[FrontEntry]:
        """By params."""
        return sorted(self._members, key=lambda member: (member[1].params, member[1].macs))


def find_pareto_rows(costs: Ints) -> Ints:
    """Indices of the rows (the less the better) that no other row betters; of equal rows the first.

    In the order of the last column, each group of rows need only be looked at beside what is on the front already.
    """
    kept: Ints = np.zeros(0, np.int64)
    for level in np.unique(costs[:, 2]):
        here = np.flatnonzero(costs[:, 2] == level)
        best = here[_staircase(costs[here, 0], costs[here, 1])]
        kept = np.concatenate([kept, best[~_covered(costs[best], costs[kept])]])
    return kept


def _staircase(first: Ints, second: Ints) -> Ints:
    """Indices of the rows on the front of two columns, from the left; of equal rows the first."""
    order = np.lexsort((second, first))
    lowest = np.minimum.accumulate(second[order])
    steps = np.flatnonzero(np.concatenate([[True], lowest[1:] < lowest[:-1]]))
    return order[steps]


def _covered(rows: Ints, by: Ints) -> Flags:
    """Which rows have one in `by` that is no worse in the first two columns."""
    if not len(by):
        return np.zeros(len(rows), np.bool_)
    order = by[:, 0].argsort(kind="stable")
    lowest = np.minimum.accumulate(by[order, 1])
    place = np.searchsorted(by[order, 0], rows[:, 0], side="right") - 1
    found: Flags = (place >= 0) & (lowest[np.maximum(place, 0)] <= rows[:, 1])
    return found

"""Pareto fronts against the definition, compared pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from vgg_ablate.models.costs import Costs
from vgg_ablate.space.pareto import FrontEntry, ParetoFront, find_pareto_rows

FEW_INTEGERS = st.integers(0, 6)  # so that ties are common
FLOATS = st.sampled_from([-np.inf, -1.5, 0.0, 0.1, 0.1 + 2**-55, 2.0, np.inf])


def build_tables(columns: st.SearchStrategy[int]) -> st.SearchStrategy[NDArray[Any]]:
    shapes = st.tuples(st.integers(0, 30), columns)
    return st.one_of(
        arrays.arrays(np.int64, shapes, elements=FEW_INTEGERS), arrays.arrays(np.float64, shapes, elements=FLOATS)
    )


def dominates(row: NDArray[Any], other: NDArray[Any]) -> bool:
    return bool((row <= other).all() and (row < other).any())


def find_front_by_definition(costs: NDArray[Any]) -> list[int]:
    return [index for index, row in enumerate(costs) if not any(dominates(other, row) for other in costs)]


@given(build_tables(st.integers(1, 3)))
@settings(max_examples=300, deadline=None)
def test_the_front_with_ties_is_that_of_the_definition(costs: NDArray[Any]) -> None:
    assert find_pareto_rows(costs, keep_ties=True).tolist() == find_front_by_definition(costs)


@given(build_tables(st.integers(1, 3)))
@settings(max_examples=300, deadline=None)
def test_of_equal_rows_the_first_is_on_the_front(costs: NDArray[Any]) -> None:
    first_of_each: dict[tuple[Any, ...], int] = {}
    for index in find_front_by_definition(costs):
        first_of_each.setdefault(tuple(costs[index].tolist()), index)
    assert find_pareto_rows(costs).tolist() == sorted(first_of_each.values())


def test_more_than_three_costs_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 to 3 costs per row, got 4"):
        find_pareto_rows(np.zeros((2, 4)))


@given(arrays.arrays(np.int64, st.tuples(st.integers(1, 30), st.just(3)), elements=FEW_INTEGERS), st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_a_front_grown_in_chunks_is_the_front_of_all_rows(rows: NDArray[np.int64], chunk_size: int) -> None:
    front, built = ParetoFront(), []
    for start in range(0, len(rows), chunk_size):
        chunk = rows[start : start + chunk_size]

        def build_entry(index: int, start: int = start) -> FrontEntry:
            built.append(start + index)
            params, macs, negative_field = rows[start + index].tolist()
            return {"row": start + index}, Costs(params, macs, 0, -negative_field, 0, 0)

        front.add(chunk[:, 0], chunk[:, 1], -chunk[:, 2], build_entry)
    entries = front.sort_entries()
    assert sorted(point["row"] for point, _ in entries) == find_pareto_rows(rows).tolist()
    assert [(costs.params, costs.macs) for _, costs in entries] == sorted(
        (costs.params, costs.macs) for _, costs in entries
    )
    assert len(built) == len(set(built)), "an entry is built when its net joins, and never again"

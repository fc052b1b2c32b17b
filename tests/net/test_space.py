"""A space counted by columns is the space counted net by net; its front is what a slow search would find."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vgg_ablate.errors import SpecError
from vgg_ablate.net import pareto, space
from vgg_ablate.net.costs import Costs
from vgg_ablate.net.match import resolve
from vgg_ablate.spec.search import Search
from vgg_ablate.spec.study import Study, load

STUDY = """\
version: 1
name: wide
question: What is there?
data: {name: digits, image_size: 24}
arch: {stages: "16 16 | 32 32 32 | 48 48 48@5", head: {hidden: [32]}}
design:
  kind: search
  budget: {variants: 1}
  constraints: ["params <= 60000", "1e5 <= macs <= 4e6", "receptive_field >= 10"]
  space:
"""
BY_STAGE = """\
    arch.norm: [none, batch, {kind: group, groups: 8}]
    arch.stages[0].depth: [1, 2, 3]
    arch.stages[1].channels: {low: 3, high: 40}
    arch.stages[2].kernel: [5, 7, 3]
    arch.kernel: [[], 5, 7, 1xn]
    arch.between: [activation, none]
    arch.pool: [max, conv]
    arch.width: {low: 0.2, high: 2.0, log: true}
    arch.bias: [true, false]
    train.lr: {low: 0.001, high: 1.0, log: true}
"""
BY_LABEL = """\
    net:
      A: {arch.preset: A}
      C-quarter: {arch.preset: C, arch.width: 0.25}
      deep: {arch.stages: "8 | 8 | 8 | 8 | 8 | 8 /", arch.pool: average}
      plain: {arch.stages: "16*4 | 24 24~ 24"}
    arch.kernel: [[], 5, "1x1-last", [5, 1xn]]
    arch.depth: [1, 3]
    arch.head.hidden: [[], [8], [16, 8, 4]]
    arch.head.pool: [none, global, 3]
    data.image_size: [8, 16, 33]
"""


def study(folder: Path, axes: str) -> Study:
    path = folder / "wide.yaml"
    path.write_text(STUDY + axes)
    return load(path)


def one_by_one(asked: Study, point: dict[str, Any]) -> Costs | None:
    assert isinstance(asked.design, Search)
    try:
        return resolve([asked.variant("one", asked.design.changes(point))])[0].costs
    except SpecError:
        return None


@pytest.mark.parametrize("axes", [BY_STAGE, BY_LABEL], ids=["by-stage", "by-label"])
def test_every_net_costs_what_it_costs_alone(tmp_path: Path, axes: str) -> None:
    asked = study(tmp_path, axes)
    found = space.of_study(asked)
    points = next(found.chunks(draw=300, most=0))
    costs = found.costs(points)
    alone = [one_by_one(asked, found.point(points, index)) for index in range(300)]
    assert [costs.of(index) if costs.exists[index] else None for index in range(300)] == alone
    assert any(one is None for one in alone)
    assert sum(one is not None for one in alone) > 30


def test_a_survey_counts_what_meets_the_constraints(tmp_path: Path) -> None:
    asked = study(tmp_path, BY_LABEL)
    found = space.of_study(asked)
    survey = found.survey()
    assert isinstance(asked.design, Search)
    alone = [one_by_one(asked, point) for point in asked.design.grid()]
    there = [one for one in alone if one is not None]
    meet = [one for one in there if all(bound.excess(one.as_dict()) <= 0 for bound in asked.design.constraints)]
    assert (survey.size, survey.seen) == (len(alone), len(alone))
    assert (survey.exist, survey.meet) == (len(there), len(meet))
    assert survey.low["params"] == min(one.params for one in meet)
    assert survey.high["macs"] == max(one.macs for one in meet)
    rows = {(one.params, one.macs, -one.receptive_field) for one in meet}
    best = {row for row in rows if not any(other != row and np.all(np.array(other) <= row) for other in rows)}
    assert {(one.params, one.macs, -one.receptive_field) for _, one in survey.front} == best
    for point, costs in survey.front:
        assert one_by_one(asked, point) == costs


@given(
    arrays.arrays(np.int64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.integers(0, 6)), st.integers(1, 9)
)
@settings(max_examples=150, deadline=None)
def test_a_front_grown_in_chunks_is_the_front(rows: np.ndarray[Any, np.dtype[np.int64]], chunk: int) -> None:
    front = pareto.Front()
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        joined = front.offer(part[:, 0], part[:, 1], -part[:, 2])
        front.keep({at: ({"row": start + at}, Costs(int(part[at, 0]), int(part[at, 1]), 0, 0, 0, 0)) for at in joined})
    kept = [point["row"] for point, _ in front.members()]
    distinct = {tuple(row) for row in rows.tolist()}
    best = {row for row in distinct if not any(o != row and all(np.array(o) <= row) for o in distinct)}
    assert sorted(tuple(rows[at].tolist()) for at in kept) == sorted(best)


def test_a_hundred_thousand_nets_take_less_than_a_second(tmp_path: Path) -> None:
    found = space.of_study(study(tmp_path, BY_STAGE))
    found.costs(next(found.chunks(draw=10, most=0)))  # the tables
    start = process_time()
    survey = found.survey(draw=200_000)
    assert survey.seen == 200_000
    assert 200_000 / (process_time() - start) > 100_000  # about a million on a quiet core


def test_a_larger_space_is_drawn_from_and_the_draw_is_the_same_every_time(tmp_path: Path) -> None:
    found = space.of_study(study(tmp_path, BY_STAGE))
    assert found.size is None
    assert found.survey(draw=2_000) == found.survey(draw=2_000)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ("    arch.match: [{macs: 1e6}, {macs: 2e6}]\n", "matched to a budget"),
        ("    arch.width: {low: 0.5, high: 2.0}\n    a: {b: {arch.width: 0.3}}\n", "changed by another axis"),
        ("    arch.stages[0].channels: {low: 1, high: 1000000000}\n", "more than 1,000,000 numbers"),
        ("    arch.norm.eps: {low: 0.1, high: 0.2}\n", "can be numbers without a step"),
    ],
)
def test_a_space_that_cannot_be_counted_says_why(tmp_path: Path, axes: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        space.of_study(study(tmp_path, axes))


def test_a_study_without_a_search_has_no_space(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(STUDY.partition("design:")[0] + "design: list\n")
    with pytest.raises(SpecError, match="its design is not a search"):
        space.of_study(load(path))

"""A space counted by columns is the space counted net by net; its front is what a slow search would find."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from scipy import stats

from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study, load
from vgg_ablate.errors import SpecError
from vgg_ablate.models.costs import Costs
from vgg_ablate.models.width_matching import resolve_variants
from vgg_ablate.space import pareto
from vgg_ablate.space import survey as space_survey

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
    arch.kernel: [[], 3, 5, 7, 1xn]
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
    arch.kernel: [[], 3, 5, "1x1-last", [5, 1xn], [3, 1x1-last]]
    arch.depth: [1, 3]
    arch.head.hidden: [[], [8], [16, 8, 4]]
    arch.head.pool: [none, global, 3]
    data.image_size: [8, 16, 33]
"""
BY_BUDGET = """\
    arch.match: [{macs: base, tolerance: 2%}, {params: 30000, tolerance: 10%}, {activations: 9000, tolerance: 5%}, null]
    arch.norm: [none, batch, {kind: group, groups: 8}]
    arch.stages[0].depth: [1, 2, 3]
    arch.stages[1].channels: {low: 3, high: 40}
    arch.kernel: [[], 5, 1xn]
    arch.pool: [max, conv]
    arch.width: {low: 0.2, high: 2.0, log: true}
"""
BY_RANGE = """\
    arch.match.macs: {low: 1.0e3, high: 4.0e7, log: true}
    arch.match.tolerance: [0.02, 0.2]
    arch.norm: [batch, {kind: group, groups: 4}, none]
    arch.norm.eps: {low: 1.0e-6, high: 1.0e-3, log: true}
    arch.depth: [1, 4]
    arch.head.pool: [none, global]
"""
BY_WHOLE_WIDTHS = """\
    arch.width: [1, 2, 3]
    data.image_size: [2, 16]
    arch.stages[0].depth: {low: 1, high: 3}
    arch.stages[1].channels: {low: 3, high: 40}
"""


def study(folder: Path, axes: str) -> Study:
    path = folder / "wide.yaml"
    path.write_text(STUDY + axes)
    return load(path)


def one_by_one(asked: Study, point: dict[str, Any]) -> Costs | None:
    assert isinstance(asked.design, Search)
    try:
        return resolve_variants([asked.base, asked.variant("one", asked.design.changes(point))])[-1].costs
    except SpecError:
        return None


@pytest.mark.parametrize(
    ("axes", "count"),
    [(BY_STAGE, 300), (BY_LABEL, 300), (BY_BUDGET, 100), (BY_RANGE, 60), (BY_WHOLE_WIDTHS, 60)],
    ids=["by-stage", "by-label", "by-budget", "by-range", "by-whole-widths"],
)
def test_every_net_costs_what_it_costs_alone(tmp_path: Path, axes: str, count: int) -> None:
    asked = study(tmp_path, axes)
    found = space_survey.build_space(asked)
    points = next(found.chunks(draw=count, most=0))
    costs = found.costs(points)
    alone = [one_by_one(asked, found.point(points, index)) for index in range(count)]
    assert [costs.of(index) if costs.exists[index] else None for index in range(count)] == alone
    assert any(one is None for one in alone)
    assert sum(one is not None for one in alone) > count / 10


def test_a_survey_of_matched_nets_says_how_many_meet_their_budget_at_no_width(tmp_path: Path) -> None:
    asked = study(tmp_path, BY_RANGE)
    survey = space_survey.build_space(asked).survey(draw=40)
    points = next(space_survey.build_space(asked).chunks(draw=40))
    assert isinstance(asked.design, Search)
    refused = []
    for index in range(40):
        try:
            resolve_variants(
                [asked.variant("one", asked.design.changes(space_survey.build_space(asked).point(points, index)))]
            )
        except SpecError as error:
            refused.append("no width gives" in str(error))
    assert (survey.exist, survey.unmatched) == (40 - len(refused), sum(refused))
    assert any(refused)


@pytest.mark.parametrize(
    ("between", "theirs"),
    [
        ("{low: 0.125, high: 2.0, log: true}", FloatDistribution(0.125, 2.0, log=True)),
        ("{low: 0.125, high: 2.0}", FloatDistribution(0.125, 2.0)),
        ("{low: 1, high: 64, log: true}", IntDistribution(1, 64, log=True)),
        ("{low: 1, high: 61, step: 4}", IntDistribution(1, 61, step=4)),
    ],
)
def test_points_are_drawn_as_optuna_draws_a_searchs_first_proposals(
    tmp_path: Path, between: str, theirs: BaseDistribution
) -> None:
    found = space_survey.build_space(study(tmp_path, f"    arch.width: {between}\n"))
    (points,) = found.chunks(draw=5_000, most=0)
    ours = [found.point(points, index)["arch.width"] for index in range(5_000)]
    random, ledger, trial = RandomSampler(seed=0), optuna.create_study(), optuna.trial.create_trial(value=0.0)
    wanted = [random.sample_independent(ledger, trial, "width", theirs) for _ in range(5_000)]
    assert stats.ks_2samp(ours, wanted).pvalue > 1e-3
    if isinstance(theirs, IntDistribution):
        assert set(ours) == set(wanted)


def test_a_survey_counts_what_meets_the_constraints(tmp_path: Path) -> None:
    asked = study(tmp_path, BY_LABEL)
    found = space_survey.build_space(asked)
    survey = found.survey()
    assert isinstance(asked.design, Search)
    alone = [one_by_one(asked, point) for point in asked.design.grid()]
    there = [one for one in alone if one is not None]
    meet = [one for one in there if all(bound.compute_excess(one.as_dict()) <= 0 for bound in asked.design.constraints)]
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
    front = pareto.ParetoFront()
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        joined = front.offer(part[:, 0], part[:, 1], -part[:, 2])
        front.keep({at: ({"row": start + at}, Costs(int(part[at, 0]), int(part[at, 1]), 0, 0, 0, 0)) for at in joined})
    kept = [point["row"] for point, _ in front.members()]
    distinct = {tuple(row) for row in rows.tolist()}
    best = {row for row in distinct if not any(o != row and all(np.array(o) <= row) for o in distinct)}
    assert sorted(tuple(rows[at].tolist()) for at in kept) == sorted(best)


def test_a_hundred_thousand_nets_take_less_than_a_second(tmp_path: Path) -> None:
    found = space_survey.build_space(study(tmp_path, BY_STAGE))
    found.costs(next(found.chunks(draw=10, most=0)))  # the tables
    start = process_time()
    survey = found.survey(draw=200_000)
    assert survey.seen == 200_000
    assert 200_000 / (process_time() - start) > 100_000  # about a million on a quiet core


def test_a_larger_space_is_drawn_from_and_the_draw_is_the_same_every_time(tmp_path: Path) -> None:
    found = space_survey.build_space(study(tmp_path, BY_STAGE))
    assert found.size is None
    assert found.survey(draw=2_000) == found.survey(draw=2_000)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ("    arch.match: [{macs: 1e6}, {macs: other}]\n", "the budget of the base, or a number"),
        ("    arch.match: [{macs: 1e6}, {macs: 1e15}]\n", "are not counted"),
        ("    arch.match.macs: {low: 1.5, high: 9.5}\n    arch.match: [{macs: 8}]\n", "changed by another axis"),
        ("    arch.match.tolerance: {low: 0.1, high: 0.2}\n", "needs a step"),
        ("    arch.width: {low: 0.5, high: 2.0}\n    a: {b: {arch.width: 0.3}}\n", "changed by another axis"),
        ("    arch.stages[0].channels: {low: 1, high: 1000000000}\n", "more than 1,000,000 numbers"),
    ],
)
def test_a_space_that_cannot_be_counted_says_why(tmp_path: Path, axes: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        space_survey.build_space(study(tmp_path, axes))


def test_a_study_without_a_search_has_no_space(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(STUDY.partition("design:")[0] + "design: list\n")
    with pytest.raises(SpecError, match="its design is not a search"):
        space_survey.build_space(load(path))

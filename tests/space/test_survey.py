"""Surveys of spaces against the costs of their nets, computed one by one."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from scipy import stats

from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study, load
from vgg_ablate.errors import SpecError
from vgg_ablate.models.costs import Costs
from vgg_ablate.models.width_matching import resolve_variants
from vgg_ablate.space.survey import build_space

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


def load_study(folder: Path, axes: str) -> Study:
    path = folder / "wide.yaml"
    path.write_text(STUDY + axes)
    return load(path)


def compute_costs_alone(study: Study, point: dict[str, Any]) -> Costs | None:
    assert isinstance(study.design, Search)
    try:
        return resolve_variants([study.base, study.build_variant("one", study.design.build_changes(point))])[-1].costs
    except SpecError:
        return None


@pytest.mark.parametrize(
    ("axes", "count"),
    [(BY_STAGE, 300), (BY_LABEL, 300), (BY_BUDGET, 100), (BY_RANGE, 60), (BY_WHOLE_WIDTHS, 60)],
    ids=["by-stage", "by-label", "by-budget", "by-range", "by-whole-widths"],
)
def test_every_net_costs_what_it_costs_alone(tmp_path: Path, axes: str, count: int) -> None:
    study = load_study(tmp_path, axes)
    space = build_space(study)
    points = next(space.iterate_chunks(draw=count, max_points=0))
    costs = space.tables.compute_costs(points)
    alone = [compute_costs_alone(study, space.build_point(points, index)) for index in range(count)]
    assert [costs.get_costs(index) if costs.exists[index] else None for index in range(count)] == alone
    assert None in alone
    assert len(alone) - alone.count(None) > count / 10


def test_a_survey_of_matched_nets_counts_those_that_meet_their_budget_at_no_width(tmp_path: Path) -> None:
    study = load_study(tmp_path, BY_RANGE)
    space = build_space(study)
    survey = space.survey(draw=40)
    points = next(space.iterate_chunks(draw=40))
    assert isinstance(study.design, Search)
    errors = []
    for index in range(40):
        try:
            resolve_variants([study.build_variant("one", study.design.build_changes(space.build_point(points, index)))])
        except SpecError as error:
            errors.append(str(error))
    unmatched = sum("no width gives" in error for error in errors)
    assert (survey.exist, survey.unmatched) == (40 - len(errors), unmatched)
    assert unmatched


@pytest.mark.parametrize(
    ("between", "distribution"),
    [
        ("{low: 0.125, high: 2.0, log: true}", FloatDistribution(0.125, 2.0, log=True)),
        ("{low: 0.125, high: 2.0}", FloatDistribution(0.125, 2.0)),
        ("{low: 1, high: 64, log: true}", IntDistribution(1, 64, log=True)),
        ("{low: 1, high: 61, step: 4}", IntDistribution(1, 61, step=4)),
    ],
)
def test_points_are_drawn_as_optuna_draws_a_searchs_first_proposals(
    tmp_path: Path, between: str, distribution: BaseDistribution
) -> None:
    space = build_space(load_study(tmp_path, f"    arch.width: {between}\n"))
    (points,) = space.iterate_chunks(draw=5_000, max_points=0)
    ours = [space.build_point(points, index)["arch.width"] for index in range(5_000)]
    sampler, trials, trial = RandomSampler(seed=0), optuna.create_study(), optuna.trial.create_trial(value=0.0)
    sampled = [sampler.sample_independent(trials, trial, "width", distribution) for _ in range(5_000)]
    assert stats.ks_2samp(ours, sampled).pvalue > 1e-3
    if isinstance(distribution, IntDistribution):
        assert set(ours) == set(sampled)


def test_a_survey_counts_the_nets_that_meet_the_constraints(tmp_path: Path) -> None:
    study = load_study(tmp_path, BY_LABEL)
    space = build_space(study)
    survey = space.survey()
    assert isinstance(study.design, Search)
    alone = [compute_costs_alone(study, point) for point in study.design.list_grid_points()]
    existing = [costs for costs in alone if costs is not None]
    feasible = [
        costs
        for costs in existing
        if all(constraint.compute_excess(costs.as_dict()) <= 0 for constraint in study.design.constraints)
    ]
    assert (survey.size, survey.seen) == (len(alone), len(alone))
    assert (survey.exist, survey.meet) == (len(existing), len(feasible))
    assert survey.low["params"] == min(costs.params for costs in feasible)
    assert survey.high["macs"] == max(costs.macs for costs in feasible)
    rows = {(costs.params, costs.macs, -costs.receptive_field) for costs in feasible}
    best = {row for row in rows if not any(other != row and np.all(np.array(other) <= row) for other in rows)}
    assert {(costs.params, costs.macs, -costs.receptive_field) for _, costs in survey.front} == best
    for point, costs in survey.front:
        assert compute_costs_alone(study, point) == costs


def test_a_hundred_thousand_nets_take_less_than_a_second(tmp_path: Path) -> None:
    space = build_space(load_study(tmp_path, BY_STAGE))
    space.tables.compute_costs(next(space.iterate_chunks(draw=10, max_points=0)))  # the tables
    start = process_time()
    survey = space.survey(draw=200_000)
    assert survey.seen == 200_000
    assert 200_000 / (process_time() - start) > 100_000  # about a million on a quiet core


def test_a_larger_space_is_sampled_and_the_sample_is_the_same_every_time(tmp_path: Path) -> None:
    space = build_space(load_study(tmp_path, BY_STAGE))
    assert space.size is None
    assert space.survey(draw=2_000) == space.survey(draw=2_000)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("    arch.match: [{macs: 1e6}, {macs: other}]\n", "must be 'base' or a number, got 'other'"),
        ("    arch.match: [{macs: 1e6}, {macs: 1e15}]\n", "must be at most 10,000,000,000,000 macs, got"),
        (
            "    arch.match.macs: {low: 1.5, high: 9.5}\n    arch.match: [{macs: 8}]\n",
            "needs a step, because it is changed by",
        ),
        ("    arch.match.tolerance: {low: 0.1, high: 0.2}\n", "needs a step"),
        ("    arch.width: {low: 0.5, high: 2.0}\n    a: {b: {arch.width: 0.3}}\n", "changed by another axis"),
        ("    arch.stages[0].channels: {low: 1, high: 1000000000}\n", "more than 1,000,000 numbers"),
    ],
)
def test_a_space_that_cannot_be_surveyed_is_refused_with_the_reason(tmp_path: Path, axes: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_space(load_study(tmp_path, axes))


def test_a_study_without_a_search_has_no_space(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(STUDY.partition("design:")[0] + "design: list\n")
    with pytest.raises(SpecError, match="has no space: the design must be a search, got 'list'"):
        build_space(load(path))

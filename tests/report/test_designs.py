"""Every design has the table it deserves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from tests.report.building import made, searched
from vgg_ablate.report import designs, model, prose, table
from vgg_ablate.report.effects import effects

HEAD = """\
version: 1
name: pretend
question: Which part matters?
seeds: 4
data: {name: digits, image_size: 32}
arch: {stages: "4 4 | 8 8", norm: batch}
train: {epochs: 2}
"""
FACTORIAL = """\
design:
  kind: factorial
  factors: {arch.kernel: {three: {}, five: {arch.kernel: 5}}, arch.norm: [batch, none]}
claims:
  - {id: norm, text: the norm helps, kind: better, a: norm=batch, b: norm=none}
  - {id: both, text: more so with 5x5, kind: different, a: norm=batch, b: norm=none, within: kernel=five,
     against: kernel=three}
"""


def report(folder: Path, design: str, errors: dict[str, float] | None = None) -> model.Report:
    noise = np.random.default_rng(5).normal(0, 0.002, 1000)
    known = errors or {}

    def accuracy(name: str, seed: int) -> float:
        return float(1 - known.get(name, 0.05) - noise[seed] - noise[50 + seed + 7 * len(name)] / 4)

    return model.of(made(folder / "pretend", accuracy, text=HEAD + design))


def names(shown: table.Table) -> list[str]:
    return [row.cells[0].shown() for row in shown.rows]


def test_left_out_parts_are_sorted_by_what_they_cost(tmp_path: Path) -> None:
    design = """\
design:
  kind: leave_one_out
  parts: {norm: {arch.norm: none}, depth: {arch.depth: 1}, bias: {arch.bias: false}}
"""
    found = report(tmp_path, design, {"no-norm": 0.06, "no-depth": 0.09, "no-bias": 0.05})
    assert names(designs.tables(found)[0]) == ["base", "– depth", "– norm", "– bias"]


def test_the_road_says_what_each_step_adds(tmp_path: Path) -> None:
    design = """\
design:
  kind: cumulative
  steps: {no-bias: {arch.bias: false}, no-norm: {arch.norm: none}}
"""
    found = report(tmp_path, design, {"base": 0.05, "no-bias": 0.06, "no-norm": 0.08})
    (road,) = designs.tables(found)
    assert names(road) == ["base", "+ no-bias", "+ no-norm"]
    step = [row.cells[4].raw()[""] for row in road.rows]
    assert step[1:] == pytest.approx([1.0, 2.0], abs=0.3)


def test_one_factor_at_a_time_has_a_block_a_factor(tmp_path: Path) -> None:
    design = """\
design:
  kind: one_factor_at_a_time
  factors: {arch.norm: [batch, none], arch.bias: [true, false]}
"""
    found = names(designs.tables(report(tmp_path, design))[0])
    assert found == ["base", "arch.norm (base: batch)", "norm=none", "arch.bias (base: true)", "bias=false"]


@pytest.fixture
def factorial(tmp_path: Path) -> model.Report:
    errors = {
        "kernel=three+norm=batch": 0.05,
        "kernel=three+norm=none": 0.06,
        "kernel=five+norm=batch": 0.07,
        "kernel=five+norm=none": 0.10,
    }
    return report(tmp_path, FACTORIAL, {"base": 0.05, **errors})


def test_main_effects_and_interactions_are_contrasts_per_seed(factorial: model.Report) -> None:
    found = effects(factorial)
    by_label = {effect.label: effect.difference.mean for effect in (*found.main, *found.interactions)}
    assert by_label["norm: none - batch"] == pytest.approx(2.0, abs=0.2)
    assert by_label["kernel: five - three"] == pytest.approx(3.0, abs=0.2)
    assert by_label["kernel: five - three, at norm none more than at norm batch"] == pytest.approx(2.0, abs=0.4)


def test_claims_can_be_about_main_effects_and_interactions(factorial: model.Report) -> None:
    norm, both = factorial.verdicts
    assert norm.verdict == "supported"
    assert norm.mean == pytest.approx(2.0, abs=0.2)
    assert both.mean == pytest.approx(2.0, abs=0.4)


def test_the_analysis_of_variance_is_statsmodels(factorial: model.Report) -> None:
    found = {source.name: source for source in effects(factorial).sources}
    runs = factorial.frame.merge(
        pd.DataFrame([{"variant": name, **its} for name, its in factorial.levels.items() if its]), on="variant"
    ).rename(columns={"arch.kernel": "kernel", "arch.norm": "norm"})
    runs["y"] = 100 * runs["test_error"]
    expected = anova_lm(ols("y ~ C(seed) + kernel * norm", data=runs).fit(), typ=2)
    assert found["kernel"].f == pytest.approx(expected.loc["kernel", "F"])
    assert found["kernel × norm"].p == pytest.approx(expected.loc["kernel:norm", "PR(>F)"])
    assert sum(source.omega_squared for source in found.values() if source.name != "rest") <= 1


def test_a_factorial_report_shows_levels_effects_and_variance(factorial: model.Report) -> None:
    assert [shown.name for shown in prose.tables(factorial)] == [
        "comparison",
        "levels",
        "effects",
        "variance",
        "verdicts",
    ]


SEARCH = """\
design:
  kind: search
  space: {arch.width: {low: 0.5, high: 3.0}}
  sampler: random
  budget: {variants: 3}
  seeds: 2
  best: 1
claims:
  - {id: won, text: the winner beats the base, kind: better, a: winner-1, b: base}
"""


def test_a_search_shows_its_winners_its_front_and_its_best_proposals(tmp_path: Path) -> None:
    folder = made(tmp_path / "pretend", lambda variant, seed: 0.9 + seed / 500, text=HEAD + SEARCH)
    found = model.of(searched(folder, [{"arch.width": width} for width in (0.5, 1.25, 2.0)], {"winner-1": 2}))
    comparison, front, history, _ = prose.tables(found)
    assert found.problems == ()
    assert names(comparison) == ["base", "winner-1"]
    assert names(history) == ["s0002", "s0001", "s0000"]
    assert names(front) == ["s0000", "s0001", "s0002"]
    assert [row.cells[1].shown() for row in front.rows] == ["width 0.5", "width 1.25", "width 2"]


def test_a_search_that_has_no_winner_yet_is_reported(tmp_path: Path) -> None:
    found = model.of(searched(made(tmp_path / "pretend", text=HEAD + SEARCH), [{"arch.width": 0.5}], {}))
    assert found.verdicts[0].verdict == "inconclusive"
    assert found.verdicts[0].reason.startswith("winner-1: seed 0 missing")


def test_the_front_is_what_nothing_else_beats(factorial: model.Report) -> None:
    front = designs.front(factorial.rows)
    for row in factorial.rows:
        dominated = any(
            other.error.mean <= row.error.mean and other.costs["macs"] <= row.costs["macs"] and other is not row
            for other in factorial.rows
        )
        assert (row in front) or dominated

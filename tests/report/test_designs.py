"""Tables of every kind of design, and the analysis of variance against statsmodels."""

from __future__ import annotations

import itertools
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

import vgg_ablate
from tests.report.factories import add_search_records, make_results_folder
from vgg_ablate.analysis import frame_csv, summary
from vgg_ablate.analysis.anova import analyze_variance
from vgg_ablate.formatting import table
from vgg_ablate.report import design_tables, markdown
from vgg_ablate.runs.status import read_status

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


def load_design_report(folder: Path, design: str, errors: dict[str, float] | None = None) -> summary.Report:
    noise = np.random.default_rng(5).normal(0, 0.002, 1000)
    known = errors or {}

    def accuracy(name: str, seed: int) -> float:
        return float(1 - known.get(name, 0.05) - noise[seed] - noise[50 + seed + 7 * len(name)] / 4)

    return summary.load_report(make_results_folder(folder / "pretend", accuracy, text=HEAD + design))


def list_names(shown: table.Table) -> list[str]:
    at = next(index for index, column in enumerate(shown.columns) if column.heading in ("variant", "proposal"))
    return [row.cells[at if len(row.cells) > 1 else 0].to_text() for row in shown.rows]


def test_left_out_parts_are_sorted_by_what_they_cost(tmp_path: Path) -> None:
    design = """\
design:
  kind: leave_one_out
  parts: {norm: {arch.norm: none}, depth: {arch.depth: 1}, bias: {arch.bias: false}}
"""
    found = load_design_report(tmp_path, design, {"no-norm": 0.06, "no-depth": 0.09, "no-bias": 0.05})
    assert list_names(design_tables.build_design_tables(found)[0]) == ["base", "– depth", "– norm", "– bias"]


def test_a_cumulative_design_shows_what_each_step_adds(tmp_path: Path) -> None:
    design = """\
design:
  kind: cumulative
  steps: {no-bias: {arch.bias: false}, no-norm: {arch.norm: none}}
"""
    found = load_design_report(tmp_path, design, {"base": 0.05, "no-bias": 0.06, "no-norm": 0.08})
    (comparison,) = design_tables.build_design_tables(found)
    assert list_names(comparison) == ["base", "+ no-bias", "+ no-norm"]
    at = [column.heading for column in comparison.columns].index("to the previous step [95 %]")
    assert [row.cells[at].get_sort_value() for row in comparison.rows[1:]] == pytest.approx([1.0, 2.0], abs=0.3)


def test_one_factor_at_a_time_has_one_block_per_factor(tmp_path: Path) -> None:
    design = """\
design:
  kind: one_factor_at_a_time
  factors: {arch.norm: [batch, none], arch.bias: [true, false]}
"""
    found = list_names(design_tables.build_design_tables(load_design_report(tmp_path, design))[0])
    assert found == ["base", "arch.norm (base: batch)", "norm=none", "arch.bias (base: true)", "bias=false"]


@pytest.fixture
def factorial(tmp_path: Path) -> summary.Report:
    errors = {
        "kernel=three+norm=batch": 0.05,
        "kernel=three+norm=none": 0.06,
        "kernel=five+norm=batch": 0.07,
        "kernel=five+norm=none": 0.10,
    }
    return load_design_report(tmp_path, FACTORIAL, {"base": 0.05, **errors})


def test_main_effects_and_interactions_are_contrasts_per_seed(factorial: summary.Report) -> None:
    effects = factorial.factorial_effects
    by_label = {effect.label: effect.difference.mean for effect in (*effects.main, *effects.interactions)}
    assert by_label["norm: none - batch"] == pytest.approx(2.0, abs=0.2)
    assert by_label["kernel: five - three"] == pytest.approx(3.0, abs=0.2)
    assert by_label["kernel: five - three, at norm none more than at norm batch"] == pytest.approx(2.0, abs=0.4)


def test_claims_can_be_about_main_effects_and_interactions(factorial: summary.Report) -> None:
    norm, both = factorial.verdicts
    assert norm.verdict == "supported"
    assert norm.mean == pytest.approx(2.0, abs=0.2)
    assert both.mean == pytest.approx(2.0, abs=0.4)


@settings(max_examples=6)
@given(st.lists(st.integers(2, 3), min_size=2, max_size=3), st.integers(2, 4), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_analysis_of_variance_is_statsmodels(sizes: list[int], seeds: int, shared: bool, draw: int) -> None:
    """Compare every order of interaction, with and without an effect of the seed, in any order of the variants."""
    random = np.random.default_rng(draw)
    factors = {f"arch.f{index}": [f"l{level}" for level in range(size)] for index, size in enumerate(sizes)}
    cells = list(itertools.product(*factors.values()))
    block = random.normal(0, float(shared), seeds)
    y = random.normal(5, 1, len(cells))[:, None] * np.ones(seeds) + block + random.normal(0, 0.5, (len(cells), seeds))
    levels = {f"v{at}": dict(zip(factors, cells[at], strict=True)) for at in random.permutation(len(cells)).tolist()}
    table = {name: dict(enumerate(y[int(name[1:])].tolist())) for name in levels}
    found = {source.name: source for source in analyze_variance(factors, levels, table, range(seeds))}

    rows = [
        {"y": table[name][seed], "seed": seed} | {path[5:]: level for path, level in its.items()}
        for name, its in levels.items()
        for seed in range(seeds)
    ]
    formula = f"y ~ C(seed) + {' * '.join(path[5:] for path in factors)}"
    expected = anova_lm(ols(formula, data=pd.DataFrame(rows)).fit(), typ=2)
    assert len(found) == len(expected) == 2 ** len(sizes) + 1
    mean_square = expected.loc["Residual", "sum_sq"] / expected.loc["Residual", "df"]
    for term, line in expected.iterrows():
        name = {"C(seed)": "seed", "Residual": "rest"}.get(str(term), str(term).replace(":", " × "))
        source = found[name]
        assert source.dof == line["df"]
        assert source.sum_of_squares == pytest.approx(line["sum_sq"], abs=1e-9)
        if name != "rest":
            assert source.f == pytest.approx(line["F"], abs=1e-9)
            assert source.p == pytest.approx(line["PR(>F)"])
            omega = (line["sum_sq"] - line["df"] * mean_square) / (expected["sum_sq"].sum() + mean_square)
            assert source.omega_squared == pytest.approx(max(0.0, omega), abs=1e-12)


def test_an_interaction_of_three_factors_alone_is_seen_as_that() -> None:
    factors = {name: ["0", "1"] for name in "abc"}
    levels = {"".join(cell): dict(zip("abc", cell, strict=True)) for cell in itertools.product("01", repeat=3)}
    noise = np.random.default_rng(1).normal(0, 0.1, (8, 5))
    table = {name: {seed: (-1) ** name.count("1") + noise[int(name, 2), seed] for seed in range(5)} for name in levels}
    found = {source.name: source for source in analyze_variance(factors, levels, table, range(5))}
    assert list(found) == ["seed", "a", "b", "c", "a × b", "a × c", "b × c", "a × b × c", "rest"]
    assert found["a × b × c"].omega_squared > 0.95
    assert all(source.omega_squared < 0.05 for name, source in found.items() if name not in ("a × b × c", "rest"))


def test_there_is_no_analysis_of_variance_where_a_cell_or_a_second_seed_is_lacking() -> None:
    factors = {"a": ["0", "1"], "b": ["0", "1"]}
    levels = {"".join(cell): dict(zip("ab", cell, strict=True)) for cell in itertools.product("01", repeat=2)}
    table = {name: {0: float(name), 1: 2.0} for name in levels}
    assert analyze_variance(factors, levels, table, [0, 1])
    assert not analyze_variance(factors, levels, table, [0])
    assert not analyze_variance(factors, {name: levels[name] for name in ("00", "01", "10")}, table, [0, 1])
    assert not analyze_variance(factors, levels, {name: dict.fromkeys((0, 1), 3.0) for name in levels}, [0, 1])


def test_where_nothing_is_left_over_there_is_nothing_to_test_against() -> None:
    """Factors and seeds are additive, so that the residual is only rounding: no F is computed from it."""
    levels = {a + b: {"a": a, "b": b} for a in "012" for b in "01"}
    table = {name: {seed: 0.1 * int(name[0]) + 0.7 * seed for seed in range(3)} for name in levels}
    found = analyze_variance({"a": ["0", "1", "2"], "b": ["0", "1"]}, levels, table, range(3))
    assert all(isnan(source.f) and isnan(source.p) for source in found)
    assert found[1].sum_of_squares == pytest.approx(0.12)


def test_a_factorial_report_shows_levels_effects_and_variance(factorial: summary.Report) -> None:
    assert [shown.name for shown in markdown.build_tables(factorial)] == [
        "claims",
        "effects",
        "comparison",
        "levels",
        "variance",
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
    folder = make_results_folder(tmp_path / "pretend", lambda variant, seed: 0.9 + seed / 500, text=HEAD + SEARCH)
    found = summary.load_report(
        add_search_records(folder, [{"arch.width": width} for width in (0.5, 1.25, 2.0)], {"winner-1": 2})
    )
    comparison, front, history = markdown.build_variant_tables(found)
    assert found.problems == ()
    assert list_names(comparison) == ["winner-1", "base"]
    assert list_names(history) == ["s0002", "s0001", "s0000"]
    assert list_names(front) == ["s0000", "s0001", "s0002"]
    assert [row.cells[1].to_text() for row in front.rows] == ["width 0.5", "width 1.25", "width 2"]


def test_the_status_of_a_search_counts_what_its_budget_asks_for(tmp_path: Path) -> None:
    points = [{"arch.width": width} for width in (0.5, 1.25, 2.0)]
    folder = add_search_records(make_results_folder(tmp_path / "some", text=HEAD + SEARCH), points[:1], {})
    status = read_status(folder)
    assert (status.recorded, status.asked) == (4 + 2, 4 + 3 * 2 + 4), "base, three proposals on two seeds, a winner"
    whole = add_search_records(make_results_folder(tmp_path / "all", text=HEAD + SEARCH), points, {"winner-1": 2})
    assert (read_status(whole).missing, read_status(whole).asked) == (0, 4 + 3 * 2 + 4)


def test_factors_and_the_values_of_a_search_are_columns_of_the_runs(tmp_path: Path, factorial: summary.Report) -> None:
    assert {"factor.arch.kernel", "factor.arch.norm"} <= set(factorial.frame.columns)
    levels = dict(zip(factorial.frame["variant"], factorial.frame["factor.arch.kernel"], strict=True))
    assert levels["kernel=five+norm=none"] == "five"
    points = [{"arch.width": width} for width in (0.5, 1.25, 2.0)]
    folder = add_search_records(make_results_folder(tmp_path / "all", text=HEAD + SEARCH), points, {"winner-1": 2})
    runs = vgg_ablate.frame(folder)
    values = dict(zip(runs["variant"], runs["search.arch.width"], strict=True))
    assert (values["s0001"], values["winner-1"], isnan(values["base"])) == (1.25, 2.0, True)
    (tmp_path / "runs.csv").write_text(frame_csv.serialize_frame(runs), encoding="utf-8")
    pd.testing.assert_frame_equal(frame_csv.read_csv(tmp_path / "runs.csv"), runs, check_exact=True)


def test_a_search_that_has_no_winner_yet_is_reported(tmp_path: Path) -> None:
    found = summary.load_report(
        add_search_records(make_results_folder(tmp_path / "pretend", text=HEAD + SEARCH), [{"arch.width": 0.5}], {})
    )
    assert found.verdicts[0].verdict == "inconclusive"
    assert found.verdicts[0].reason.startswith("winner-1: seed 0 missing")


def test_the_front_is_what_nothing_else_beats(factorial: summary.Report) -> None:
    front = design_tables.find_pareto_variants(factorial.rows)
    for row in factorial.rows:
        dominated = any(
            other.error.mean <= row.error.mean and other.costs["macs"] <= row.costs["macs"] and other is not row
            for other in factorial.rows
        )
        assert (row in front) or dominated

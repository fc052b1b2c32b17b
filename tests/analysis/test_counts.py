"""Counts of runs that trained: exact by enumeration, and against statsmodels."""

from __future__ import annotations

import itertools
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import barnard_exact
from statsmodels.stats.proportion import confint_proportions_2indep

from vgg_ablate.analysis.counts import TrainedCounts, count_trained
from vgg_ablate.analysis.decisions import judge_looks
from vgg_ablate.analysis.stats import ALPHA
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.claims import Claim

SHARES = np.linspace(0.0005, 0.9995, 1999)


def make_claim(**given: Any) -> Claim:
    return Claim.model_validate(
        {"id": "c", "text": "t", "kind": "better", "a": "a", "b": "b", "metric": "trained"} | given
    )


def make_frame(trained: dict[str, list[bool]], outcomes: dict[tuple[str, int], str] | None = None) -> pd.DataFrame:
    """Return a frame of finished runs, of which some have stalled."""
    return pd.DataFrame(
        [
            {
                "variant": name,
                "seed": seed,
                "outcome": (outcomes or {}).get((name, seed), "finished"),
                "trained": value,
                "test_error": 0.2 if value else 0.9,
            }
            for name, values in trained.items()
            for seed, value in enumerate(values)
        ]
    )


def make_runs(a: int, of_a: int, b: int, of_b: int) -> pd.DataFrame:
    frame = make_frame({"a": [index < a for index in range(of_a)], "b": [index < b for index in range(of_b)]})
    return frame.sample(frac=1, random_state=1)  # the order of rows must not matter


def judge_one(frame: pd.DataFrame, seeds: int, **given: Any) -> Verdict:
    (result,) = judge_looks([make_claim(**given)], frame, range(seeds)).verdicts
    return result


def list_tables(n: int, m: int) -> list[tuple[int, int]]:
    return list(itertools.product(range(n + 1), range(m + 1)))


def compute_probability(x: int, n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(comb(n, x) * SHARES**x * (1 - SHARES) ** (n - x))


def compute_z(x: int, n: int, y: int, m: int) -> float:
    pooled = (x + y) / (n + m)
    return 0.0 if pooled in (0, 1) else (x / n - y / m) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 5), (4, 7), (10, 10)])
def test_the_p_value_is_barnards_by_enumeration(n: int, m: int) -> None:
    """The p-value is the largest probability, over the common share, of a table at least as extreme."""
    far = {(x, y): abs(compute_z(x, n, y, m)) for x, y in list_tables(n, m)}
    for x, y in list_tables(n, m):
        tail = sum(
            compute_probability(k, n) * compute_probability(j, m)
            for (k, j), value in far.items()
            if value >= far[x, y] - 1e-9
        )
        result = TrainedCounts(x, n, y, m).compute_p_value()
        assert result == pytest.approx(min(1.0, float(np.max(tail))), abs=1e-5)
        assert result == pytest.approx(
            TrainedCounts(n - x, n, m - y, m).compute_p_value(), abs=1e-9
        )  # what trains is not what stalls
        assert result == pytest.approx(TrainedCounts(y, m, x, n).compute_p_value(), abs=1e-9)
        scipys = float(barnard_exact([[x, y], [n - x, m - y]]).pvalue)
        assert result >= min(1.0, scipys) - 1e-4  # scipy's loses tables that tie with the observed one


def test_a_thousand_runs_and_more_do_not_overflow() -> None:
    assert TrainedCounts(600, 1200, 5, 10).compute_p_value() > 0.9
    assert TrainedCounts(1200, 1200, 5, 20).compute_p_value() < 1e-9


def test_the_p_value_of_tables_without_ties_is_scipys() -> None:
    for a, n, b, m in ((7, 15, 12, 15), (8, 8, 3, 8), (10, 10, 0, 10), (40, 50, 10, 50)):
        assert TrainedCounts(a, n, b, m).compute_p_value() == pytest.approx(
            float(barnard_exact([[a, b], [n - a, m - b]]).pvalue), rel=0.02
        )


@pytest.mark.parametrize("n", [3, 4, 5, 8, 10])
@pytest.mark.parametrize("kind", ["better", "worse", "different"])
def test_where_both_sides_train_equally_often_at_most_5_percent_are_decided(n: int, kind: str) -> None:
    """Exact, not simulated: the probability of a decision, at the worst of all common shares."""
    wrong = sum(
        compute_probability(x, n) * compute_probability(y, n)
        for x, y in list_tables(n, n)
        if judge_one(make_runs(x, n, y, n), n, kind=kind).verdict != "inconclusive"
    )
    assert 0.005 < float(np.max(wrong)) <= ALPHA + 1e-9  # a rule that never decides would pass the upper bound alone


@pytest.mark.parametrize("n", [5, 10])
def test_a_simulated_family_of_claims_errs_in_at_most_5_percent(n: int) -> None:
    """Three claims share one side, with Holm over them; the true share differs between studies."""
    random, studies = np.random.default_rng(n), 400
    claims = [make_claim(id=name, a=name, kind="different") for name in ("a", "c", "d")]
    wrong = 0
    for _ in range(studies):
        share = random.uniform(0.2, 0.8)
        frame = make_frame({name: list(random.random(n) < share) for name in ("a", "b", "c", "d")})
        wrong += any(result.verdict != "inconclusive" for result in judge_looks(claims, frame, range(n)).verdicts)
    assert wrong / studies <= 0.05


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("x", "n", "y", "m"), [(5, 5, 2, 5), (0, 5, 5, 5), (3, 3, 3, 3), (7, 10, 1, 4), (0, 3, 0, 9)])
def test_the_interval_is_newcombes(x: int, n: int, y: int, m: int, level: float) -> None:
    low, high = confint_proportions_2indep(x, n, y, m, method="newcomb", compare="diff", alpha=1 - level)
    assert TrainedCounts(x, n, y, m).compute_interval(level) == pytest.approx((100 * low, 100 * high))


def test_directions_and_words() -> None:
    most = make_runs(5, 5, 0, 5)
    result = judge_one(most, 5)
    assert (result.verdict, result.counts, result.mean) == ("supported", (5, 5, 0, 5), 100)
    assert result.ci_low > 0
    assert result.p == result.q < 0.05
    assert judge_one(most, 5, kind="worse").verdict == "refuted"
    assert judge_one(most, 5, kind="different").verdict == "supported"
    assert judge_one(most, 5, a="b", b="a").verdict == "refuted"
    assert judge_one(make_runs(4, 5, 3, 5), 5).verdict == "inconclusive"
    for share in (0, 5):
        same = judge_one(make_runs(share, 5, share, 5), 5, kind="different")
        assert (same.verdict, same.p, same.mean) == ("inconclusive", 1, 0)


def test_two_runs_a_side_are_too_few_and_three_are_enough() -> None:
    few = judge_one(make_runs(2, 2, 0, 2), 2)
    assert (few.verdict, few.reason) == ("inconclusive", "2 runs on a side; a verdict needs at least 3")
    assert judge_one(make_runs(3, 3, 0, 3), 3).verdict == "supported"


def test_the_runs_of_a_list_are_pooled() -> None:
    frame = make_frame({"a": [True, True, False], "c": [True, True, True], "b": [False, False, False]})
    result = judge_one(frame, 3, a=["a", "c"])
    assert result.counts == (5, 6, 0, 3)
    assert result.verdict == "supported"


@pytest.mark.parametrize("outcome", ["missing", "out_of_memory", "failed", "damaged", "pruned"])
def test_a_run_that_says_nothing_makes_the_claim_inconclusive(outcome: str) -> None:
    frame = make_frame({"a": [True] * 5, "b": [False] * 5}, {("b", 3): outcome})
    result = judge_one(frame, 5)
    assert (result.verdict, result.reason) == ("inconclusive", f"b: seed 3 {outcome.replace('_', ' ')}")
    assert result.counts == (5, 5, 0, 4)


def test_a_diverged_run_has_not_trained_and_stalled_ones_are_those_of_the_column() -> None:
    frame = make_frame({"a": [True] * 5, "b": [True, False, True, True, True]}, {("b", 3): "diverged"})
    counts, lacking = count_trained(frame, {"a": 1, "b": -1}, range(5))
    assert (counts, lacking) == ((5, 5, 3, 5), ())
    counts, _ = count_trained(frame.drop(columns="trained"), {"a": 1, "b": -1}, range(5))
    assert counts == (5, 5, 4, 5)


def test_a_finished_run_of_which_nothing_says_whether_it_trained_is_no_answer() -> None:
    frame = make_frame({"a": [True] * 5, "b": [False] * 5}).astype({"trained": "boolean"})
    frame.loc[frame["variant"] == "b", "trained"] = pd.NA
    result = judge_one(frame, 5)
    assert (result.verdict, result.counts) == ("inconclusive", None)
    assert result.reason.startswith("b: seed 0 finished, but whether it trained is not recorded; b: seed 1 ")


def test_sides_of_counts_share_no_variant() -> None:
    (wrong,) = make_claim(a=["a", "b"]).find_problems({"a": {}, "b": {}})
    assert (str(wrong), wrong.field) == ("b is on both sides", "b")

"""Looking early costs no error rate: levels at several looks, against simulation and closed forms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from vgg_ablate.analysis import sequential
from vgg_ablate.analysis.sequential import (
    SPENDING_POWER,
    USUAL_LOOKS,
    Look,
    adjust_p_values,
    compute_conditional_power,
    compute_levels,
    simulate_levels,
)
from vgg_ablate.analysis.stats import ALPHA, adjust_holm

SIMULATIONS = 20_000
LOOK_SETS = [(3, 5), (3, 5, 8), (4, 8, 12), (3, 5, 8, 12), (4, 5, 6, 7, 8, 10, 12, 14), (3, 4, 5, 6, 7, 8, 9, 11, 13)]


def decide_at_look(
    p_values: NDArray[np.float64], open_claims: NDArray[np.bool_], looks: tuple[int, ...], look: int
) -> NDArray[np.bool_]:
    """Return which open claims are decided at a look, by Holm's procedure with the levels of that look.

    `p_values`: two-sided, ... x claims. Claims that were decided at earlier looks leave their share of the error
    rate to the others (Maurer and Bretz 2013). Shape of the result: that of `p_values`.
    """
    count = p_values.shape[-1]
    levels = np.array([compute_levels(looks, claims)[look] for claims in range(1, count + 1)])
    order = np.argsort(np.where(open_claims, p_values, np.inf), axis=-1, kind="stable")
    ordered = np.take_along_axis(np.where(open_claims, p_values, np.inf), order, axis=-1)
    remaining = open_claims.sum(axis=-1, keepdims=True) - np.arange(count)
    level = levels[np.clip(remaining, 1, count) - 1]
    passed = np.logical_and.accumulate((ordered <= level) & (remaining > 0), axis=-1)
    decided = np.empty_like(passed)
    np.put_along_axis(decided, order, passed, axis=-1)
    return decided


def run_study(
    looks: tuple[int, ...], effects: NDArray[np.float64], *, shared: float, seed: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Judge simulated studies look by look; return which claims end as positive, and which as negative.

    `effects`: of every claim, in standard deviations of its differences; `shared`: correlation of the claims, as of
    variants that are compared with one base.
    """
    claims, generator = len(effects), np.random.default_rng(seed)
    common = generator.standard_normal((SIMULATIONS, looks[-1], 1))
    own = generator.standard_normal((SIMULATIONS, looks[-1], claims))
    draws = effects + np.sqrt(shared) * common + np.sqrt(1 - shared) * own
    still_open = np.ones((SIMULATIONS, claims), bool)
    positive, negative = np.zeros_like(still_open), np.zeros_like(still_open)
    for index, look in enumerate(looks):
        seen = draws[:, :look]
        statistics = seen.mean(1) / (seen.std(1, ddof=1) / np.sqrt(look))
        decided = decide_at_look(2 * stats.t.sf(np.abs(statistics), look - 1), still_open, looks, index) & still_open
        positive |= decided & (statistics > 0)
        negative |= decided & (statistics < 0)
        still_open &= ~decided
    return positive, negative


@pytest.mark.parametrize("looks", LOOK_SETS, ids=lambda looks: "-".join(map(str, looks)))
@pytest.mark.parametrize("claims", [1, 3, 6])
def test_false_verdicts_stay_below_five_per_cent_and_each_direction_below_half(
    looks: tuple[int, ...], claims: int
) -> None:
    positive, negative = run_study(looks, np.zeros(claims), shared=0.5)
    tolerance = 4 * np.sqrt(0.05 * 0.95 / SIMULATIONS)
    assert (positive | negative).any(1).mean() <= ALPHA + tolerance
    assert positive.any(1).mean() <= ALPHA / 2 + tolerance
    assert negative.any(1).mean() <= ALPHA / 2 + tolerance


@pytest.mark.parametrize("effect", [0.5, 1.0, 2.0])
def test_true_effects_beside_null_ones_leave_the_error_rate_as_it_is(effect: float) -> None:
    effects = np.array([effect, effect, 0.0, 0.0])
    positive, negative = run_study((3, 5, 8, 12), effects, shared=0.5)
    tolerance = 4 * np.sqrt(0.05 * 0.95 / SIMULATIONS)
    assert (positive | negative)[:, 2:].any(1).mean() <= ALPHA + tolerance
    assert negative[:, :2].any(1).mean() <= ALPHA / 2, "the wrong direction"
    assert positive[:, :2].mean() > 0.1


def judge_whole_rule(
    looks: tuple[int, ...], effects: NDArray[np.float64], smallest_effect: float, *, simulations: int, seed: int = 0
) -> dict[str, NDArray[np.bool_]]:
    """Judge simulated studies by the whole rule, Holm's levels and "no difference"; return word -> studies x claims."""
    claims, generator = len(effects), np.random.default_rng(seed)
    common = generator.standard_normal((simulations, looks[-1], 1))
    draws = effects + np.sqrt(0.5) * (common + generator.standard_normal((simulations, looks[-1], claims)))
    remaining, same = np.ones((simulations, claims), bool), np.zeros((simulations, claims), bool)
    positive, negative = same.copy(), same.copy()
    for index, look in enumerate(looks):
        mean, error = draws[:, :look].mean(1), draws[:, :look].std(1, ddof=1) / np.sqrt(look)
        p_values = np.where(same, 1.0, 2 * stats.t.sf(np.abs(mean / error), look - 1))
        decided = decide_at_look(p_values, remaining, looks, index) & remaining & ~same
        positive |= decided & (mean > 0)
        negative |= decided & (mean < 0)
        remaining &= ~decided  # a claim without a difference keeps its share of the error rate
        reach = stats.t.isf(compute_levels(looks, claims)[index] / 2, look - 1) * error
        same |= remaining & (np.abs(mean) + reach < smallest_effect)
    return {"positive": positive, "negative": negative, "no difference": same}


def check_error_rates(looks: tuple[int, ...], effects: NDArray[np.float64], simulations: int, seed: int = 0) -> None:
    """Check a family of claims with a smallest effect of 1: a verdict is false if the truth lies elsewhere.

    Where the truth is 0, a sign is false; where it is 1 or more, "no difference" is, and the negative sign. The
    tolerance is four standard errors of the simulation.
    """
    found = judge_whole_rule(looks, effects, 1.0, simulations=simulations, seed=seed)
    is_null, matters = effects == 0, effects >= 1
    false_positive = (found["positive"] & is_null).any(1)
    false_negative = (found["negative"] & (is_null | (effects > 0))).any(1)
    false_same = (found["no difference"] & matters).any(1)
    tolerance = 4 * np.sqrt(0.05 * 0.95 / simulations)
    assert (false_positive | false_negative | false_same).mean() <= ALPHA + tolerance
    assert false_positive.mean() <= ALPHA / 2 + tolerance
    assert false_negative.mean() <= ALPHA / 2 + tolerance
    assert false_same.mean() <= ALPHA / 2 + tolerance


@pytest.mark.parametrize("looks", LOOK_SETS, ids=lambda looks: "-".join(map(str, looks)))
@pytest.mark.parametrize("claims", [1, 2, 6])
@pytest.mark.parametrize("truths", [(0.0,), (1.0,), (0.0, 1.0), (0.0, 0.5, 2.0)], ids=str)
def test_the_whole_rule_with_a_smallest_effect_errs_in_at_most_five_per_cent(
    looks: tuple[int, ...], claims: int, truths: tuple[float, ...]
) -> None:
    check_error_rates(looks, np.resize(truths, claims), 4_000, claims)


def test_one_look_is_the_error_rate_and_holm() -> None:
    assert compute_levels((8,)) == (ALPHA,)
    assert compute_levels((8,), 5) == (ALPHA / 5,)


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=6))
def test_adjusted_p_values_with_one_look_are_holms(p_values: list[float]) -> None:
    adjusted = adjust_p_values(p_values, (8,), 0, len(p_values))
    assert adjusted == pytest.approx(list(adjust_holm(p_values)))


@given(st.lists(st.floats(0.0001, 0.2), min_size=1, max_size=6), st.integers(0, 2))
@settings(max_examples=50)
def test_adjusted_p_values_say_what_is_decided(p_values: list[float], look: int) -> None:
    looks = (3, 5, 8)
    adjusted = adjust_p_values(p_values, looks, look, len(p_values))
    decided = decide_at_look(np.array(p_values), np.ones(len(p_values), bool), looks, look)
    assert [q <= compute_levels(looks)[look] for q in adjusted] == decided.tolist()


def test_the_first_level_is_exact_and_later_ones_are_above_what_is_added() -> None:
    for looks in LOOK_SETS:
        levels = compute_levels(looks)
        spent = [ALPHA * (look / looks[-1]) ** SPENDING_POWER for look in looks]
        assert levels[0] == pytest.approx(spent[0])
        added = [after - before for before, after in pairwise(spent)]
        assert all(level > more for level, more in zip(levels[1:], added, strict=True))
        assert all(level < ALPHA for level in levels)


def test_stored_levels_are_what_the_simulation_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = USUAL_LOOKS[0]
    assert compute_levels(looks, 2) == pytest.approx(simulate_levels(looks, ALPHA / 2))
    assert set(sequential._read_stored()) == {",".join(map(str, usual)) for usual in USUAL_LOOKS}


def test_looks_must_rise() -> None:
    with pytest.raises(ValueError, match="looks must rise"):
        simulate_levels((5, 3), ALPHA)


def test_conditional_power_is_low_without_an_effect_and_high_with_one() -> None:
    draws = np.random.default_rng(3).standard_normal(8)
    flat = draws - draws.mean()
    look, edges = Look((3, 5, 8, 12), 2, 1, 1), (0.0, float("inf"))
    assert compute_conditional_power(list(flat), look, edges) < 0.1
    assert compute_conditional_power(list(flat + 2 * flat.std()), look, edges) > 0.9
    last = look._replace(position=3)
    assert compute_conditional_power(list(flat + 2 * flat.std()), last, edges) == 0.0, "nothing comes after it"


@pytest.mark.parametrize("smallest_effect", [None, 1.5])
@pytest.mark.parametrize("mean", [0.0, 0.4, 0.8])
def test_conditional_power_is_the_share_of_studies_that_decide(mean: float, smallest_effect: float | None) -> None:
    """Against the studies themselves, drawn seed by seed: claims of `within 1 of each other`, one of two claims."""
    seen = np.array([0.9, -1.1, 0.3, -0.6, 0.5]) + mean
    looks, edges, level_claims = (5, 8, 12), (-1.0, 1.0), 2
    further = np.random.default_rng(8).normal(seen.mean(), seen.std(ddof=1), (20_000, 7))
    studies, decided = np.concatenate([np.tile(seen, (20_000, 1)), further], axis=1), np.zeros(20_000, bool)
    for index, look in list(enumerate(looks))[1:]:
        data = studies[:, :look]
        reach = stats.t.isf(compute_levels(looks, level_claims)[index] / 2, look - 1) * stats.sem(data, axis=1)
        decided |= np.all([np.abs(data.mean(1) - edge) > reach for edge in edges], axis=0)
        if smallest_effect is not None:
            decided |= np.abs(data.mean(1)) + reach < smallest_effect
    found = compute_conditional_power(list(seen), Look(looks, 0, 2, 2), edges, smallest_effect)
    assert found == pytest.approx(decided.mean(), abs=4 * 0.5 / np.sqrt(4_000))


def test_the_levels_that_looks_add_sum_to_the_error_rate() -> None:
    looks = (3, 5, 8, 12)
    added = [Look(looks, position, 1, 1).added_level for position in range(len(looks))]
    assert sum(added) == pytest.approx(ALPHA)
    assert all(one <= level for one, level in zip(added, compute_levels(looks), strict=True))


if __name__ == "__main__":  # the larger run by hand: PYTHONPATH=. python tests/analysis/test_sequential.py
    for number, looks in enumerate(LOOK_SETS):
        for claims in range(1, 7):
            for truths in ((0.0,), (0.25,), (0.5,), (1.0,), (2.0,), (0.0, 1.0), (0.0, 0.5, 1.0, 2.0)):
                check_error_rates(looks, np.resize(truths, claims), 40_000, 100 * number + claims)
        print(looks, "passed")

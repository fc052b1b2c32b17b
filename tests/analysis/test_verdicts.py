"""The rule of the verdicts, by properties that hold for any data."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vgg_ablate.analysis import power
from vgg_ablate.analysis.decisions import judge_looks
from vgg_ablate.analysis.stats import ALPHA
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.claims import Claim
from vgg_ablate.config.types import InvalidValueError

errors = st.lists(
    st.tuples(st.floats(0.01, 0.2), st.floats(0.01, 0.2)).map(lambda pair: (round(pair[0], 4), round(pair[1], 4))),
    min_size=3,
    max_size=9,
)
kinds = st.sampled_from(["better", "worse", "not_worse", "equivalent", "different"])
margins = st.floats(0.1, 5).map(lambda value: round(value, 2))
MIRROR = {"better": "worse", "worse": "better", "equivalent": "equivalent", "different": "different"}


def make_claim(**given: Any) -> Claim:
    return Claim(**{"id": "c", "text": "t", "kind": "better", "a": "a", "b": "b"} | given)


def make_frame(values: dict[str, list[float]], *, outcomes: dict[tuple[str, int], str] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "variant": name,
                "seed": seed,
                "outcome": (outcomes or {}).get((name, seed), "finished"),
                "test_error": error,
                "test_accuracy": 1 - error,
                "val_error": error + seed / 1e6,
                "train_loss": error + seed / 1000,
                "params": {"a": 10, "b": 20}.get(name, 30),
                "train_seconds": 100 * error,
            }
            for name, errors in values.items()
            for seed, error in enumerate(errors)
        ]
    )


def judge_pairs(claim: Claim, pairs: list[tuple[float, float]], **more: Any) -> Verdict:
    frame = make_frame({"a": [a for a, _ in pairs], "b": [b for _, b in pairs]})
    (verdict,) = judge_looks([claim], frame, range(len(pairs)), **more).verdicts
    return verdict


def has_spread(pairs: list[tuple[float, float]]) -> bool:
    return float(np.ptp([a - b for a, b in pairs])) > 1e-4


@given(errors, kinds, margins)
def test_one_claim_is_where_its_interval_lies(pairs: list[tuple[float, float]], kind: str, margin: float) -> None:
    assume(has_spread(pairs))
    verdict = judge_pairs(make_claim(kind=kind, margin=margin), pairs)
    low, high = verdict.claim.region
    assume(min(abs(end - edge) for end in (verdict.ci_low, verdict.ci_high) for edge in (low, high)) > 1e-9)
    inside = low < verdict.ci_low and verdict.ci_high < high
    outside = verdict.ci_high < low or verdict.ci_low > high
    holds, fails = (outside, inside) if kind == "different" else (inside, outside)
    assert verdict.verdict == ("supported" if holds else "refuted" if fails else "inconclusive")


@given(errors, st.sampled_from(sorted(MIRROR)), margins)
def test_swapping_a_and_b_mirrors_the_verdict(pairs: list[tuple[float, float]], kind: str, margin: float) -> None:
    assume(has_spread(pairs))
    forward = judge_pairs(make_claim(kind=kind, margin=margin), pairs)
    backward = judge_pairs(make_claim(kind=MIRROR[kind], margin=margin, a="b", b="a"), pairs)
    assert forward.verdict == backward.verdict
    assert (forward.mean, forward.ci_low) == pytest.approx((-backward.mean, -backward.ci_high))
    assert forward.probability == pytest.approx(backward.probability)


@given(errors, kinds, margins)
def test_error_and_accuracy_say_the_same(pairs: list[tuple[float, float]], kind: str, margin: float) -> None:
    assume(has_spread(pairs))
    by_error = judge_pairs(make_claim(kind=kind, margin=margin), pairs)
    by_accuracy = judge_pairs(make_claim(kind=kind, margin=margin, metric="test_accuracy"), pairs)
    assume(abs(by_error.q - ALPHA) > 1e-6)
    assert by_error.verdict == by_accuracy.verdict
    assert by_error.mean == pytest.approx(by_accuracy.mean, abs=1e-9)


@given(errors, kinds, margins, st.floats(0.2, 0.9))
def test_a_narrower_interval_never_reverses_a_verdict(
    pairs: list[tuple[float, float]], kind: str, margin: float, shrunk: float
) -> None:
    """With the same mean and less spread, supported never becomes refuted, nor the reverse."""
    assume(has_spread(pairs))
    mean = float(np.mean([a - b for a, b in pairs]))
    shrunk_pairs = [(b + mean + shrunk * (a - b - mean), b) for a, b in pairs]
    assume(has_spread(shrunk_pairs))
    words = {judge_pairs(make_claim(kind=kind, margin=margin), data).verdict for data in (pairs, shrunk_pairs)}
    assert words != {"supported", "refuted"}


@given(errors, st.floats(0.1, 10).map(lambda factor: round(factor, 3)))
def test_units_do_not_matter(pairs: list[tuple[float, float]], factor: float) -> None:
    assume(has_spread(pairs))
    frame = make_frame({"a": [a for a, _ in pairs], "b": [b for _, b in pairs]})
    claim = make_claim(metric="train_seconds", margin=1.0)
    (seconds,) = judge_looks([claim], frame, range(len(pairs))).verdicts
    frame["train_seconds"] *= factor
    (others,) = judge_looks([claim.model_copy(update={"margin": factor})], frame, range(len(pairs))).verdicts
    assume(abs(seconds.q - ALPHA) > 1e-6)
    assert seconds.verdict == others.verdict
    assert seconds.hedges_g == pytest.approx(others.hedges_g)


def test_two_seeds_are_never_enough() -> None:
    verdict = judge_pairs(make_claim(), [(0.01, 0.2), (0.0101, 0.2)])
    assert (verdict.verdict, verdict.reason) == ("inconclusive", "2 seeds; a verdict needs at least 3")


def test_one_seed_still_has_a_mean_and_a_reason() -> None:
    verdict = judge_pairs(make_claim(), [(0.01, 0.2)])
    assert verdict.mean == pytest.approx(19.0)
    assert verdict.reason == "1 seed; a verdict needs at least 3"


@pytest.mark.parametrize("outcome", ["diverged", "missing", "out_of_memory", "damaged"])
def test_a_seed_that_is_lacking_makes_the_claim_inconclusive(outcome: str) -> None:
    frame = make_frame({"a": [0.01, 0.012, 0.011, 0.01], "b": [0.2, 0.21, 0.19, 0.2]}, outcomes={("b", 1): outcome})
    (verdict,) = judge_looks([make_claim()], frame, range(4)).verdicts
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == f"b: seed 1 {outcome.replace('_', ' ')}"
    assert verdict.n == 3


def test_differences_that_are_all_zero_are_inconclusive_not_an_error() -> None:
    verdict = judge_pairs(make_claim(kind="equivalent", margin=1), [(0.01, 0.01), (0.02, 0.02), (0.03, 0.03)])
    assert verdict.verdict == "inconclusive"
    assert verdict.reason.startswith("the difference is the same on every seed")


@pytest.mark.parametrize("step", [0.1, 0.07, 1 / 360])
def test_equal_differences_are_equal_whatever_the_floats_say(step: float) -> None:
    """0.3 - 0.2 and 0.2 - 0.1 differ in their last bit, which must not count as a spread."""
    verdict = judge_pairs(make_claim(), [(index * step, (index + 1) * step) for index in range(1, 7)])
    assert (verdict.verdict, verdict.sd) == ("inconclusive", 0.0)
    assert verdict.reason.startswith("the difference is the same on every seed")


def test_seeds_that_were_not_applied_are_named() -> None:
    frame = make_frame({"a": [0.05] * 4, "b": [0.1, 0.11, 0.12, 0.13]})
    frame.loc[frame["variant"] == "a", ["val_error", "train_loss"]] = 0.5
    (verdict,) = judge_looks([make_claim()], frame, range(4)).verdicts
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == "seeds not applied: a has the same test error and losses on every seed"


def test_equal_error_counts_with_other_losses_are_chance() -> None:
    frame = make_frame({"a": [0.05] * 4, "b": [0.1, 0.11, 0.12, 0.13]})
    (verdict,) = judge_looks([make_claim()], frame, range(4)).verdicts
    assert verdict.verdict == "supported"


@pytest.mark.parametrize(
    ("kind", "margin", "word"),
    [
        ("better", 0, "supported"),
        ("better", 10, "refuted"),  # the gain must be more than the margin
        ("better", 9, "supported"),
        ("worse", 0, "refuted"),
        ("equivalent", 11, "supported"),
        ("different", 9, "supported"),
        ("different", 10, "refuted"),
    ],
)
def test_exact_metrics_are_compared_exactly(kind: str, margin: float, word: str) -> None:
    verdict = judge_pairs(make_claim(kind=kind, margin=margin, metric="params"), [(0.1, 0.1)])
    assert (verdict.verdict, verdict.mean, verdict.is_exact) == (word, 10.0, True)


def test_holm_covers_the_claims_on_one_metric_and_no_others() -> None:
    frame = make_frame(
        {"a": [0.05, 0.052, 0.051, 0.056], "b": [0.06, 0.057, 0.064, 0.061], "c": [0.05, 0.06, 0.04, 0.05]}
    )
    claims = [make_claim(), make_claim(id="d", b="c"), make_claim(id="e", metric="params")]
    first, second, exact = judge_looks(claims, frame, range(4)).verdicts
    assert first.family == second.family == 2
    assert first.q == pytest.approx(min(1.0, 2 * min(first.p, second.p)))
    assert exact.family == 1


def test_an_undecided_claim_says_what_is_excluded_and_which_seeds_find_the_smallest_effect() -> None:
    pairs = [(0.05, 0.06), (0.06, 0.055), (0.05, 0.065), (0.06, 0.06)]
    verdict = judge_pairs(make_claim(smallest_effect=0.5), pairs)
    assert verdict.verdict == "inconclusive"
    assert verdict.excluded == pytest.approx(max(abs(verdict.ci_low), abs(verdict.ci_high)))
    needed = verdict.seeds_needed
    assert needed is not None
    assert power.compute_power(0.5 / verdict.sd, needed) >= 0.8 > power.compute_power(0.5 / verdict.sd, needed - 1)
    moved = judge_pairs(make_claim(smallest_effect=0.5), [(a + 0.01, b) for a, b in pairs])
    assert moved.seeds_needed == needed, "it depends on the spread alone"
    assert judge_pairs(make_claim(), pairs).seeds_needed is None


def test_a_difference_with_a_sign_within_the_smallest_effect_is_marked() -> None:
    pairs = [(0.05, 0.051), (0.06, 0.0612), (0.05, 0.0509), (0.06, 0.0611), (0.055, 0.056)]
    for smallest, is_small in ((2.0, True), (0.11, False), (None, False)):
        verdict = judge_pairs(make_claim(smallest_effect=smallest), pairs)
        assert (verdict.verdict, verdict.is_small) == ("supported", is_small)


def test_a_claim_decided_at_the_first_look_stands() -> None:
    a = [0.01, 0.012, 0.011, 0.010, 0.3, 0.2]
    b = [0.1, 0.101, 0.105, 0.102, 0.1, 0.1]
    (verdict,) = judge_looks([make_claim()], make_frame({"a": a, "b": b}), range(6), looks=(4, 6)).verdicts
    assert (verdict.verdict, verdict.look, verdict.n) == ("supported", 4, 4)


def test_between_looks_only_the_seeds_of_the_last_look_are_judged() -> None:
    values = {"a": [0.05, 0.06, 0.055, 0.05, 0.01, 0.01], "b": [0.05, 0.055, 0.06, 0.052, 0.2, 0.2]}
    frame = make_frame(values, outcomes={("a", 5): "missing"})
    (verdict,) = judge_looks([make_claim()], frame, range(6), looks=(4, 6)).verdicts
    assert (verdict.look, verdict.n, verdict.reason) == (4, 4, "")


def test_the_sensitivity_line_names_all_three_methods() -> None:
    pairs = [(0.05, 0.06), (0.15, 0.161), (0.10, 0.11), (0.02, 0.031)]
    verdict = judge_pairs(make_claim(), pairs)
    assert verdict.sensitivity == {"paired": "supported", "welch": "inconclusive", "pooled": "inconclusive"}


def test_the_second_interval_comes_from_the_examples() -> None:
    random = np.random.default_rng(2)
    right = {(name, seed): random.random(400) < (0.9 if name == "a" else 0.85) for name in "ab" for seed in range(5)}
    values = {name: [1 - right[name, seed].mean() for seed in range(5)] for name in "ab"}
    (verdict,) = judge_looks([make_claim()], make_frame(values), range(5), examples=right).verdicts
    assert verdict.beyond is not None
    assert verdict.beyond[0] <= verdict.ci_low < verdict.ci_high <= verdict.beyond[1]


def test_the_interval_over_the_examples_decides_and_the_verdict_without_them_is_kept() -> None:
    """All seeds answer nearly alike, so that they have little spread; the difference rests on four of 40 examples."""
    right = {(name, seed): np.arange(40) < (28 if name == "b" else 31 + seed % 2) for name in "ab" for seed in range(5)}
    values = {name: [1 - right[name, seed].mean() for seed in range(5)] for name in "ab"}
    claim, frame = make_claim(), make_frame(values)
    (narrow,), (wide,) = (
        judge_looks([claim], frame, range(5)).verdicts,
        judge_looks([claim], frame, range(5), examples=right).verdicts,
    )
    assert (narrow.verdict, narrow.on_test_set) == ("supported", None)
    assert (wide.verdict, wide.on_test_set) == ("inconclusive", "supported")
    assert wide.beyond is not None
    assert wide.beyond[0] < 0 < wide.ci_low


def test_a_claim_over_a_variant_that_does_not_exist_is_named() -> None:
    with pytest.raises(InvalidValueError, match="unknown variant; available: a, b"):
        judge_pairs(make_claim(b="bb"), [(0.1, 0.2)])


def test_the_region_of_a_claim_is_what_its_kind_says() -> None:
    assert make_claim(margin=2).region == (2, inf)


def judge_smallest_effect(smallest_effect: float | None, spread: float, claims: int = 1) -> list[str]:
    """Return the verdicts on equal claims of "better" whose differences are spread around 0 over twelve seeds."""
    differences = spread * np.array([1, -1, 2, -2, 0.5, -0.5, 1.5, -1.5, 0.2, -0.2, 0.7, -0.7])
    pairs = [(0.1, 0.1 + difference / 100) for difference in differences]
    made = [make_claim(id=f"c{number}", smallest_effect=smallest_effect) for number in range(claims)]
    frame = make_frame({"a": [a for a, _ in pairs], "b": [b for _, b in pairs]})
    return [verdict.verdict for verdict in judge_looks(made, frame, range(len(pairs))).verdicts]


def test_an_interval_within_the_smallest_effect_is_no_difference() -> None:
    assert judge_smallest_effect(1.0, 0.5) == ["no difference"]
    assert judge_smallest_effect(0.1, 0.5) == ["inconclusive"]
    assert judge_smallest_effect(None, 0.5) == ["inconclusive"]


def test_no_difference_is_corrected_for_the_family() -> None:
    half_width = 2.201 * 1.2083 / 12**0.5  # Student's t with 11 degrees of freedom, times the standard error
    assert judge_smallest_effect(half_width * 1.05, 1.0) == ["no difference"]
    assert judge_smallest_effect(half_width * 1.05, 1.0, claims=6) == ["inconclusive"] * 6
    assert judge_smallest_effect(half_width * 1.6, 1.0, claims=6) == ["no difference"] * 6

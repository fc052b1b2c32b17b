"""The exact binomial test against chance agrees with that of scipy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from vgg_ablate.chance import compute_min_correct, is_stalled


@given(st.data(), st.integers(1, 2000), st.integers(2, 200))
def test_a_run_is_stalled_if_the_exact_test_of_scipy_does_not_reject_at_a_thousandth(
    data: st.DataObject, examples: int, classes: int
) -> None:
    near = compute_min_correct(examples, classes)
    correct = data.draw(st.integers(0, examples) | st.integers(max(0, near - 2), min(examples, near + 2)))
    p = binomtest(correct, examples, 1 / classes, alternative="greater").pvalue
    if p != pytest.approx(0.001, rel=1e-9):  # at the edge the rounding of scipy decides
        assert is_stalled(correct, examples, classes) == (p > 0.001)


@pytest.mark.parametrize(("examples", "classes"), [(1, 1), (2, 10), (9, 2)])
def test_no_result_is_above_chance_if_guessing_can_be_right_everywhere(examples: int, classes: int) -> None:
    assert is_stalled(examples, examples, classes)


def test_a_probability_of_exactly_a_thousandth_is_above_chance() -> None:
    """With ten classes P(3 of 3 correct) is exactly 1/1000, which floating-point arithmetic misses."""
    assert not is_stalled(3, 3, 10)


@pytest.mark.parametrize(("examples", "classes"), [(5_000, 10), (50_000, 1_000)])
def test_the_threshold_of_a_large_split_agrees_with_scipy(examples: int, classes: int) -> None:
    near = compute_min_correct(examples, classes)
    assert binomtest(near, examples, 1 / classes, alternative="greater").pvalue <= 0.001
    assert binomtest(near - 1, examples, 1 / classes, alternative="greater").pvalue > 0.001

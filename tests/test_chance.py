"""A run at chance level is found by an exact test, which scipy's says too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from vgg_ablate.chance import compute_min_correct, is_stalled


@given(st.data(), st.integers(1, 2000), st.integers(2, 200))
def test_a_run_is_stalled_where_scipys_exact_test_does_not_reject_at_a_thousandth(
    data: st.DataObject, examples: int, classes: int
) -> None:
    near = compute_min_correct(examples, classes)
    correct = data.draw(st.integers(0, examples) | st.integers(max(0, near - 2), min(examples, near + 2)))
    p = binomtest(correct, examples, 1 / classes, alternative="greater").pvalue
    if p != pytest.approx(0.001, rel=1e-9):  # at the very edge scipy's own rounding decides
        assert is_stalled(correct, examples, classes) == (p > 0.001)


@pytest.mark.parametrize(("examples", "classes"), [(1, 1), (2, 10), (9, 2)])
def test_where_guessing_may_get_everything_right_nothing_is_above_chance(examples: int, classes: int) -> None:
    assert is_stalled(examples, examples, classes)


def test_a_thousandth_itself_is_above_chance() -> None:
    """All of three, of ten classes: P is 1/1000 exactly, which floats miss."""
    assert not is_stalled(3, 3, 10)


@pytest.mark.parametrize(("examples", "classes"), [(5_000, 10), (50_000, 1_000)])
def test_the_threshold_of_a_large_split_is_scipys(examples: int, classes: int) -> None:
    near = compute_min_correct(examples, classes)
    assert binomtest(near, examples, 1 / classes, alternative="greater").pvalue <= 0.001
    assert binomtest(near - 1, examples, 1 / classes, alternative="greater").pvalue > 0.001

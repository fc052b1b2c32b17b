"""The statistics against scipy and statsmodels, and by properties that hold for any data."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy import stats as oracle
from statsmodels.stats import multitest, weightstats
from statsmodels.stats import power as sm_power

from vgg_ablate.analysis import power, stats
from vgg_ablate.analysis.stats import CrossedEstimate

finite = st.floats(-50, 50, allow_nan=False).map(lambda value: round(value, 3))
samples = st.lists(finite, min_size=3, max_size=12).filter(lambda values: float(np.std(values)) > 1e-3)
SEEDS = np.random.default_rng(0)


@given(samples)
def test_different_without_a_margin_is_the_two_sided_paired_t_test(differences: list[float]) -> None:
    result = stats.compute_evidence(stats.estimate_paired(differences), (0.0, 0.0), outside=True)
    expected = oracle.ttest_rel(differences, np.zeros(len(differences)))
    assert float(result.p) == pytest.approx(min(1.0, float(expected.pvalue)), abs=1e-12, rel=1e-9)


@given(samples)
def test_the_interval_is_scipys(differences: list[float]) -> None:
    low, high = stats.estimate_paired(differences).compute_interval()
    expected = oracle.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(samples, st.floats(0.01, 30))
def test_equivalence_is_statsmodels_paired_tost(differences: list[float], margin: float) -> None:
    result = stats.compute_evidence(stats.estimate_paired(differences), (-margin, margin))
    expected = weightstats.ttost_paired(np.array(differences), np.zeros(len(differences)), -margin, margin)[0]
    assert float(result.supporting) == pytest.approx(float(expected), abs=1e-12, rel=1e-6)


@settings(max_examples=6)  # statsmodels collects garbage in every call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    assert stats.adjust_holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_welch_and_pooled_are_scipys_two_sample_tests(seeds: int) -> None:
    values = SEEDS.normal(0, [[1.0], [3.0]], (2, seeds))
    for method, equal in ((stats.estimate_welch, False), (stats.estimate_pooled, True)):
        result = stats.compute_evidence(method(values, [1, -1]), (0.0, 0.0), outside=True)
        expected = oracle.ttest_ind(*values, equal_var=equal).pvalue
        assert float(result.p) == pytest.approx(float(expected))


def test_welch_takes_samples_of_several_sizes() -> None:
    samples = SEEDS.normal(0, 1, 4), SEEDS.normal(1, 3, 9)
    estimate = stats.estimate_welch(samples, [1, -1])
    expected = oracle.ttest_ind(*samples, equal_var=False)
    assert float(stats.compute_evidence(estimate, (0.0, 0.0), outside=True).p) == pytest.approx(float(expected.pvalue))
    assert float(estimate.dof) == pytest.approx(float(expected.df))


def test_hedges_g_is_cohens_d_times_its_exact_correction() -> None:
    values = SEEDS.normal(0, 1, (2, 5))
    gain = float(values[0].mean() - values[1].mean())
    d = gain / sqrt((values[0].var(ddof=1) + values[1].var(ddof=1)) / 2)
    assert stats.compute_hedges_g(gain, values) == pytest.approx(
        d * (1 - 3 / (4 * 8 - 1)), rel=2e-3
    )  # Hedges' approximation


@pytest.mark.parametrize("seeds", [3, 5, 10, 40])
@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0, 2.0])
def test_power_is_that_of_the_noncentral_t(seeds: int, effect: float) -> None:
    c = oracle.t.isf(0.025, seeds - 1)
    density = oracle.norm.pdf

    def rejected(z: float) -> float:  # P(|t| > c | the mean's z): the chi-square part, exactly
        return float(oracle.chi2.cdf((seeds - 1) * (z + effect * sqrt(seeds)) ** 2 / c**2, seeds - 1) * density(z))

    expected, _ = integrate.quad(rejected, -12, 12, limit=400, points=[-effect * sqrt(seeds)])
    assert power.compute_power(effect, seeds) == pytest.approx(expected, abs=2e-4)


def test_power_agrees_with_statsmodels_for_many_seeds() -> None:
    expected = sm_power.TTestPower().power(0.4, 50, 0.05)
    assert power.compute_power(0.4, 50) == pytest.approx(expected, abs=1e-4)


@given(st.integers(2, 60), st.floats(0.01, 20))
def test_the_smallest_detectable_difference_is_seen_with_80_percent_power(seeds: int, sd: float) -> None:
    detectable = power.compute_detectable_difference(sd, seeds)
    assert power.compute_power(detectable / sd, seeds) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("effect", [0.5, 1.0, 2.0])
def test_the_seeds_needed_are_the_fewest_with_80_percent_power(effect: float) -> None:
    needed = power.compute_seeds_needed(effect, 1.0)
    assert needed is not None
    assert power.compute_power(effect, needed) >= 0.8
    assert needed == 3 or power.compute_power(effect, needed - 1) < 0.8
    assert power.compute_seeds_needed(0.001, 1.0) is None


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("sd", [(0.0, 0.5), (0.05, 0.5), (0.05, 0.0), (0.1, 0.2)])  # of seeds, of examples
def test_the_interval_beyond_the_test_set_covers_new_test_sets(seeds: int, sd: tuple[float, float]) -> None:
    """With seeds and examples crossed and random, 95 % of the intervals hold the true mean; none is absurdly wide."""
    random = np.random.default_rng(3)
    rest = random.normal(0, 0.5, (600, seeds, 60))
    data = random.normal(0, sd[0], (600, seeds, 1)) + random.normal(0, sd[1], (600, 1, 60)) + rest
    first, wide = half_widths(data)
    assert (np.abs(data.mean(axis=(1, 2))) < wide).mean() > 0.93
    assert np.all(wide >= first)
    assert np.all(wide < first + 1)


def test_the_interval_over_the_seeds_alone_does_not_cover_new_test_sets() -> None:
    random = np.random.default_rng(3)
    data = random.normal(0, 0.5, (600, 1, 60)) + random.normal(0, 0.5, (600, 5, 60))
    first, _ = half_widths(data)
    assert (np.abs(data.mean(axis=(1, 2))) < first).mean() < 0.8


def test_where_all_seeds_agree_the_interval_beyond_is_scipys_over_the_examples() -> None:
    examples = SEEDS.normal(0, 1, 40)
    crossed = cross(np.tile(examples, (5, 1)))
    expected = oracle.ttest_1samp(examples, 0).confidence_interval(0.9)
    assert crossed.compute_interval(0.9) == pytest.approx(tuple(expected))
    assert float(crossed.compute_p_above(0.1)) == pytest.approx(
        oracle.ttest_1samp(examples, 0.1, alternative="greater").pvalue
    )
    assert float(crossed.compute_p_below(0.1)) == pytest.approx(
        oracle.ttest_1samp(examples, 0.1, alternative="less").pvalue
    )


def test_where_all_examples_are_alike_the_interval_beyond_is_the_first() -> None:
    data = np.tile([[0.1], [0.3], [0.2]], (1, 40))
    crossed = cross(data)
    assert crossed.compute_interval() == pytest.approx(tuple(map(float, crossed.seeds.compute_interval())))
    for edge in (-0.4, 0.15, 0.2, 0.5):
        assert float(crossed.compute_p_above(edge)) == pytest.approx(float(crossed.seeds.compute_p_above(edge)))
        assert float(crossed.compute_p_below(edge)) == pytest.approx(float(crossed.seeds.compute_p_below(edge)))


@given(st.floats(0.001, 0.999), st.floats(0, 2))
def test_a_tail_beyond_the_test_set_is_where_its_interval_ends(level: float, of_examples: float) -> None:
    crossed = CrossedEstimate(stats.estimate_paired([0.1, 0.3, 0.25, 0.2]), of_examples, 50)
    low, high = crossed.compute_interval(level)
    assert float(crossed.compute_p_above(low)) == pytest.approx((1 - level) / 2)
    assert float(crossed.compute_p_below(high)) == pytest.approx((1 - level) / 2)
    assert float(crossed.compute_probability((low, high))) == pytest.approx(level)


def cross(study: stats.FloatArray) -> CrossedEstimate:
    """Return the estimate over seeds x examples."""
    return CrossedEstimate(stats.estimate_paired(study.mean(axis=1)), *stats.estimate_examples(study))


def half_widths(studies: stats.FloatArray) -> tuple[stats.FloatArray, stats.FloatArray]:
    """Return the half-widths over the seeds and beyond the test set; `studies` is studies x seeds x examples."""
    lows, highs = stats.estimate_paired(studies.mean(axis=2)).compute_interval()
    wide = [(high - low) / 2 for low, high in (cross(each).compute_interval() for each in studies)]
    return (highs - lows) / 2, np.array(wide)

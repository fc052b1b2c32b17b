"""Crossing points against Fieller's closed form, pairwise decisions against known orders."""

from __future__ import annotations

from math import exp, log, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import t as student

from tests.report.factories import make_results_folder
from vgg_ablate.analysis.stability import compare_levels, find_crossing
from vgg_ablate.analysis.summary import Report, load_report
from vgg_ablate.report.level_table import build_level_table, describe_crossings

STUDY = """\
version: 1
name: horizons
question: Does the order change with the training length?
seeds: 6
smallest_effect: 0.5
horizons: {train.epochs: [10, 20, 40]}
data: {name: cifar10, image_size: 32}
arch: {stages: "4 4 | 8 8", norm: batch}
variants:
  five: {arch.kernel: 5}
  wide: {arch.width: 2}
claims:
  - {id: small, text: two 3x3 beat one 5x5, kind: better, a: base, b: five}
  - {id: wider, text: width helps, kind: better, a: wide, b: base}
"""
ERRORS = {  # `five` is better at first; `wide` is better always
    "base@10": 0.40, "five@10": 0.36, "wide@10": 0.30,
    "base@20": 0.30, "five@20": 0.30, "wide@20": 0.20,
    "base": 0.20, "five": 0.24, "wide": 0.10,
}  # fmt: skip


def load_made_up_report(folder: Path, errors: dict[str, float]) -> Report:
    def get_accuracy(name: str, seed: int) -> float:
        return 1 - errors[name] - 0.004 * float(np.random.default_rng([seed, *map(ord, name)]).normal())

    return load_report(make_results_folder(folder, get_accuracy, text=STUDY))


def solve_fieller(first: list[float], second: list[float], levels: tuple[float, float]) -> tuple[float, float] | None:
    """Return the zeros of (1 - w) x + w y = +-t * se(w), in levels: the ends of Fieller's set where it is bounded."""
    x, y, n = np.array(first), np.array(second), len(first)
    quantile = float(student.ppf(0.975, n - 1))
    slope = y - x
    # (mean(x) + w mean(slope))^2 = t^2 var(x + w slope) / n, a quadratic in w
    covariance = np.cov(x, slope)
    a = slope.mean() ** 2 - quantile**2 * covariance[1, 1] / n
    b = 2 * (x.mean() * slope.mean() - quantile**2 * covariance[0, 1] / n)
    c = x.mean() ** 2 - quantile**2 * covariance[0, 0] / n
    if a <= 0:
        return None
    root = sqrt(b * b - 4 * a * c)
    low, high = (
        log(levels[0]) + w * log(levels[1] / levels[0]) for w in ((-b - root) / (2 * a), (-b + root) / (2 * a))
    )
    return exp(low), exp(high)


@given(seed=st.integers(0, 2**32 - 1), seeds=st.integers(3, 12), spread=st.floats(0.05, 1.0))
def test_the_confidence_set_is_fiellers(seed: int, seeds: int, spread: float) -> None:
    generator = np.random.default_rng(seed)
    first, second = (list(generator.normal(mean, spread, seeds)) for mean in (-1.0, 1.0))
    crossing = find_crossing([10, 40], [first, second])
    expected = solve_fieller(first, second, (10, 40))
    assume(crossing is not None and expected is not None)
    assert crossing is not None
    assert expected is not None
    share = np.mean(first) / (np.mean(first) - np.mean(second))
    assert crossing.level == pytest.approx(10 * 4**share, rel=1e-6)
    assert crossing.low == pytest.approx(max(expected[0], 10), rel=0.004)
    assert crossing.high == pytest.approx(min(expected[1], 40), rel=0.004)


def test_effects_of_one_sign_and_few_seeds_have_no_crossing() -> None:
    assert find_crossing([10, 20], [[1.0, 2.0, 3.0], [2.0, 2.0, 2.5]]) is None
    assert find_crossing([10, 20], [[1.0, 2.0], [-2.0, -2.5]]) is None


def test_of_several_changes_the_last_one_counts() -> None:
    crossing = find_crossing([1, 2, 4, 8], [[-1.0, -1.1, -0.9], [1.0, 1.1, 0.9], [-1.0, -0.9, -1.1], [1.0, 1.1, 0.9]])
    assert crossing is not None
    assert 4 < crossing.level < 8


def test_pairs_are_compared_with_the_last_level(tmp_path: Path) -> None:
    report = load_made_up_report(tmp_path / "horizons", ERRORS)
    at_10, at_20 = compare_levels(report.study, report.frame)
    assert (at_10.pairs, at_10.decided, at_10.held, at_10.reversed) == (3, 3, 2, 1)
    assert (at_20.pairs, at_20.decided, at_20.held, at_20.reversed) == (3, 2, 2, 0)
    assert at_10.correlation == pytest.approx(1 / 3)  # one of three pairs is in the opposite order


def test_a_reader_is_told_where_an_effect_changes_its_sign(tmp_path: Path) -> None:
    report = load_made_up_report(tmp_path / "horizons", ERRORS)
    assert [effects.crossing is not None for effects in report.claim_effects] == [True, False]
    (sentence,) = describe_crossings(report)
    assert sentence.startswith("small: the difference changes its sign at ")
    table = build_level_table(report)
    assert table is not None
    assert len(table.rows) == 2


def test_without_the_last_level_nothing_is_compared(tmp_path: Path) -> None:
    report = load_made_up_report(tmp_path / "horizons", ERRORS)
    frame = report.frame[report.frame["variant"].str.contains("@")]
    assert compare_levels(report.study, frame) == ()

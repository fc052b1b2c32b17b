"""Power of paired comparisons: what a study can detect, and how many seeds find a difference of a given size.

Computed by quadrature over the sample's standard deviation. statsmodels' `solve_power` is not used: for few seeds it
fails or returns wrong numbers.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf, sqrt

import numpy as np
from scipy import optimize, special

from vgg_ablate.analysis.stats import ALPHA, FloatArray

TARGET_POWER = 0.8
MAX_SEEDS = 1000  # the largest number of seeds that is searched and shown


def compute_power(effect: float, seeds: int, alpha: float = ALPHA) -> float:
    """Return P(the 1 - alpha interval excludes 0), where `effect` is the true mean in sd of the differences."""
    reach, shift = special.stdtrit(seeds - 1, 1 - alpha / 2) * _compute_sd_ratios(seeds), effect * sqrt(seeds)
    return float((special.ndtr(shift - reach) + special.ndtr(-shift - reach)) @ _compute_quadrature()[1])


def compute_detectable_difference(sd: float, seeds: int, alpha: float = ALPHA) -> float:
    """Return the smallest difference, in the unit of `sd`, that is detected with the target power."""
    if seeds < 2:
        return inf
    return sd * _find_smallest_effect(seeds, alpha)


def compute_seeds_needed(effect: float, sd: float, alpha: float = ALPHA) -> int | None:
    """Return the smallest number of seeds that find a true difference with the target power; None beyond MAX_SEEDS."""
    if compute_power(effect / sd, MAX_SEEDS, alpha) < TARGET_POWER:
        return None
    low, high = 3, MAX_SEEDS
    while low < high:  # bisection: power grows with the number of seeds
        middle = (low + high) // 2
        if compute_power(effect / sd, middle, alpha) >= TARGET_POWER:
            high = middle
        else:
            low = middle + 1
    return low


@lru_cache(maxsize=256)
def _find_smallest_effect(seeds: int, alpha: float) -> float:
    """Return the smallest detectable effect in standard deviations of the differences."""
    upper = 1.0
    while compute_power(upper, seeds, alpha) < TARGET_POWER:
        upper *= 2
    return float(optimize.brentq(lambda effect: compute_power(effect, seeds, alpha) - TARGET_POWER, 0.0, upper))


@lru_cache(maxsize=1024)
def _compute_sd_ratios(seeds: int) -> FloatArray:
    """Return quantiles of (sample sd / true sd) at the quadrature nodes: sqrt(chi2_{S-1} / (S-1))."""
    nodes, _ = _compute_quadrature()
    return np.asarray(np.sqrt(special.chdtri(seeds - 1, 1 - nodes) / (seeds - 1)))


@lru_cache(maxsize=1)
def _compute_quadrature() -> tuple[FloatArray, FloatArray]:
    """Return Gauss-Legendre nodes and weights on (0, 1)."""
    # 256 nodes agree with adaptive integration to 2e-4 (tests/analysis/test_stats.py), also at 3 seeds.
    nodes, weights = np.polynomial.legendre.leggauss(256)
    return (nodes + 1) / 2, weights / 2

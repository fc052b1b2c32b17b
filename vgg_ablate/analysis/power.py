"""What a study can see: the power of paired comparisons, the smallest detectable effect, the seeds that decide.

By quadrature over the sample's standard deviation. (statsmodels' `solve_power` is wrong for few seeds.)
"""

from __future__ import annotations

from functools import lru_cache
from math import inf, sqrt

import numpy as np
from scipy import optimize, special

from vgg_ablate.analysis.stats import FloatArray, Region

ALPHA = 0.05
TARGET_POWER = 0.8
MAX_SEEDS = 1000


def compute_power(effect: float, seeds: int, alpha: float = ALPHA) -> float:
    """P(the 1 - alpha interval excludes 0) where the true mean is `effect` standard deviations of the differences."""
    return compute_decision_power((0.0, inf), effect, 1.0, seeds, alpha)


def compute_decision_power(region: Region, mean: float, sd: float, seeds: int, alpha: float = ALPHA) -> float:
    """P(the 1 - alpha interval lies wholly inside the region, or wholly outside), were mean and sd the true ones."""
    reach = special.stdtrit(seeds - 1, 1 - alpha / 2) * _spreads(seeds)
    low, high = ((edge - mean) / sd * sqrt(seeds) for edge in region)
    inside = np.maximum(0.0, special.ndtr(high - reach) - special.ndtr(low + reach))
    outside = special.ndtr(low - reach) + special.ndtr(-high - reach)
    return float((inside + outside) @ _weights())


def compute_detectable_difference(sd: float, seeds: int, alpha: float = ALPHA, wanted: float = TARGET_POWER) -> float:
    """The difference, in the units of `sd`, that a study of so many seeds sees with the wanted power."""
    if seeds < 2:
        return inf
    return sd * _smallest_effect(seeds, alpha, wanted)


def compute_seeds_to_decide(region: Region, mean: float, sd: float, seeds: int, alpha: float = ALPHA) -> int | None:
    """The fewest seeds, more than `seeds`, that decide with 80 % power at this mean and sd; None: over MOST_SEEDS."""
    fewest = max(seeds + 1, 3)
    if sd == 0 or compute_decision_power(region, mean, sd, MAX_SEEDS, alpha) < TARGET_POWER:
        return None
    low, high = fewest, MAX_SEEDS  # the answer is in [low, high]; power grows with the seeds
    while low < high:
        middle = (low + high) // 2
        if compute_decision_power(region, mean, sd, middle, alpha) >= TARGET_POWER:
            high = middle
        else:
            low = middle + 1
    return low


@lru_cache(maxsize=256)
def _smallest_effect(seeds: int, alpha: float, wanted: float) -> float:
    """In standard deviations of the differences."""
    enough = 1.0
    while compute_power(enough, seeds, alpha) < wanted:
        enough *= 2
    return float(optimize.brentq(lambda effect: compute_power(effect, seeds, alpha) - wanted, 0.0, enough))


@lru_cache(maxsize=1024)
def _spreads(seeds: int) -> FloatArray:
    """Quantiles of (sample sd / true sd) at the nodes: sqrt(chi2_{S-1} / (S-1))."""
    nodes, _ = _rule()
    return np.asarray(np.sqrt(special.chdtri(seeds - 1, 1 - nodes) / (seeds - 1)))


def _weights() -> FloatArray:
    return _rule()[1]


@lru_cache(maxsize=1)
def _rule() -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(256)
    return (nodes + 1) / 2, weights / 2

"""Counts of runs that trained, side against side: Barnard's exact test and Newcombe's interval of a difference.

Runs of the two sides are compared unpaired: whether a seed trains is no property that two nets share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from vgg_ablate.analysis.stats import FloatArray

_SHARES = 513  # of runs that train, at which the largest tail is looked for
_TIE = 1e-9  # between statistics that are equal but for rounding


class TrainedCounts(NamedTuple):
    """Runs that trained, and all runs, of the two sides."""

    trained_a: int
    runs_a: int
    trained_b: int
    runs_b: int

    @property
    def difference(self) -> float:
        """The share of runs of a that trained minus that of b, in percentage points."""
        return 100 * (self.trained_a / self.runs_a - self.trained_b / self.runs_b)

    def p_value(self) -> float:
        """Two-sided p-value of "both sides train equally often", by Barnard's unconditional exact test.

        The statistic is the pooled z; the p-value is the largest over the unknown common share (Barnard 1947). It is 1
        where every run, or no run, has trained.
        """
        return _barnard(*self)

    def interval(self, level: float) -> tuple[float, float]:
        """Newcombe's interval of the difference in percentage points, from the two Wilson intervals.

        Newcombe 1998, Statistics in Medicine 17:873, method 10. It describes the size; the verdict is that of the test,
        and the two can disagree at the edge.
        """
        a, b = self.trained_a / self.runs_a, self.trained_b / self.runs_b
        (low_a, high_a), (low_b, high_b) = _wilson(a, self.runs_a, level), _wilson(b, self.runs_b, level)
        below, above = sqrt((a - low_a) ** 2 + (high_b - b) ** 2), sqrt((high_a - a) ** 2 + (b - low_b) ** 2)
        return 100 * (a - b - below), 100 * (a - b + above)


def count_trained(
    frame: pd.DataFrame, weights: Mapping[str, float], seeds: Sequence[int]
) -> tuple[TrainedCounts, tuple[str, ...]]:
    """The counts of a claim's sides over planned seeds, and the runs that say nothing: "five: seed 3 missing".

    Variants of one side are pooled. A diverged run has not trained; one without a record, out of memory or failed is
    no answer either way.
    """
    known = _trained(frame)
    counts, lacking = [0, 0, 0, 0], []
    for name, weight in weights.items():
        for seed in seeds:
            outcome, trained = known.get((name, seed), ("missing", None))
            if trained is None:
                unknown = "finished, but whether it trained is not recorded"
                told = unknown if outcome == "finished" else outcome.replace("_", " ")
                lacking.append(f"{name}: seed {seed} {told}")
                continue
            place = 0 if weight > 0 else 2
            counts[place] += trained
            counts[place + 1] += 1
    return TrainedCounts(*counts), tuple(lacking)


def _trained(frame: pd.DataFrame) -> dict[tuple[str, int], tuple[str, bool | None]]:
    """(variant, seed) -> outcome, and whether the run trained; None where it is not known."""
    column = frame["trained"] if "trained" in frame.columns else frame["outcome"] == "finished"
    known: dict[tuple[str, int], tuple[str, bool | None]] = {}
    for variant, seed, outcome, trained in zip(frame["variant"], frame["seed"], frame["outcome"], column, strict=True):
        answer = bool(trained) if outcome == "finished" and not pd.isna(trained) else None
        known[str(variant), int(seed)] = (str(outcome), False if outcome == "diverged" else answer)
    return known


@lru_cache(maxsize=4096)
def _barnard(trained_a: int, runs_a: int, trained_b: int, runs_b: int) -> float:
    """By enumeration of all tables of these sizes.

    scipy.stats.barnard_exact (1.17) compares statistics without a tolerance and loses tables that tie with the observed
    one: [[1, 3], [2, 0]] gets 0.155 there and its mirror image 0.219, which is right for both.
    """
    statistic = _pooled_z(runs_a, runs_b)
    extreme = statistic >= statistic[trained_a, trained_b] - _TIE
    shares = np.linspace(0, 1, _SHARES)
    for _ in range(2):  # the second time between the neighbours of the largest
        tails = np.einsum("ka,ab,kb->k", _binomial(shares, runs_a), extreme, _binomial(shares, runs_b))
        best = int(np.argmax(tails))
        shares = np.linspace(shares[max(best - 1, 0)], shares[min(best + 1, _SHARES - 1)], _SHARES)
    return min(1.0, float(tails[best]))


def _pooled_z(runs_a: int, runs_b: int) -> FloatArray:
    """|z| of every table, trained of a x trained of b; 0 where all or none have trained."""
    a, b = np.arange(runs_a + 1)[:, None], np.arange(runs_b + 1)[None, :]
    pooled = (a + b) / (runs_a + runs_b)
    variance = pooled * (1 - pooled) * (1 / runs_a + 1 / runs_b)
    difference = np.abs(a / runs_a - b / runs_b)
    return np.asarray(np.divide(difference, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0))


def _binomial(shares: FloatArray, runs: int) -> FloatArray:
    """P(k of so many runs train), shares x k."""
    k = np.arange(runs + 1)
    ways = special.gammaln(runs + 1) - special.gammaln(k + 1) - special.gammaln(runs - k + 1)  # no overflow past 1,000
    return np.asarray(np.exp(ways + special.xlogy(k, shares[:, None]) + special.xlog1py(runs - k, -shares[:, None])))


def _wilson(share: float, runs: int, level: float) -> tuple[float, float]:
    z = float(special.ndtri((1 + level) / 2))
    middle, reach = share + z**2 / (2 * runs), z * sqrt(share * (1 - share) / runs + z**2 / (4 * runs**2))
    return (middle - reach) / (1 + z**2 / runs), (middle + reach) / (1 + z**2 / runs)

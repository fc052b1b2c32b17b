"""Comparison of the numbers of runs that trained: Barnard's exact test and Newcombe's interval.

The runs of the two sides are not paired by seed: whether a seed trains is not a property that two nets share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from vgg_ablate.analysis.sequential import Look
from vgg_ablate.analysis.stats import FloatArray

_GRID = 513  # common shares of trained runs at which the p-value's maximum is searched
_POWER_DRAWS, _SEED = 200, 20_141_556
_TIE = 1e-9  # statistics that differ by less are equal but for rounding


class TrainedCounts(NamedTuple):
    """The numbers of trained runs and of all runs on side a and on side b."""

    trained_a: int
    runs_a: int
    trained_b: int
    runs_b: int

    @property
    def difference(self) -> float:
        """Share of trained runs of a minus that of b, in percentage points."""
        return 100 * (self.trained_a / self.runs_a - self.trained_b / self.runs_b)

    def compute_p_value(self) -> float:
        """Return the two-sided p-value of "both sides train equally often", by Barnard's unconditional exact test.

        The statistic is the pooled z; the p-value is its maximum over the unknown common share (Barnard 1947). It is 1
        where every run, or no run, has trained.
        """
        return _compute_barnard(*self)

    def compute_interval(self, level: float) -> tuple[float, float]:
        """Return Newcombe's interval of the difference, in percentage points, from the two Wilson intervals.

        Newcombe 1998, Statistics in Medicine 17:873, method 10. It describes the size of the difference; the test
        decides, and the two can disagree where the interval ends near 0.
        """
        a, b = self.trained_a / self.runs_a, self.trained_b / self.runs_b
        low_a, high_a = _compute_wilson(a, self.runs_a, level)
        low_b, high_b = _compute_wilson(b, self.runs_b, level)
        below, above = sqrt((a - low_a) ** 2 + (high_b - b) ** 2), sqrt((high_a - a) ** 2 + (b - low_b) ** 2)
        return 100 * (a - b - below), 100 * (a - b + above)


def count_trained(
    frame: pd.DataFrame, weights: Mapping[str, float], seeds: Sequence[int]
) -> tuple[TrainedCounts, tuple[str, ...]]:
    """Return the counts of a claim's two sides over the planned seeds, and the runs that are lacking.

    Positive weights are side a, negative ones side b; the variants of a side are pooled. A diverged run has not
    trained. A run without a record, out of memory or failed counts on neither side: it is lacking, as in
    `five: seed 3 missing`.
    """
    states = _read_states(frame)
    counts, lacking = [0, 0, 0, 0], []
    for name, weight in weights.items():
        for seed in seeds:
            outcome, trained = states.get((name, seed), ("missing", None))
            if trained is None:
                # Records of older versions do not hold what `trained` is computed from.
                reason = "finished, but whether it trained is not recorded"
                reason = reason if outcome == "finished" else outcome.replace("_", " ")
                lacking.append(f"{name}: seed {seed} {reason}")
                continue
            side = 0 if weight > 0 else 2
            counts[side] += trained
            counts[side + 1] += 1
    return TrainedCounts(*counts), tuple(lacking)


def compute_counts_power(counts: TrainedCounts, look: Look) -> float:
    """Return the probability that a claim will be decided by the last look, if runs go on to train as often as so far.

    Computed from 200 draws of a fixed seed: each new pair of counts needs an exact test.
    """
    generator, decided = np.random.default_rng(_SEED), np.zeros(_POWER_DRAWS, bool)
    sides = [(counts.trained_a, counts.runs_a), (counts.trained_b, counts.runs_b)]
    trained = [np.full(_POWER_DRAWS, count) for count, _ in sides]
    seeds = look.seeds
    for index in range(look.position + 1, len(look.looks)):
        later = look._replace(position=index)
        added, seeds = later.seeds - seeds, later.seeds
        for side, (count, runs) in enumerate(sides):
            trained[side] = trained[side] + generator.binomial(runs * added // look.seeds, count / runs, _POWER_DRAWS)
        runs_a, runs_b = (runs * seeds // look.seeds for _, runs in sides)
        p_values = [
            _compute_barnard(int(a), runs_a, int(b), runs_b) for a, b in zip(trained[0], trained[1], strict=True)
        ]
        decided |= np.array(p_values) * look.remaining <= later.added_level
    return float(decided.mean())


def _read_states(frame: pd.DataFrame) -> dict[tuple[str, int], tuple[str, bool | None]]:
    """Return the outcome of every run by variant and seed, and whether it trained: None where that is unknown."""
    # Runs of other programs may lack the column: there a finished run counts as trained.
    column = frame["trained"] if "trained" in frame.columns else frame["outcome"] == "finished"
    states: dict[tuple[str, int], tuple[str, bool | None]] = {}
    for variant, seed, outcome, trained in zip(frame["variant"], frame["seed"], frame["outcome"], column, strict=True):
        is_trained = bool(trained) if outcome == "finished" and not pd.isna(trained) else None
        states[str(variant), int(seed)] = (str(outcome), False if outcome == "diverged" else is_trained)
    return states


@lru_cache(maxsize=4096)
def _compute_barnard(trained_a: int, runs_a: int, trained_b: int, runs_b: int) -> float:
    """Return Barnard's p-value by enumeration of all tables of these sizes.

    scipy.stats.barnard_exact (1.17) compares statistics without a tolerance and loses tables that tie with the observed
    one: [[1, 3], [2, 0]] gets 0.155 there and its mirror image 0.219, which is right for both.
    """
    statistic = _compute_pooled_z(runs_a, runs_b)
    is_extreme = statistic >= statistic[trained_a, trained_b] - _TIE
    shares = np.linspace(0, 1, _GRID)
    for _ in range(2):  # the second pass refines between the neighbours of the maximum
        p_values = np.einsum(
            "ka,ab,kb->k", _compute_binomial(shares, runs_a), is_extreme, _compute_binomial(shares, runs_b)
        )
        best = int(np.argmax(p_values))
        shares = np.linspace(shares[max(best - 1, 0)], shares[min(best + 1, _GRID - 1)], _GRID)
    return min(1.0, float(p_values[best]))


def _compute_pooled_z(runs_a: int, runs_b: int) -> FloatArray:
    """Return |z| of every table, trained of a x trained of b; 0 where all or no runs have trained."""
    a, b = np.arange(runs_a + 1)[:, None], np.arange(runs_b + 1)[None, :]
    pooled = (a + b) / (runs_a + runs_b)
    variance = pooled * (1 - pooled) * (1 / runs_a + 1 / runs_b)
    difference = np.abs(a / runs_a - b / runs_b)
    return np.asarray(np.divide(difference, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0))


def _compute_binomial(shares: FloatArray, runs: int) -> FloatArray:
    """Return P(k of the runs train), shares x k."""
    k = np.arange(runs + 1)
    # In logarithms: the binomial coefficients of 1,030 runs and more overflow a float.
    ways = special.gammaln(runs + 1) - special.gammaln(k + 1) - special.gammaln(runs - k + 1)
    return np.asarray(np.exp(ways + special.xlogy(k, shares[:, None]) + special.xlog1py(runs - k, -shares[:, None])))


def _compute_wilson(share: float, runs: int, level: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share."""
    z = float(special.ndtri((1 + level) / 2))
    middle, reach = share + z**2 / (2 * runs), z * sqrt(share * (1 - share) / runs + z**2 / (4 * runs**2))
    return (middle - reach) / (1 + z**2 / runs), (middle + reach) / (1 + z**2 / runs)

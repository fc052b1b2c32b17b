"""Paired differences between seeds: estimates, intervals, p-values, Holm's correction, effect sizes.

Everything here is arithmetic over arrays whose last axis is the seeds, so that one study and 5,000 go the same way.
The formulas are those of the design, section 6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

FloatArray = NDArray[np.float64]
Region = tuple[float, float]  # (lo, hi): an open interval of gains


class Estimate(NamedTuple):
    """A mean with its standard error and degrees of freedom; arrays of one shape."""

    mean: FloatArray
    se: FloatArray
    dof: FloatArray

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Student's two-sided interval."""
        reach = special.stdtrit(self.dof, (1 + level) / 2) * self.se
        return self.mean - reach, self.mean + reach

    def p_above(self, edge: float) -> FloatArray:
        """One-sided p-value of the evidence that the true mean is above `edge`."""
        return _tail(self, edge, 1.0)

    def p_below(self, edge: float) -> FloatArray:
        """One-sided p-value of the evidence that the true mean is below `edge`."""
        return _tail(self, edge, -1.0)

    def probability(self, region: Region) -> FloatArray:
        """P(true mean in region | data), with a flat prior: from the same t distribution."""
        return _tail(self, region[1], 1.0) - _tail(self, region[0], 1.0)


class Evidence(NamedTuple):
    """p-values for and against "the true mean lies in the region", and the two-sided p-value of the nearer one."""

    supporting: FloatArray
    refuting: FloatArray
    p: FloatArray


def estimate_paired(differences: ArrayLike) -> Estimate:
    """The mean difference; seeds on the last axis, at least two of them."""
    d = np.asarray(differences, dtype=np.float64)
    n = d.shape[-1]
    se = np.where(np.ptp(d, axis=-1) == 0, 0.0, d.std(axis=-1, ddof=1) / np.sqrt(n))
    return Estimate(d.mean(axis=-1), se, np.full(d.shape[:-1], n - 1.0))


def round_off_noise(differences: ArrayLike) -> FloatArray:
    """Rounded to 1e-9 points, or seconds: 6 - 5 % and 5 - 4 % are one difference, though not always one float."""
    return np.asarray(np.round(np.asarray(differences, dtype=np.float64), 9) + 0.0, dtype=np.float64)


def estimate_welch(values: ArrayLike, weights: ArrayLike) -> Estimate:
    """The contrast sum(w_v mean(values_v)) as if its variants were unpaired and of unequal variance.

    `values` is ... x variants x seeds. Degrees of freedom by Welch and Satterthwaite.
    """
    y, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    n = y.shape[-1]
    parts = w**2 * y.var(axis=-1, ddof=1) / n
    variance = parts.sum(axis=-1)
    below = (parts**2).sum(axis=-1) / (n - 1)
    dof = np.divide(variance**2, below, out=np.full(np.shape(variance), n - 1.0), where=below > 0)
    return Estimate((w * y.mean(axis=-1)).sum(axis=-1), np.sqrt(variance), dof)


def estimate_pooled(values: ArrayLike, weights: ArrayLike) -> Estimate:
    """The same contrast as if its variants were unpaired and of one variance: Student's two-sample t for two."""
    y, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    variants, n = y.shape[-2:]
    variance = y.var(axis=-1, ddof=1).mean(axis=-1)
    se = np.sqrt(variance * (w**2).sum() / n)
    return Estimate((w * y.mean(axis=-1)).sum(axis=-1), se, np.full(np.shape(se), variants * (n - 1.0)))


def compute_evidence(estimate: Estimate, region: Region, *, outside: bool = False) -> Evidence:
    """For and against the true mean in `region`; with `outside`, in the complement of the closed region."""
    low, high = region
    inside = np.maximum(estimate.p_above(low), estimate.p_below(high))
    beyond = np.minimum(estimate.p_below(low), estimate.p_above(high))
    supporting, refuting = (beyond, inside) if outside else (inside, beyond)
    return Evidence(supporting, refuting, np.minimum(1.0, 2 * np.minimum(supporting, refuting)))


def adjust_holm(p_values: ArrayLike) -> FloatArray:
    """Holm's (1979) adjusted p-values, over the last axis."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, axis=-1, kind="stable")
    stepped = np.take_along_axis(p, order, axis=-1) * np.arange(p.shape[-1], 0, -1)
    adjusted = np.minimum(1.0, np.maximum.accumulate(stepped, axis=-1))
    q = np.empty_like(adjusted)
    np.put_along_axis(q, order, adjusted, axis=-1)
    return q


def compute_hedges_g(gain: float, values: ArrayLike) -> float:
    """The gain in standard deviations between seeds, pooled over the variants (variants x seeds), without small-sample
    bias: Hedges (1981), exact factor. NaN where nothing varies."""
    y = np.asarray(values, dtype=np.float64)
    dof = y.shape[0] * (y.shape[1] - 1)
    sd = float(np.sqrt(y.var(axis=-1, ddof=1).mean()))
    if sd == 0:
        return float("nan")
    factor = np.exp(special.gammaln(dof / 2) - special.gammaln((dof - 1) / 2)) / np.sqrt(dof / 2)
    return float(factor * gain / sd)


def compute_crossed_half_width(differences: ArrayLike, half_width: float, level: float = 0.95) -> float:
    """Half the width of the interval of a mean over seeds x examples, where the examples are a sample too.

    `half_width` is that of the interval over the seeds alone. Seeds and examples are crossed random effects: the
    examples' share of the mean's variance is (MS_examples - MS_rest) / (S N), of the two-way analysis of variance
    (Cornfield and Tukey 1956), where that is positive. Two half-widths of independent parts, each by its own t, add
    like standard deviations (Howe 1974, JASA 69:789): never less than either, and at small S not less than nominal.
    """
    d = np.asarray(differences, dtype=np.float64)
    seeds, examples = d.shape
    rows, columns = d.mean(axis=1), d.mean(axis=0)
    ms_examples = seeds * ((columns - d.mean()) ** 2).sum() / (examples - 1)
    rest = d - rows[:, None] - columns[None, :] + d.mean()
    ms_rest = (rest**2).sum() / ((seeds - 1) * (examples - 1))
    se = np.sqrt(max(0.0, ms_examples - ms_rest) / d.size)
    return float(np.hypot(half_width, special.stdtrit(examples - 1, (1 + level) / 2) * se))


def _tail(estimate: Estimate, edge: float, side: float) -> FloatArray:
    """P(true mean < edge | data) for side 1, P(true mean > edge | data) for side -1: t around the mean."""
    if np.isinf(edge):
        return np.full(np.shape(estimate.mean), 1.0 if edge * side > 0 else 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = side * (edge - estimate.mean) / estimate.se
    return np.asarray(special.stdtr(estimate.dof, t))

"""Analysis of variance of a factorial design: all main effects and interactions, with the seed as a block.

Only complete designs are analysed: every cell has every seed. Then sums of squares are those of marginal means, and do
not depend on the order of the terms (types I, II and III agree): Montgomery, Design and Analysis of Experiments,
chapters 4 and 5. That is a dozen lines of numpy, and statsmodels serves as the oracle of the tests. The seed has no
interaction with a factor; the residual, with (seeds - 1) (cells - 1) degrees of freedom, is the error term.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan, prod

import numpy as np
from scipy import special

from vgg_ablate.analysis.stats import FloatArray
from vgg_ablate.config.claims import FactorLevels

# Where the factors and the seed explain everything, rounding still leaves a residual: below this share of the total it
# counts as 0, and there is no F.
_ZERO_SHARE = 1e-12


@dataclass(frozen=True)
class AnovaRow:
    """One source of variation in the table of an analysis of variance."""

    name: str
    dof: int
    sum_of_squares: float
    f: float = nan
    p: float = nan
    omega_squared: float = nan  # share of the total variance, corrected for small samples; partial is not used


def analyze_variance(
    factors: Mapping[str, Sequence[str]],
    levels: FactorLevels,
    values: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
) -> tuple[AnovaRow, ...]:
    """Return the rows for the seed, the main effects, the interactions of two to all factors, and the residual.

    `factors` maps a factor to its levels, `levels` a variant to its level of every factor, `values` a variant and a
    seed to the metric. Empty where a cell or a second seed is missing, or where nothing varies.
    """
    cells = {tuple(own[factor] for factor in factors): name for name, own in levels.items()}
    if len(seeds) < 2 or len(levels) != len(cells) or len(cells) != prod(len(names) for names in factors.values()):
        return ()
    shape = (*(len(names) for names in factors.values()), len(seeds))
    y = np.reshape(
        [values[cells[cell]][seed] for cell in itertools.product(*factors.values()) for seed in seeds], shape
    )
    return tuple(_compute_rows(y, list(factors))) if np.ptp(y) > 0 else ()


def shorten_factor(factor: str) -> str:
    """Return the last part of a factor's path: `kernel` for `arch.kernel`."""
    return factor.rsplit(".", 1)[-1]


def _compute_rows(y: FloatArray, factors: Sequence[str]) -> Iterator[AnovaRow]:
    """Yield the rows for `y`, which has one axis per factor and the seeds on the last axis."""
    seed_axis = len(factors)
    terms = [
        (seed_axis,),
        *(axes for order in range(1, seed_axis + 1) for axes in itertools.combinations(range(seed_axis), order)),
    ]
    cells = y.size // y.shape[seed_axis]
    residual_dof, total = (cells - 1) * (y.shape[seed_axis] - 1), _sum_of_squares(y - y.mean())
    # A complete model of the cells leaves what neither the cell nor the seed explains.
    residual = _sum_of_squares(y - y.mean(axis=seed_axis, keepdims=True) - _compute_effect(y, (seed_axis,)))
    mean_square = residual / residual_dof if residual_dof and residual > _ZERO_SHARE * total else nan
    for axes in terms:
        effect = _compute_effect(y, axes)
        squares, dof = _sum_of_squares(effect) * y.size / effect.size, prod(y.shape[axis] - 1 for axis in axes)
        f = squares / dof / mean_square
        yield AnovaRow(
            "seed" if axes == (seed_axis,) else " × ".join(shorten_factor(factors[axis]) for axis in axes),
            dof,
            squares,
            f,
            float(special.fdtrc(dof, residual_dof, f)),
            max(0.0, (squares - dof * mean_square) / (total + mean_square)),
        )
    yield AnovaRow("rest", residual_dof, residual)


def _compute_effect(y: FloatArray, axes: Sequence[int]) -> FloatArray:
    """Return the interaction effect of these axes: deviations from the mean along them, means along all others."""
    for axis in range(y.ndim):
        mean = y.mean(axis=axis, keepdims=True)
        y = y - mean if axis in axes else mean
    return y


def _sum_of_squares(values: FloatArray) -> float:
    return float((values**2).sum())

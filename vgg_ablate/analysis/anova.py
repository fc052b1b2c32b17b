"""The analysis of variance of a factorial design: every main effect and interaction, with the seed as a block.

Every cell has every seed, so that sums of squares are those of means and do not depend on an order of the terms (types
I, II and III agree): Montgomery, Design and Analysis of Experiments, chapters 4 and 5. The seed meets no factor in an
interaction: what is left over, (seeds - 1) (cells - 1) degrees of freedom, is the error.
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

_NOTHING = 1e-12  # of the total: what rounding leaves where the factors and the seed explain everything


@dataclass(frozen=True)
class AnovaRow:
    """A line of the analysis of variance."""

    name: str
    dof: int
    sum_of_squares: float
    f: float = nan
    p: float = nan
    omega_squared: float = nan  # the share of the variance that it explains, without small-sample bias


def analyze_variance(
    factors: Mapping[str, Sequence[str]],
    levels: FactorLevels,
    table: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
) -> tuple[AnovaRow, ...]:
    """The seed, the main effects, the interactions from two factors to all, the rest.

    `table` has the value of every variant and seed. Empty where a cell or a second seed is lacking, or nothing varies.
    """
    cells = {tuple(its[factor] for factor in factors): name for name, its in levels.items()}
    if len(seeds) < 2 or len(levels) != len(cells) or len(cells) != prod(len(its) for its in factors.values()):
        return ()
    shape = (*(len(its) for its in factors.values()), len(seeds))
    values = [table[cells[cell]][seed] for cell in itertools.product(*factors.values()) for seed in seeds]
    y = np.reshape(values, shape)
    return tuple(_sources(y, list(factors))) if np.ptp(y) > 0 else ()


def shorten_factor(factor: str) -> str:
    """The last part of a factor's path."""
    return factor.rsplit(".", 1)[-1]


def _sources(y: FloatArray, factors: Sequence[str]) -> Iterator[AnovaRow]:
    """`y` has an axis a factor, then the seeds."""
    block = len(factors)
    parts = [(block,), *(part for order in range(1, block + 1) for part in itertools.combinations(range(block), order))]
    cells = y.size // y.shape[block]
    left, total = (cells - 1) * (y.shape[block] - 1), _squares(y - y.mean())
    rest = _squares(y - y.mean(axis=block, keepdims=True) - _effect(y, (block,)))
    error = rest / left if left and rest > _NOTHING * total else nan
    for part in parts:
        found = _effect(y, part)
        squares, dof = _squares(found) * y.size / found.size, prod(y.shape[axis] - 1 for axis in part)
        f = squares / dof / error
        yield AnovaRow(
            "seed" if part == (block,) else " × ".join(shorten_factor(factors[axis]) for axis in part),
            dof,
            squares,
            f,
            float(special.fdtrc(dof, left, f)),
            max(0.0, (squares - dof * error) / (total + error)),
        )
    yield AnovaRow("rest", left, rest)


def _effect(y: FloatArray, part: Sequence[int]) -> FloatArray:
    """What these axes do together and no fewer of them: deviations along them, means along all others."""
    for axis in range(y.ndim):
        mean = y.mean(axis=axis, keepdims=True)
        y = y - mean if axis in part else mean
    return y


def _squares(values: FloatArray) -> float:
    return float((values**2).sum())

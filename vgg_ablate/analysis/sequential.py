"""Levels for claims that are judged at several looks, so that looking early does not cost error rate.

The differences between paired seeds are taken as normal. Then, at an edge of the claimed region, the joint distribution
of the t statistics after n_1 < n_2 < ... seeds has no free parameter, and the level of each look can be calibrated on
draws from it: the probability of a decision at or before look k is the error rate times
(n_k / n_last) ** SPENDING_POWER, an error-spending function (Lan and DeMets 1983; the power family is Jennison and
Turnbull's, 2000, section 7.2.3).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vgg_ablate.analysis.stats import ALPHA, FloatArray

SPENDING_POWER = 1.75  # early looks spend little: with looks after 4 to 14 seeds, power .88 at an effect of 1 sd
DRAWS = 1_000_000
_POWER_DRAWS = 4_000
_SEED = 20_141_556


class Look(NamedTuple):
    """One of the planned looks at the claims on one metric, with the counts that Holm's procedure needs."""

    looks: tuple[int, ...]  # numbers of seeds
    position: int
    family: int  # claims on the metric
    remaining: int  # of those, the ones that no earlier look has supported or refuted

    @property
    def seeds(self) -> int:
        """The number of seeds at the look."""
        return self.looks[self.position]

    @property
    def level(self) -> float:
        """The two-sided level of a claim that may spend the whole error rate."""
        return compute_levels(self.looks)[self.position]

    @property
    def family_level(self) -> float:
        """The level of a claim that may spend its equal share of the error rate (Bonferroni)."""
        return compute_levels(self.looks, self.family)[self.position]

    @property
    def added_level(self) -> float:
        """The part of the error rate that the look adds, for a test whose joint distribution over looks is unknown.

        The parts sum to the error rate, which bounds the error whatever the dependence between looks is.
        """
        spent = _compute_spent(self.looks, ALPHA)
        return spent[self.position] - (spent[self.position - 1] if self.position else 0.0)

    def adjust(self, p_values: Sequence[float]) -> list[float]:
        """Return Holm-adjusted p-values of the claims that are judged at the look; decided where q <= `level`."""
        return adjust_p_values(p_values, self.looks, self.position, self.remaining)


def compute_levels(looks: Sequence[int], claims: int = 1) -> tuple[float, ...]:
    """Return the two-sided level of a p-value at every look, for a claim that may spend 1/`claims` of the error rate.

    With one look it is the error rate itself. Looks are numbers of seeds, rising, from 2 on. The levels of usual looks
    are stored with the package (boundaries.json); others are computed from DRAWS draws of a fixed seed.
    """
    looks = tuple(looks)
    if len(looks) == 1:
        return (ALPHA / claims,)
    stored = _read_stored().get(",".join(map(str, looks)), [])
    return tuple(stored[claims - 1]) if claims <= len(stored) else simulate_levels(looks, ALPHA / claims)


@lru_cache(maxsize=64)
def simulate_levels(looks: tuple[int, ...], error_rate: float) -> tuple[float, ...]:
    """Return the levels for an error rate from draws of the t statistics under a true difference of 0.

    The first level is exact. Raises ValueError where looks do not rise from 2 on.
    """
    if looks[0] < 2 or any(fewer >= more for fewer, more in pairwise(looks)):
        raise ValueError(f"looks must rise, from 2 on, got {looks}")
    statistics, spent = _draw_null_statistics(looks), _compute_spent(looks, error_rate)
    open_draws, levels = np.ones(len(statistics), bool), list[float]()
    for index, look in enumerate(looks):
        if index == 0:
            level = spent[0]
        else:
            rejected = len(statistics) * spent[index] - (len(statistics) - int(open_draws.sum()))
            # The next draw that may be rejected sets the boundary, so that no more than planned are.
            candidates = np.sort(statistics[open_draws, index])[::-1]
            boundary = candidates[min(max(int(rejected), 0), len(candidates) - 1)]
            level = float(2 * special.stdtr(look - 1, -float(boundary)))
        levels.append(level)
        open_draws &= statistics[:, index] <= -special.stdtrit(look - 1, level / 2)
    return tuple(levels)


def adjust_p_values(p_values: Sequence[float], looks: Sequence[int], look: int, open_claims: int) -> list[float]:
    """Return Holm-adjusted p-values that are at most the level of a single claim exactly where a claim is decided.

    With one look they are Holm's (1979). `p_values` are those of claims that are open at the look; where they are fewer
    than `open_claims`, the others count as claims with p = 1.
    """
    single = compute_levels(looks)[look]
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        factor = single / compute_levels(looks, open_claims - rank)[look]
        largest = max(largest, min(1.0, p_values[index] * factor))
        adjusted[index] = largest
    return adjusted


def compute_conditional_power(
    differences: Sequence[float],
    look: Look,
    edges: Sequence[float],
    smallest_effect: float | None = None,
    examples_se: float = 0.0,
) -> float:
    """Return the probability that a claim will be decided by the last look, if the differences go on as they are.

    Further differences are normal with the mean and the standard deviation of those seen. A claim is decided where its
    interval crosses none of the finite `edges` of the claimed region, at the level that Holm's procedure leaves to the
    first of the remaining claims, or where it lies within plus and minus the smallest effect, at that of the family.
    `examples_se` is the error that a random choice of the test examples adds. Computed from 4,000 draws of a fixed
    seed.
    """
    seen, finite = np.asarray(differences, dtype=np.float64), [edge for edge in edges if np.isfinite(edge)]
    generator, count, sd = np.random.default_rng(_SEED), len(seen), seen.std(ddof=1)
    mean, squares = np.full(_POWER_DRAWS, seen.mean()), np.full(_POWER_DRAWS, (count - 1) * sd**2)
    decided, later = np.zeros(_POWER_DRAWS, bool), range(look.position + 1, len(look.looks))
    for index in later:
        total = look.looks[index]
        block_mean, block_squares = _draw_block(generator, total - count, _POWER_DRAWS)
        mean, squares = _merge_blocks(mean, squares, count, seen.mean() + sd * block_mean, sd**2 * block_squares, total)
        count, error = total, np.sqrt(squares / (total - 1) / total)
        own, shared = (
            np.hypot(special.stdtrit(total - 1, level / 2) * error, special.ndtri(level / 2) * examples_se)
            for claims in (look.remaining, look.family)
            for level in [compute_levels(look.looks, claims)[index]]
        )
        decided |= np.logical_and.reduce([np.abs(mean - edge) > own for edge in finite])
        if smallest_effect:
            decided |= np.abs(mean) + shared < smallest_effect
    return float(decided.mean())


def _compute_spent(looks: Sequence[int], error_rate: float) -> list[float]:
    """Return the part of the error rate that is spent at or before every look."""
    return [error_rate * (look / looks[-1]) ** SPENDING_POWER for look in looks]


@lru_cache(maxsize=1)
def _draw_null_statistics(looks: tuple[int, ...]) -> NDArray[np.float32]:
    """Return absolute t statistics, draws x looks."""
    generator, count = np.random.default_rng(_SEED), 0
    mean, squares = np.zeros(DRAWS), np.zeros(DRAWS)
    statistics = np.empty((DRAWS, len(looks)), np.float32)
    for index, look in enumerate(looks):
        mean, squares = _merge_blocks(mean, squares, count, *_draw_block(generator, look - count, DRAWS), look)
        count = look
        statistics[:, index] = np.abs(mean) / np.sqrt(squares / (look - 1) / look)
    return statistics


def _draw_block(generator: np.random.Generator, size: int, draws: int) -> tuple[FloatArray, FloatArray]:
    """Return the mean, and the sum of squares around it, of `size` standard normal numbers."""
    mean = generator.standard_normal(draws) / np.sqrt(size)
    return mean, generator.chisquare(size - 1, draws) if size > 1 else np.zeros(draws)


def _merge_blocks(
    mean: FloatArray, squares: FloatArray, count: int, other_mean: FloatArray, other_squares: FloatArray, total: int
) -> tuple[FloatArray, FloatArray]:
    """Return mean and sum of squares of the first `count` numbers together with the others, `total` in all."""
    distance, size = other_mean - mean, total - count
    return mean + distance * size / total, squares + other_squares + distance**2 * count * size / total


@cache
def _read_stored() -> dict[str, list[list[float]]]:
    text = resources.files("vgg_ablate.analysis").joinpath("boundaries.json").read_text(encoding="utf-8")
    stored: dict[str, list[list[float]]] = json.loads(text)["levels"]
    return stored


def build_boundaries(look_sets: Sequence[tuple[int, ...]], claims: int) -> str:
    """Return the text of boundaries.json, which `python -m vgg_ablate.analysis.sequential` prints."""
    levels = {
        ",".join(map(str, looks)): [list(simulate_levels(looks, ALPHA / count)) for count in range(1, claims + 1)]
        for looks in look_sets
    }
    about = (
        f"{DRAWS} draws, seed {_SEED}, spending power {SPENDING_POWER}; level of every look, for 1 to {claims} claims"
    )
    return json.dumps({"about": about, "levels": levels}, indent=1) + "\n"


USUAL_LOOKS = (
    (3, 5),
    (5, 10),
    (3, 5, 8),
    (3, 5, 8, 12),
    (4, 8, 12),
    (5, 8, 12, 16),
    (4, 6, 8, 10, 12),
    (4, 5, 6, 7, 8, 10, 12, 14),
    tuple(range(4, 15)),
    tuple(range(5, 18)),
)

if __name__ == "__main__":
    print(build_boundaries(USUAL_LOOKS, 8), end="")

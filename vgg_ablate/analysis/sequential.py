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

import numpy as np
from numpy.typing import NDArray
from scipy import special

FloatArray = NDArray[np.float64]

ERROR_RATE = 0.05  # of a false verdict on any claim of a family, both directions together
SPENDING_POWER = 1.75  # early looks spend little: with looks after 4 to 14 seeds, power .88 at an effect of 1 sd
DRAWS = 1_000_000
_CHUNK = 50_000  # draws that are held at once
_SEED = 20_141_556


def compute_levels(looks: Sequence[int], claims: int = 1) -> tuple[float, ...]:
    """Return the two-sided level of a p-value at every look, for a claim that may spend 1/`claims` of the error rate.

    With one look it is the error rate itself. Looks are numbers of seeds, rising, from 2 on. The levels of usual looks
    are stored with the package (boundaries.json); others are computed from DRAWS draws of a fixed seed.
    """
    looks = tuple(looks)
    if len(looks) == 1:
        return (ERROR_RATE / claims,)
    stored = _read_stored().get(",".join(map(str, looks)), [])
    return tuple(stored[claims - 1]) if claims <= len(stored) else simulate_levels(looks, ERROR_RATE / claims)


@lru_cache(maxsize=64)
def simulate_levels(looks: tuple[int, ...], error_rate: float) -> tuple[float, ...]:
    """Return the levels for an error rate from draws of the t statistics under a true difference of 0.

    The first level is exact. Raises ValueError where looks do not rise from 2 on.
    """
    if looks[0] < 2 or any(one >= other for one, other in pairwise(looks)):
        raise ValueError(f"looks must rise, from 2 on, got {looks}")
    statistics = _draw_null_statistics(looks)
    spent = [error_rate * (look / looks[-1]) ** SPENDING_POWER for look in looks]
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


def decide_at_look(
    p_values: FloatArray, open_claims: NDArray[np.bool_], looks: Sequence[int], look: int
) -> NDArray[np.bool_]:
    """Return which open claims are decided at a look, by Holm's procedure with the levels of that look.

    `p_values`: two-sided, ... x claims. Claims that were decided at earlier looks leave their share of the error
    rate to the others (Maurer and Bretz 2013). Shape of the result: that of `p_values`.
    """
    count = p_values.shape[-1]
    levels = np.array([compute_levels(looks, claims)[look] for claims in range(1, count + 1)])
    order = np.argsort(np.where(open_claims, p_values, np.inf), axis=-1, kind="stable")
    ordered = np.take_along_axis(np.where(open_claims, p_values, np.inf), order, axis=-1)
    remaining = open_claims.sum(axis=-1, keepdims=True) - np.arange(count)
    level = levels[np.clip(remaining, 1, count) - 1]
    passed = np.logical_and.accumulate((ordered <= level) & (remaining > 0), axis=-1)
    decided = np.empty_like(passed)
    np.put_along_axis(decided, order, passed, axis=-1)
    return decided


def adjust_p_values(p_values: Sequence[float], looks: Sequence[int], look: int, open_claims: int) -> list[float]:
    """Return Holm-adjusted p-values that are at most the level of a single claim exactly where a claim is decided.

    With one look they are Holm's (1979). `p_values` are those of the claims that are open at the look.
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
    differences: Sequence[float], looks: Sequence[int], look: int, edges: tuple[float, float], claims: int = 1
) -> float:
    """Return the probability that a claim will be decided by the last look, if the differences go on as they are.

    Further differences are normal with the mean and the standard deviation of those seen (`edges`: of the claimed
    region; infinite ones are never crossed). Computed from 4,000 draws of a fixed seed.
    """
    seen = np.asarray(differences, dtype=np.float64)
    later = range(look + 1, len(looks))
    if not later:
        return 0.0
    draws = np.random.default_rng(_SEED).standard_normal((4_000, looks[-1] - len(seen)))
    paths = np.concatenate(
        [np.broadcast_to(seen, (len(draws), len(seen))), seen.mean() + seen.std(ddof=1) * draws], axis=1
    )
    decided = np.zeros(len(draws), bool)
    for index in later:
        level = compute_levels(looks, claims)[index]
        mean, error = _summarize(paths[:, : looks[index]])
        reach = -special.stdtrit(looks[index] - 1, level / 2) * error
        for edge in edges:
            if np.isfinite(edge):
                decided |= np.abs(mean - edge) > reach
    return float(decided.mean())


def _draw_null_statistics(looks: tuple[int, ...]) -> NDArray[np.float32]:
    """Return absolute t statistics, draws x looks."""
    generator = np.random.default_rng(_SEED)
    chunks = []
    for _ in range(DRAWS // _CHUNK):
        draws = generator.standard_normal((_CHUNK, looks[-1]))
        statistics = np.empty((_CHUNK, len(looks)), np.float32)
        for index, look in enumerate(looks):
            mean, error = _summarize(draws[:, :look])
            statistics[:, index] = np.abs(mean / error)
        chunks.append(statistics)
    return np.concatenate(chunks)


def _summarize(differences: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean and the standard error of every row."""
    return differences.mean(axis=1), differences.std(axis=1, ddof=1) / np.sqrt(differences.shape[1])


@cache
def _read_stored() -> dict[str, list[list[float]]]:
    text = resources.files("vgg_ablate.analysis").joinpath("boundaries.json").read_text(encoding="utf-8")
    stored: dict[str, list[list[float]]] = json.loads(text)["levels"]
    return stored


def build_boundaries(look_sets: Sequence[tuple[int, ...]], claims: int) -> str:
    """Return the text of boundaries.json: `python -m vgg_ablate.analysis.sequential > .../boundaries.json` makes it."""
    levels = {
        ",".join(map(str, looks)): [list(simulate_levels(looks, ERROR_RATE / count)) for count in range(1, claims + 1)]
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
    (4, 6, 8, 10, 12),
    (4, 5, 6, 7, 8, 10, 12, 14),
    tuple(range(4, 15)),
)

if __name__ == "__main__":
    print(build_boundaries(USUAL_LOOKS, 8), end="")

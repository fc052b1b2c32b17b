"""Seeds and power of sequential looks, against fixed numbers of seeds and against AdaStop, on the same draws.

    python benchmarks/verdicts.py --json

One claim, whose differences between paired seeds are normal with standard deviation 1. For every effect: the share of
studies that find a difference, and the mean number of seeds (runs per variant) that they take. The designs with
`stop: decided` also end where a decision by the last look has become unlikely; with a smallest effect of 1 they end as
well where the difference is smaller. The two sides share a part of their variance, which pairing removes and AdaStop,
which does not pair, does not; by default they share nothing, which is best for AdaStop.
"""

from __future__ import annotations

import argparse
import json
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vgg_ablate.analysis.decisions import LEAST_POWER
from vgg_ablate.analysis.sequential import Look, compute_conditional_power, compute_levels

EFFECTS = (0.0, 0.5, 1.0, 2.0)
LOOK_SETS = (tuple(range(4, 15)), tuple(range(5, 18)), (3, 5, 8, 12))
SMALLEST_EFFECT = 1.0
FIXED = (8, 12)
ADASTOP = {"n": 4, "K": 3, "B": 2_000}  # at most 12 runs per side
ADASTOP_LEVELS = (0.05, 0.025)  # adastop 0.1.3 permutes signed differences: its two-sided error is twice the level

FloatArray = NDArray[np.float64]
Figures = dict[str, float]


def measure(studies: int, small_studies: int, adastop_studies: int, shared: float) -> dict[str, Any]:
    """Return power and mean seeds of every design at every effect."""
    generator, most = np.random.default_rng(0), max(looks[-1] for looks in LOOK_SETS)
    own = generator.standard_normal((studies, 2, most)) / np.sqrt(2)
    common = generator.standard_normal((studies, 1, most)) * np.sqrt(shared / (1 - shared) / 2)
    found: dict[str, Any] = {"studies": studies, "shared": shared, "effects": list(EFFECTS), "designs": {}}
    designs: dict[str, list[Figures]] = found["designs"]
    for effect in EFFECTS:
        values = own + common + np.array([[effect], [0.0]])
        differences = values[:, 0] - values[:, 1]
        for count in FIXED:
            designs.setdefault(f"fixed {count}", []).append(_judge_fixed(differences, count))
        for looks in LOOK_SETS:
            name = f"looks {', '.join(map(str, looks))}"
            designs.setdefault(name, []).append(_judge_looks(differences, looks, stop=False))
            designs.setdefault(f"{name}; stop: decided", []).append(_judge_looks(differences, looks, stop=True))
        for looks in LOOK_SETS[:2]:
            name = f"looks {', '.join(map(str, looks))}; stop: decided; smallest effect {SMALLEST_EFFECT:g}"
            designs.setdefault(name, []).append(_judge_with_smallest_effect(differences[:small_studies], looks))
        for level in ADASTOP_LEVELS if adastop_studies else ():
            designs.setdefault(f"AdaStop {level:g}", []).append(_judge_adastop(values[:adastop_studies], level))
    return found


def _compute_t(differences: FloatArray) -> FloatArray:
    count = differences.shape[1]
    return np.asarray(np.abs(differences.mean(1)) / (differences.std(1, ddof=1) / np.sqrt(count)))


def _judge_fixed(differences: FloatArray, count: int) -> Figures:
    decided = _compute_t(differences[:, :count]) > special.stdtrit(count - 1, 0.975)
    return {"found": float(decided.mean()), "seeds": float(count)}


def _judge_looks(differences: FloatArray, looks: tuple[int, ...], *, stop: bool) -> Figures:
    seeds, found = np.full(len(differences), looks[-1]), np.zeros(len(differences), bool)
    still_open = np.ones(len(differences), bool)
    for position, (look, level) in enumerate(zip(looks, compute_levels(looks), strict=True)):
        statistics = _compute_t(differences[:, :look])
        now = still_open & (statistics > -special.stdtrit(look - 1, level / 2))
        hopeless = stop & (statistics < _find_hopeless_statistic(looks, position))
        found |= now
        ended = now | (still_open & hopeless)
        seeds[ended] = look
        still_open &= ~ended
    return {"found": float(found.mean()), "seeds": float(seeds.mean())}


def _find_hopeless_statistic(looks: tuple[int, ...], position: int) -> float:
    """Return the t statistic below which a decision by the last look is unlikely: it depends on nothing else."""
    if position == len(looks) - 1:
        return 0.0
    pattern = np.resize([1.0, -1.0], looks[position]) - np.resize([1.0, -1.0], looks[position]).mean()
    low, high = 0.0, 5.0
    while high - low > 0.01:
        middle = (low + high) / 2
        seen = pattern / pattern.std(ddof=1) + middle / np.sqrt(looks[position])
        likely = compute_conditional_power(list(seen), Look(looks, position, 1, 1), (0.0,)) >= LEAST_POWER
        low, high = (low, middle) if likely else (middle, high)
    return low


def _judge_with_smallest_effect(differences: FloatArray, looks: tuple[int, ...]) -> Figures:
    ends = [_find_end(study, looks) for study in differences]
    shares = {word: float(np.mean([end == word for end, _ in ends])) for word in ("found", "no difference", "hopeless")}
    return {**shares, "seeds": float(np.mean([seeds for _, seeds in ends]))}


def _find_end(differences: FloatArray, looks: tuple[int, ...]) -> tuple[str, int]:
    """Return how and when one study ends."""
    for position, (look, level) in enumerate(zip(looks, compute_levels(looks), strict=True)):
        seen = differences[:look]
        reach = -special.stdtrit(look - 1, level / 2) * seen.std(ddof=1) / np.sqrt(look)
        if abs(seen.mean()) > reach:
            return "found", look
        if abs(seen.mean()) + reach < SMALLEST_EFFECT:
            return "no difference", look
        power = compute_conditional_power(list(seen), Look(looks, position, 1, 1), (0.0,), SMALLEST_EFFECT)
        if position + 1 < len(looks) and power < LEAST_POWER:
            return "hopeless", look
    return "open", looks[-1]


def _judge_adastop(values: FloatArray, level: float) -> Figures:
    import matplotlib as mpl

    mpl.use("agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from adastop import MultipleAgentsComparator

        found, seeds = 0, 0
        for number, (one, other) in enumerate(values):
            comparator = MultipleAgentsComparator(**ADASTOP, alpha=level, seed=number)
            while not comparator.is_finished and comparator.k < ADASTOP["K"]:
                count = ADASTOP["n"] * (comparator.k + 1)
                comparator.partial_compare({"one": one[:count], "other": other[:count]}, verbose=False)
                seeds += ADASTOP["n"]
            found += "equal" not in comparator.decisions.values()
    return {"found": found / len(values), "seeds": seeds / len(values), "studies": float(len(values))}


def main() -> None:
    """Print the figures, as JSON or as a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=100_000, help="Simulated studies per effect.")
    parser.add_argument("--small-studies", type=int, default=2_000, help="Of these, those with a smallest effect.")
    parser.add_argument("--adastop-studies", type=int, default=300, help="Of these, those that AdaStop judges.")
    parser.add_argument("--shared", type=float, default=0.0, help="Share of the variance that the two sides share.")
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    options = parser.parse_args()
    found = measure(options.studies, options.small_studies, options.adastop_studies, options.shared)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, figures in found["designs"].items():
        shown = "  ".join(f"{one['found']:.3f} in {one['seeds']:5.2f}" for one in figures)
        print(f"{shown}  {name}")


if __name__ == "__main__":
    main()

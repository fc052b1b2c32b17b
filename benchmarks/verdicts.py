"""Seeds and power of sequential looks, against fixed numbers of seeds and against AdaStop, on the same draws.

    python benchmarks/verdicts.py --json

One claim, whose differences between paired seeds are normal with standard deviation 1. For every effect: the share of
studies that end with a verdict, and the mean number of seeds (runs per variant) that they take. `no difference` is a
design of ours that also stops when the corrected interval lies within a smallest effect of 1, or when a decision by the
last look has become unlikely (conditional power below 10 %).
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vgg_ablate.analysis.sequential import compute_conditional_power, compute_levels

EFFECTS = (0.0, 0.5, 1.0, 2.0)
LOOKS = tuple(range(4, 15))
SMALLEST_EFFECT = 1.0
LEAST_POWER = 0.1
FIXED = (8, 12)
ADASTOP = {"n": 4, "K": 3, "B": 2_000, "alpha": 0.05}  # at most 12 runs per side

FloatArray = NDArray[np.float64]


def measure(studies: int, adastop_studies: int) -> dict[str, Any]:
    """Return power and mean seeds of every design at every effect."""
    pairs = np.random.default_rng(0).standard_normal((studies, 2, LOOKS[-1])) / np.sqrt(2)
    found: dict[str, Any] = {"studies": studies, "looks": list(LOOKS), "effects": list(EFFECTS), "designs": {}}
    designs = found["designs"]
    for effect in EFFECTS:
        values = pairs + np.array([[effect], [0.0]])
        differences = values[:, 0] - values[:, 1]
        for count in FIXED:
            designs.setdefault(f"fixed {count}", []).append(_fixed(differences, count))
        designs.setdefault("looks", []).append(_sequential(differences))
        designs.setdefault("looks, no difference", []).append(_with_smallest_effect(differences[:500]))
        designs.setdefault("AdaStop", []).append(_adastop(values[:adastop_studies]))
    return found


def _t(differences: FloatArray) -> FloatArray:
    count = differences.shape[1]
    return np.asarray(differences.mean(1) / (differences.std(1, ddof=1) / np.sqrt(count)))


def _fixed(differences: FloatArray, count: int) -> dict[str, float]:
    decided = np.abs(_t(differences[:, :count])) > special.stdtrit(count - 1, 0.975)
    return {"decided": float(decided.mean()), "seeds": float(count)}


def _sequential(differences: FloatArray) -> dict[str, float]:
    seeds, decided = np.full(len(differences), LOOKS[-1]), np.zeros(len(differences), bool)
    for look, level in zip(LOOKS, compute_levels(LOOKS), strict=True):
        now = ~decided & (np.abs(_t(differences[:, :look])) > -special.stdtrit(look - 1, level / 2))
        seeds[now] = look
        decided |= now
    return {"decided": float(decided.mean()), "seeds": float(seeds.mean())}


def _with_smallest_effect(differences: FloatArray) -> dict[str, float]:
    ends = [_end(list(study)) for study in differences]
    words = [word for word, _ in ends]
    return {
        "decided": float(np.mean([word == "effect" for word in words])),
        "no difference": float(np.mean([word == "no difference" for word in words])),
        "undecidable": float(np.mean([word == "undecidable" for word in words])),
        "seeds": float(np.mean([seeds for _, seeds in ends])),
    }


def _end(differences: Sequence[float]) -> tuple[str, int]:
    levels = compute_levels(LOOKS)
    for index, (look, level) in enumerate(zip(LOOKS, levels, strict=True)):
        seen = np.array(differences[:look])
        reach = -special.stdtrit(look - 1, level / 2) * seen.std(ddof=1) / np.sqrt(look)
        if abs(seen.mean()) > reach:
            return "effect", look
        if abs(seen.mean()) + reach < SMALLEST_EFFECT:
            return "no difference", look
        edges = (-SMALLEST_EFFECT, 0.0, SMALLEST_EFFECT)
        chances = [compute_conditional_power(list(seen), LOOKS, index, (edge, edge)) for edge in edges]
        # A decision is a difference from 0, or from both edges of what matters.
        if look < LOOKS[-1] and max(chances[1], min(chances[0], chances[2])) < LEAST_POWER:
            return "undecidable", look
    return "undecided", LOOKS[-1]


def _adastop(values: FloatArray) -> dict[str, float]:
    import matplotlib as mpl

    mpl.use("agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from adastop import MultipleAgentsComparator

        decided, seeds = 0, 0
        for number, (one, other) in enumerate(values):
            comparator = MultipleAgentsComparator(**ADASTOP, seed=number)
            while not comparator.is_finished and comparator.k < ADASTOP["K"]:
                count = int(ADASTOP["n"] * (comparator.k + 1))
                comparator.partial_compare({"one": one[:count], "other": other[:count]}, verbose=False)
                seeds += int(ADASTOP["n"])
            decided += "equal" not in comparator.decisions.values()
    return {"decided": decided / len(values), "seeds": seeds / len(values)}


def main() -> None:
    """Print the figures, as JSON or as a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=100_000, help="Simulated studies per effect.")
    parser.add_argument("--adastop-studies", type=int, default=300, help="Of these, those that AdaStop judges.")
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    options = parser.parse_args()
    found = measure(options.studies, options.adastop_studies)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, figures in found["designs"].items():
        shown = "  ".join(f"{one['decided']:.3f} in {one['seeds']:5.2f}" for one in figures)
        print(f"{name:22} {shown}")


if __name__ == "__main__":
    main()

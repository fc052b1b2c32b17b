"""The gains that a verdict rests on, seed by seed, and the interval that decides it."""

from __future__ import annotations

from math import isnan

import pandas as pd

from vgg_ablate.analysis.metrics import collect_by_seed, get_sign
from vgg_ablate.analysis.verdicts import Verdict


def compute_gains(verdict: Verdict, frame: pd.DataFrame) -> dict[int, float]:
    """Return seed -> gain of a over b, in the verdict's unit; empty for exact metrics and for counts of runs."""
    if verdict.exact or verdict.claim.metric == "trained":
        return {}
    table = collect_by_seed(frame, verdict.claim.metric)
    weights, sign = verdict.weights.items(), get_sign(verdict.claim.metric)
    return {seed: sign * sum(weight * table[name][seed] for name, weight in weights) for seed in verdict.seeds}


def compute_deciding_interval(verdict: Verdict) -> tuple[float, float]:
    """Return the interval that agrees with the verdict: inside the claimed region, outside it, or across an edge.

    Holm's q = factor * p is at most alpha exactly where the interval of level 1 - alpha / factor excludes the edge. For
    a single claim that is the shown interval. Both ends are NaN where there is none.
    """
    if verdict.exact or verdict.counts is not None or isnan(verdict.q) or isnan(verdict.ci_low) or verdict.n < 2:
        return verdict.ci_low, verdict.ci_high
    if verdict.estimate is None:
        return verdict.ci_low, verdict.ci_high
    # Where p underflows to 0 the factor is lost: the size of the family stands for it, which is Holm's hardest step.
    factor = verdict.q / verdict.p if verdict.p > 0 else float(verdict.family)
    low, high = verdict.estimate.interval(1 - verdict.alpha / max(factor, 1.0))
    return float(low), float(high)

"""What a verdict rests on, seed by seed, and the interval that decides it."""

from __future__ import annotations

from math import isnan

import pandas as pd
from scipy import special

from vgg_ablate.analysis.metrics import collect_by_seed, get_sign
from vgg_ablate.analysis.verdicts import Verdict


def compute_gains(verdict: Verdict, frame: pd.DataFrame) -> dict[int, float]:
    """seed -> the gain of a over b, in the verdict's unit, for the seeds that the estimate rests on."""
    if verdict.exact or verdict.claim.metric == "trained":  # runs are counted, not paired
        return {}
    table = collect_by_seed(frame, verdict.claim.metric)
    weights = verdict.weights.items()
    direction = get_sign(verdict.claim.metric)
    return {seed: direction * sum(weight * table[name][seed] for name, weight in weights) for seed in verdict.seeds}


def compute_deciding_interval(verdict: Verdict) -> tuple[float, float]:
    """The interval that lies inside the claimed region, outside it, or across an edge exactly as the verdict says.

    Holm's q = factor x p asks for p <= alpha / factor: the interval of level 1 - alpha / factor. For a single claim it
    is the shown interval. NaN where there is none.
    """
    if verdict.exact or verdict.counts is not None or isnan(verdict.q) or isnan(verdict.ci_low) or verdict.n < 2:
        return verdict.ci_low, verdict.ci_high
    factor = verdict.q / verdict.p if verdict.p > 0 else float(verdict.family)
    dof = verdict.n - 1
    wider = special.stdtrit(dof, 1 - verdict.alpha / max(factor, 1.0) / 2) / special.stdtrit(dof, 1 - verdict.alpha / 2)
    reach = float(wider) * (verdict.ci_high - verdict.ci_low) / 2
    return verdict.mean - reach, verdict.mean + reach

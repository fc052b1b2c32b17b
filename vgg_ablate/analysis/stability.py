"""Agreement of shorter trainings with the longest: crossing points, pairwise decisions, rank correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import nan

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.metrics import EXACT_METRICS, collect_by_seed, get_claim_unit, get_shown_metric
from vgg_ablate.analysis.stats import ALPHA
from vgg_ablate.analysis.variant_rows import PRIMARY_METRIC
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS, Verdict
from vgg_ablate.config.horizons import HorizonLevel, format_level_name
from vgg_ablate.config.study import Study

_POINTS = 513  # at which a segment between two levels is searched: a step is 0.14 % of a doubling


@dataclass(frozen=True)
class Crossing:
    """The level at which an effect changes its sign, with the 95 % confidence set of that level.

    The set is cut at the lowest and the highest level: `low` or `high` equals one of them where it may lie beyond.
    """

    level: float
    low: float
    high: float


@dataclass(frozen=True)
class PairDecisions:
    """The pairs of variants that are separated at one level, compared with the last level."""

    level: HorizonLevel
    pairs: int
    decided: int  # pairs that a paired t-test separates at this level, Holm-corrected over the pairs
    held: int  # of those, pairs that are separated in the same order at the last level
    reversed: int  # of those, pairs that are separated in the opposite order at the last level
    correlation: float  # Kendall's tau-b of the mean errors at this level and at the last; NaN with two variants


@dataclass(frozen=True)
class ClaimEffects:
    """The differences of side a minus side b of one claim, per seed, at two levels of the horizons or more."""

    verdict: Verdict
    differences: Mapping[HorizonLevel, stats.FloatArray]
    crossing: Crossing | None


def collect_claim_effects(study: Study, frame: pd.DataFrame, verdicts: Sequence[Verdict]) -> list[ClaimEffects]:
    """Return the effects of every claim on errors or accuracies that finished every seed at two levels or more."""
    claim_effects = []
    for verdict in verdicts:
        claim = verdict.claim
        if claim.metric in EXACT_METRICS or get_claim_unit(claim) != "points" or verdict.counts is not None:
            continue
        differences = collect_level_differences(study, frame, verdict.weights, get_shown_metric(claim.metric))
        if len(differences) > 1:
            crossing = find_crossing(list(differences), np.stack(list(differences.values())))
            claim_effects.append(ClaimEffects(verdict, differences, crossing))
    return claim_effects


def find_crossing(levels: Sequence[float], differences: ArrayLike) -> Crossing | None:
    """Return where the mean of paired differences (levels x seeds) changes its sign, or None where it does not.

    Differences are interpolated between neighbouring levels, linearly in the logarithm of the level. The confidence
    set holds the levels at which the interpolated differences, one per seed, have a 95 % interval that contains 0:
    Fieller's set for the zero of a line through two means (Fieller 1954). None with fewer than three seeds.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < FEWEST_SEEDS or min(levels) <= 0:
        return None
    axis = np.log(np.asarray(levels, dtype=np.float64))
    fine = np.unique(np.concatenate([np.linspace(low, high, _POINTS) for low, high in pairwise(axis)]))
    curves = np.stack([np.interp(fine, axis, seed) for seed in table.T], axis=-1)  # points x seeds
    estimate = stats.estimate_paired(curves)
    changes = np.flatnonzero(np.diff(np.signbit(estimate.mean)))
    if not len(changes):
        return None
    zero = int(changes[-1])  # of several, the last one decides which side is better in the end
    low, high = estimate.compute_interval(1 - ALPHA)
    open_points = (low <= 0) & (high >= 0)
    first = last = zero + int(abs(estimate.mean[zero + 1]) < abs(estimate.mean[zero]))
    while first > 0 and open_points[first - 1]:
        first -= 1
    while last < len(fine) - 1 and open_points[last + 1]:
        last += 1
    before, after = estimate.mean[zero], estimate.mean[zero + 1]
    level = fine[zero] + (fine[zero + 1] - fine[zero]) * before / (before - after)
    return Crossing(float(np.exp(level)), float(np.exp(fine[first])), float(np.exp(fine[last])))


def compare_levels(study: Study, frame: pd.DataFrame) -> tuple[PairDecisions, ...]:
    """Compare the pairwise decisions at every lower level with those at the last; empty without both."""
    if not study.horizons:
        return ()
    values = collect_by_seed(frame, PRIMARY_METRIC)
    names = [variant.name for variant in study.variants]
    *lower, _ = study.horizon_levels
    last = _select_complete(values, {name: name for name in names}, study)
    compared = []
    for level in lower:
        table = _select_complete(values, {name: format_level_name(name, level) for name in names}, study)
        shared = [name for name in names if name in table and name in last]
        if len(shared) >= 2:
            pair = ({name: errors[name] for name in shared} for errors in (table, last))
            compared.append(_compare(level, *pair))
    return tuple(compared)


def _select_complete(
    values: Mapping[str, Mapping[int, float]], sources: Mapping[str, str], study: Study
) -> dict[str, Mapping[int, float]]:
    """Return the values of the variants that finished every seed, under the names of the last level."""
    return {
        name: values[source]
        for name, source in sources.items()
        if source in values and set(study.seed_list) <= set(values[source])
    }


def _compare(
    level: HorizonLevel, table: Mapping[str, Mapping[int, float]], last: Mapping[str, Mapping[int, float]]
) -> PairDecisions:
    signs, last_signs = _decide_pairs(table), _decide_pairs(last)
    decided = [pair for pair, sign in signs.items() if sign]
    means = [[float(np.mean(list(seeds.values()))) for seeds in values.values()] for values in (table, last)]
    return PairDecisions(
        level=level,
        pairs=len(signs),
        decided=len(decided),
        held=sum(last_signs[pair] == signs[pair] for pair in decided),
        reversed=sum(last_signs[pair] == -signs[pair] for pair in decided),
        correlation=correlate_ranks(*means),
    )


def correlate_ranks(values: Sequence[float], others: Sequence[float]) -> float:
    """Return Kendall's tau-b; NaN with fewer than three values, of which any two orders are alike or reversed."""
    from scipy.stats import kendalltau  # here: scipy.stats takes half a second to import

    return float(kendalltau(values, others).statistic) if len(values) > 2 else nan


def _decide_pairs(table: Mapping[str, Mapping[int, float]]) -> dict[tuple[str, str], int]:
    """Return for every pair the sign of its difference, or 0 where the difference is not separated from 0."""
    pairs = list(combinations(table, 2))
    estimates = [
        stats.estimate_paired(stats.round_off_noise([table[a][seed] - table[b][seed] for seed in table[a]]))
        for a, b in pairs
    ]
    p_values = [
        # Without a spread there is no t: equal results differ in nothing, a constant difference is certain.
        float(stats.compute_evidence(estimate, (0.0, 0.0), outside=True).p) if estimate.se else float(not estimate.mean)
        for estimate in estimates
    ]
    adjusted = stats.adjust_holm(p_values)
    return {
        pair: int(np.sign(estimate.mean)) if q <= ALPHA else 0
        for pair, estimate, q in zip(pairs, estimates, adjusted, strict=True)
    }


def collect_level_differences(
    study: Study, frame: pd.DataFrame, weights: Mapping[str, float], metric: str = PRIMARY_METRIC
) -> dict[HorizonLevel, stats.FloatArray]:
    """Return the weighted sum of the metric on every seed, by level, for the levels that finished every seed.

    `weights` name variants of the last level: {"five": 1, "base": -1} gives the error of `five` minus that of the base.
    """
    values = collect_by_seed(frame, metric)
    differences: dict[HorizonLevel, stats.FloatArray] = {}
    for level in study.horizon_levels:
        is_last = level == study.horizon_levels[-1]
        sources = {name: name if is_last else format_level_name(name, level) for name in weights}
        table = _select_complete(values, sources, study)
        if len(table) == len(weights):
            sums = [sum(weights[name] * table[name][seed] for name in weights) for seed in study.seed_list]
            differences[level] = stats.round_off_noise(sums)
    return differences

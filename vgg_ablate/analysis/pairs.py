"""The numbers that a verdict rests on: gains seed by seed, both sides, the shown difference, the deciding interval.

A verdict has a gain, positive where side a is better. Reports show the difference a - b: of errors, also where a claim
is about an accuracy, so that one sign, less is better, holds in every table and figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan, sqrt

import pandas as pd

from vgg_ablate.analysis.metrics import collect_by_seed, get_shown_metric, get_shown_sign, get_sign
from vgg_ablate.analysis.variant_rows import MetricSummary, summarize_values
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.published import PublishedValue


def compute_gains(verdict: Verdict, frame: pd.DataFrame) -> dict[int, float]:
    """Return the gain of a over b by seed, in the verdict's unit; empty for exact metrics and for counts of runs."""
    if verdict.is_exact or verdict.claim.metric == "trained":
        return {}
    table = collect_by_seed(frame, verdict.claim.metric)
    weights, sign = verdict.weights.items(), get_sign(verdict.claim.metric)
    published = verdict.claim.published.value if verdict.claim.published else 0.0
    return {
        seed: sign * (sum(weight * table[name][seed] for name, weight in weights) - published) for seed in verdict.seeds
    }


def compute_deciding_interval(verdict: Verdict) -> tuple[float, float]:
    """Return the interval that agrees with the verdict: inside the claimed region, outside it, or across an edge.

    Holm's q = factor * p is at most alpha exactly where the interval of level 1 - alpha / factor excludes the edge. For
    a single claim that is the shown interval. Both ends are NaN where there is none.
    """
    if verdict.is_exact or verdict.counts is not None or isnan(verdict.q) or isnan(verdict.ci_low) or verdict.n < 2:
        return verdict.ci_low, verdict.ci_high
    if verdict.estimate is None:
        return verdict.ci_low, verdict.ci_high
    # Where p underflows to 0 the factor is lost: the size of the family stands for it, which is Holm's hardest step.
    factor = verdict.q / verdict.p if verdict.p > 0 else float(verdict.family)
    low, high = verdict.estimate.compute_interval(1 - verdict.alpha / max(factor, 1.0))
    return float(low), float(high)


@dataclass(frozen=True)
class ShownDifference:
    """The difference of side a minus side b in the unit of the claim, with the interval of the verdict."""

    mean: float
    low: float
    high: float
    se: float


def compute_shown_difference(verdict: Verdict) -> ShownDifference:
    """Return the difference that a report shows for a verdict; its numbers are NaN where there is none."""
    sign = get_shown_sign(verdict.claim.metric)
    low, high = flip_interval((verdict.ci_low, verdict.ci_high), sign)
    se = verdict.sd / sqrt(verdict.n) if verdict.n > 1 else nan
    return ShownDifference(sign * verdict.mean, low, high, se)


def compute_widening(verdict: Verdict) -> float:
    """Return how much wider the interval over seeds and examples, which decides, is than that over the seeds alone.

    1 where the seeds alone decide.
    """
    if verdict.beyond is None or not verdict.ci_high > verdict.ci_low:
        return 1.0
    return (verdict.beyond[1] - verdict.beyond[0]) / (verdict.ci_high - verdict.ci_low)


def flip_interval(interval: tuple[float, float], sign: int) -> tuple[float, float]:
    """Return the interval times the sign, the lower end first."""
    low, high = interval
    return (low, high) if sign > 0 else (-high, -low)


def compute_sides(verdict: Verdict, frame: pd.DataFrame) -> tuple[MetricSummary, MetricSummary] | None:
    """Return mean and standard deviation of both sides, as errors where the claim is about an accuracy.

    None for a claim that has no two sides with a value each: trends, differences of differences, counts of runs.
    """
    claim = verdict.claim
    if claim.trend is not None or claim.against or claim.metric == "trained":
        return None
    shown = get_shown_metric(claim.metric)
    table = _collect_exact(frame, shown, verdict.weights) if verdict.is_exact else collect_by_seed(frame, shown)
    if claim.published is not None:
        return _average_side(verdict.weights, table), _summarize_published(claim.published, shown != claim.metric)
    sides = [{name: abs(weight) for name, weight in verdict.weights.items() if weight * way > 0} for way in (1, -1)]
    if any(abs(sum(side.values()) - 1) > 1e-9 for side in sides):  # a variant that is in both sides cancels in part
        return None
    a, b = (_average_side(side, table) for side in sides)
    return a, b


def _summarize_published(published: PublishedValue, is_shown_as_error: bool) -> MetricSummary:
    value = 100 - published.value if is_shown_as_error else published.value
    return MetricSummary(published.n or 1, value, nan if published.sd is None else published.sd)


def _average_side(weights: Mapping[str, float], table: Mapping[str, Mapping[int, float]]) -> MetricSummary:
    own = [table.get(name, {}) for name in weights]
    seeds = [seed for seed in own[0] if all(seed in values for values in own)] if own else []
    return summarize_values([sum(weights[name] * table[name][seed] for name in weights) for seed in seeds])


def _collect_exact(frame: pd.DataFrame, metric: str, weights: Mapping[str, float]) -> dict[str, dict[int, float]]:
    """Return the cost of every variant under seed 0: it is the same on all seeds, and unfinished runs have it, too."""
    known = frame[frame["variant"].isin(list(weights))].dropna(subset=[metric]).groupby("variant")[metric].first()
    return {str(name): {0: float(value)} for name, value in known.items()}

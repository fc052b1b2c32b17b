"""Verdicts on claims, with the numbers that each rests on.

A claim is supported, refuted, without a difference that matters, or inconclusive.

The rule: differences are paired by seed, Student's t gives the interval of their mean, and Holm's correction covers the
study's claims on one metric. A claim is supported where the evidence puts the gain inside the claimed region, refuted
where it puts it outside. Gains are positive where side a is better than side b.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan, nan, sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vgg_ablate.analysis import power, stats
from vgg_ablate.analysis.counts import TrainedCounts, count_trained
from vgg_ablate.analysis.methods import (
    LEFT_OUT,
    METHODS,
    ContrastValues,
    MethodResult,
    VerdictWord,
    collect_contrast_values,
    estimate_gain,
    judge_by_method,
)
from vgg_ablate.analysis.metrics import EXACT_METRICS, TIMED_METRICS, collect_by_seed, find_excluded_runs, get_sign
from vgg_ablate.analysis.stats import ALPHA, Estimate, FloatArray
from vgg_ablate.config.claims import Claim, FactorLevels, TrendQuantities

FEWEST_SEEDS = 3  # with two, the t distribution has one degree of freedom and decides next to nothing

Contrasts = Mapping[str, Mapping[str, float]]  # claim id -> variant -> weight
CorrectExamples = Mapping[tuple[str, int], NDArray[np.bool_]]  # (variant, seed) -> per test example: is it correct?


@dataclass(frozen=True)
class HorizonVerdict:
    """The verdict on a claim at one level of the study's horizons."""

    mean: float
    ci_low: float
    ci_high: float
    verdict: VerdictWord
    complete: bool  # every run that the claim is about has a record


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim and its evidence.

    Gains are in percentage points for errors and accuracies, else in the metric's unit; a number that cannot be
    computed is NaN.
    """

    claim: Claim
    weights: Mapping[str, float]  # variant -> weight in the difference
    verdict: VerdictWord
    reason: str = ""  # why it is inconclusive, where more seeds alone would not decide it
    exact: bool = False
    seeds: tuple[int, ...] = ()  # those that every variant has finished, at the look
    look: int = 0  # planned seeds at the look that this verdict is from
    looks: tuple[int, ...] = ()
    alpha: float = ALPHA  # spent at this look; the interval has level 1 - alpha
    mean: float = nan
    sd: float = nan  # of the differences, over seeds
    ci_low: float = nan
    ci_high: float = nan
    p: float = nan
    q: float = nan  # Holm's, over the study's claims on the metric
    family: int = 1  # the number of those claims
    probability: float = nan  # P(the difference is as claimed | data)
    wins: int = 0  # seeds on which a is better
    hedges_g: float = nan
    detectable: float = nan  # the smallest difference that this many seeds detect with 80 % power
    seeds_to_decide: int | None = None
    sensitivity: Mapping[str, VerdictWord] = field(default_factory=dict)  # method -> the verdict by it
    beyond: tuple[float, float] | None = None  # the interval where the test examples are a sample, too
    counts: TrainedCounts | None = None  # of a claim on the runs that trained
    complete: bool = True  # every run that it is about has a record, at the look
    horizons: Mapping[str, HorizonVerdict] = field(default_factory=dict)  # level -> verdict; the last level decides
    stable: bool | None = None  # the two longest horizons have the same verdict; None where one is not recorded

    @property
    def n(self) -> int:
        """Number of seeds that the estimate rests on."""
        return len(self.seeds)

    @property
    def interval_word(self) -> str:
        """Where the interval lies between worse, negligible and better, in words."""
        if self.counts is not None:  # decided by the exact test: the interval can disagree with it near 0
            side = "more" if self.mean > 0 else "fewer"
            return "unclear" if self.verdict == "inconclusive" else f"{side} of its runs trained"
        return _choose_interval_word(self.ci_low, self.ci_high, self.claim.margin)


def judge_claims(
    claims: Sequence[Claim],
    frame: pd.DataFrame,
    seeds: Sequence[int],
    *,
    levels: FactorLevels | None = None,
    looks: Sequence[int] | None = None,
    examples: CorrectExamples | None = None,
    quantities: TrendQuantities | None = None,
) -> tuple[Verdict, ...]:
    """Judge claims from the rows of a run frame (`vgg_ablate.frame`).

    `seeds` are the planned ones; `looks` are the numbers of seeds at which the study is judged (all of them, once, by
    default). Claims over factors need the `levels` of the variants, trends their `quantities`, and the second interval
    the `examples`. Raises InvalidValueError where a claim names no variant or a trend has no slope.
    """
    levels = levels if levels is not None else {str(name): {} for name in frame["variant"].unique()}
    looks = tuple(looks or (len(seeds),))
    contrasts = {claim.id: claim.compute_contrast(levels, quantities) for claim in claims}
    judged: dict[str, Verdict] = {}
    # Holm's correction is per metric: claims on the costs of nets need none, and would make the others harder.
    for metric in dict.fromkeys(claim.metric for claim in claims):
        family = [claim for claim in claims if claim.metric == metric]
        if metric in EXACT_METRICS:
            judged |= _judge_exact_metric(family, frame, contrasts)
        else:
            judged |= _judge_at_looks(family, frame, seeds, contrasts, looks)
    return tuple(_with_second_interval(judged[claim.id], examples) for claim in claims)


def split_alpha_over_looks(looks: Sequence[int]) -> list[float]:
    """Return the error rate of every look: ALPHA in proportion to the seeds that it adds.

    The rates sum to ALPHA, which bounds the error whatever the dependence between looks is. The usual spending
    functions need that dependence, which has no closed form for small-sample t-tests.
    """
    return [ALPHA * (now - before) / looks[-1] for before, now in zip((0, *looks), looks, strict=False)]


def find_unseeded_variants(frame: pd.DataFrame) -> dict[str, str]:
    """Return the variants whose results do not depend on the seed, each with a sentence that says so.

    That is a bug of the program that trained them. Equal error counts alone are chance, since a test set of 360 images
    has few possible counts; the losses must be equal, too.
    """
    finished = frame[frame["outcome"] == "finished"]
    groups = finished.groupby("variant", sort=False)
    one_value = (groups[["test_error", "val_error", "train_loss"]].nunique(dropna=False) == 1).all(axis=1)
    same = one_value[one_value & (groups.size() >= FEWEST_SEEDS)].index
    return {str(name): f"seeds not applied: {name} has the same test error and losses on every seed" for name in same}


def _judge_exact_metric(claims: Sequence[Claim], frame: pd.DataFrame, contrasts: Contrasts) -> dict[str, Verdict]:
    """Judge claims on params, MACs or activations, which are the same for every seed."""
    known = frame.dropna(subset=[claims[0].metric]).groupby("variant")[claims[0].metric].first()
    return {claim.id: _judge_exactly(claim, contrasts[claim.id], known) for claim in claims}


def _judge_exactly(claim: Claim, weights: Mapping[str, float], known: pd.Series[float]) -> Verdict:
    absent = [name for name in weights if name not in known.index]
    if absent:
        reason = f"no record of {', '.join(absent)}"
        return Verdict(claim, weights, "inconclusive", reason, exact=True, complete=False)
    gain = get_sign(claim.metric) * float(sum(weight * float(known[name]) for name, weight in weights.items()))
    low, high = claim.region
    holds = not low <= gain <= high if claim.kind == "different" else low < gain < high
    return Verdict(
        claim,
        weights,
        "supported" if holds else "refuted",
        exact=True,
        mean=gain,
        sd=0.0,
        ci_low=gain,
        ci_high=gain,
        probability=float(holds),
    )


def _judge_at_looks(
    claims: Sequence[Claim], frame: pd.DataFrame, seeds: Sequence[int], contrasts: Contrasts, looks: tuple[int, ...]
) -> dict[str, Verdict]:
    """Judge at every look that has been reached; the first look that decides a claim stands."""
    alphas = split_alpha_over_looks(looks)
    # Between two looks only the seeds of the earlier one are used: judging after every run would be many more looks.
    reached = [count for count in looks if _has_all_records(frame, seeds[:count])] or [looks[0]]
    judged: dict[str, Verdict] = {}
    for count, alpha in zip(reached, alphas, strict=False):
        judge_family = _judge_counts if claims[0].metric == "trained" else _judge_means
        verdicts = judge_family(claims, frame, seeds[:count], contrasts, alpha)
        for claim in claims:
            if claim.id not in judged or judged[claim.id].verdict == "inconclusive":
                own = frame[frame["variant"].isin(list(contrasts[claim.id]))]
                complete = bool(len(own)) and _has_all_records(own, seeds[:count])
                judged[claim.id] = replace(verdicts[claim.id], look=count, looks=looks, complete=complete)
    return judged


def _has_all_records(frame: pd.DataFrame, seeds: Sequence[int]) -> bool:
    return not bool(((frame["outcome"] == "missing") & frame["seed"].isin(list(seeds))).any())


def _judge_counts(
    claims: Sequence[Claim], frame: pd.DataFrame, seeds: Sequence[int], contrasts: Contrasts, alpha: float
) -> dict[str, Verdict]:
    """Judge claims on the runs that trained by an exact test of two counts, with Holm's correction over the family."""
    counted = {claim.id: count_trained(frame, contrasts[claim.id], seeds) for claim in claims}
    fewest = {name: min(counts.runs_a, counts.runs_b) for name, (counts, _) in counted.items()}
    p_values = [counted[claim.id][0].p_value() if fewest[claim.id] >= FEWEST_SEEDS else 1.0 for claim in claims]
    judged = {}
    for claim, p, q in zip(claims, p_values, stats.adjust_holm(p_values), strict=True):
        counts, lacking = counted[claim.id]
        verdict = Verdict(claim, contrasts[claim.id], "inconclusive", alpha=alpha, family=len(claims))
        if fewest[claim.id]:
            low, high = counts.interval(1 - alpha)
            verdict = replace(verdict, counts=counts, mean=counts.difference, ci_low=low, ci_high=high)
        if lacking:
            judged[claim.id] = replace(verdict, reason=_list_lacking(lacking))
        elif fewest[claim.id] < FEWEST_SEEDS:
            reason = f"{fewest[claim.id]} runs on a side; a verdict needs at least {FEWEST_SEEDS}"
            judged[claim.id] = replace(verdict, reason=reason)
        else:
            word = _choose_counts_word(claim, counts.difference, float(q), alpha)
            judged[claim.id] = replace(verdict, verdict=word, seeds=tuple(seeds), p=p, q=float(q))
    return judged


def _choose_counts_word(claim: Claim, difference: float, q: float, alpha: float) -> VerdictWord:
    """Return the verdict: a significant difference supports or refutes the claim by its direction alone."""
    if q > alpha or difference == 0:
        return "inconclusive"
    return "supported" if claim.kind == "different" or (difference > 0) == (claim.kind == "better") else "refuted"


def _judge_means(
    claims: Sequence[Claim], frame: pd.DataFrame, seeds: Sequence[int], contrasts: Contrasts, alpha: float
) -> dict[str, Verdict]:
    """Judge claims on the mean of a metric that varies with the seed."""
    metric = claims[0].metric
    table, outcomes = collect_by_seed(frame, metric), _collect_outcomes(frame, metric)
    unseeded = find_unseeded_variants(frame)
    values = {
        claim.id: collect_contrast_values(contrasts[claim.id], table, outcomes, seeds, metric) for claim in claims
    }
    by_method = {
        method: judge_by_method(claims, [estimate_gain(values[claim.id], method) for claim in claims], alpha)
        for method in METHODS
    }
    judged = {}
    for index, claim in enumerate(claims):
        verdict = _build_verdict(claim, contrasts[claim.id], values[claim.id], by_method["paired"][index], alpha)
        reason = _check_devices(verdict, frame) or _find_obstacle(verdict, values[claim.id], unseeded)
        if reason:
            verdict = replace(verdict, verdict="inconclusive", reason=reason)
        else:
            verdict = replace(verdict, sensitivity={method: by_method[method][index].word for method in METHODS})
        if not reason or not values[claim.id].lacking:  # a claim with lacking runs needs those, not more seeds
            verdict = replace(verdict, seeds_to_decide=_compute_seeds_to_decide(verdict, len(claims)))
        if not reason and _is_negligible(verdict, len(claims)):
            verdict = replace(verdict, verdict="no difference", seeds_to_decide=None)
        judged[claim.id] = replace(verdict, family=len(claims))
    return judged


def _is_negligible(verdict: Verdict, family: int) -> bool:
    """Return whether an undecided claim's interval, at Bonferroni's level, lies within the smallest effect.

    Bonferroni's and not Holm's: the step of a claim in Holm's order depends on its p-value against the edges of the
    claim, which says nothing about the smallest effect.
    """
    smallest = verdict.claim.smallest_effect
    if verdict.verdict != "inconclusive" or not smallest or isnan(verdict.ci_low) or verdict.n < FEWEST_SEEDS:
        return False
    half_width = (verdict.ci_high - verdict.ci_low) / 2
    reach = stats.widen_half_width(half_width, verdict.n - 1, verdict.alpha, family)
    return abs(verdict.mean) + reach < smallest


def _collect_outcomes(frame: pd.DataFrame, metric: str) -> dict[tuple[str, int], str]:
    """Return (variant, seed) -> outcome; LEFT_OUT where the run finished and means of the metric leave it out."""
    excluded = (frame["outcome"] == "finished") & find_excluded_runs(frame, metric)
    outcomes = frame["outcome"].mask(excluded, LEFT_OUT)
    return {
        (str(variant), int(seed)): str(outcome)
        for variant, seed, outcome in zip(frame["variant"], frame["seed"], outcomes, strict=True)
    }


def _find_obstacle(verdict: Verdict, values: ContrastValues, unseeded: Mapping[str, str]) -> str:
    """Return why no verdict can be given, whatever the numbers; empty where one can."""
    for name in verdict.weights:
        if name in unseeded and len(values.seeds) >= FEWEST_SEEDS:
            return unseeded[name]
    # A mean over the runs that are left is biased: a net that diverges on hard seeds would look good on the others.
    if values.lacking:
        return _list_lacking(values.lacking)
    if len(values.seeds) < FEWEST_SEEDS:
        return f"{len(values.seeds)} seed{'s' * (len(values.seeds) != 1)}; a verdict needs at least {FEWEST_SEEDS}"
    if verdict.sd == 0:
        return "the difference is the same on every seed: its spread cannot be estimated"
    return ""


def _list_lacking(lacking: Sequence[str]) -> str:
    return "; ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")


def _check_devices(verdict: Verdict, frame: pd.DataFrame) -> str:
    """Return the reason why times cannot be compared: they were measured on several devices; else empty."""
    if verdict.claim.metric not in TIMED_METRICS or "device_name" not in frame.columns:
        return ""
    runs = frame[frame["variant"].isin(list(verdict.weights)) & (frame["outcome"] == "finished")]
    devices = sorted({str(name) for name in runs["device_name"]})
    return f"measured on several devices: {', '.join(devices)}" if len(devices) > 1 else ""


def _build_verdict(
    claim: Claim, weights: Mapping[str, float], values: ContrastValues, result: MethodResult, alpha: float
) -> Verdict:
    verdict = Verdict(claim, weights, result.word, seeds=values.seeds, alpha=alpha)
    differences = values.differences
    if result.estimate is None:
        return replace(verdict, mean=float(differences[0])) if len(differences) else verdict
    low, high = result.estimate.interval(1 - alpha)
    sd = float(result.estimate.se) * sqrt(len(differences))
    return replace(
        verdict,
        mean=float(result.estimate.mean),
        sd=sd,
        ci_low=float(low),
        ci_high=float(high),
        p=result.p,
        q=result.q,
        probability=_compute_probability(claim, result.estimate),
        wins=int((differences > 0).sum()),
        hedges_g=stats.compute_hedges_g(float(result.estimate.mean), values.values),
        detectable=power.compute_detectable_difference(sd, len(values.seeds), alpha),
    )


def _compute_probability(claim: Claim, estimate: Estimate) -> float:
    if float(estimate.se) == 0:
        return nan
    inside = float(estimate.probability(claim.region))
    return 1 - inside if claim.kind == "different" else inside


def _compute_seeds_to_decide(verdict: Verdict, family: int) -> int | None:
    """Return the number of seeds that would decide an inconclusive claim, at the observed mean and sd."""
    if verdict.verdict != "inconclusive" or not verdict.sd > 0 or verdict.n < 2:
        return None
    # At Holm's hardest step: which step the claim will be at depends on the others, and the number must not be too low.
    alpha = verdict.alpha / family
    return power.compute_seeds_to_decide(verdict.claim.region, verdict.mean, verdict.sd, verdict.n, alpha)


def _choose_interval_word(low: float, high: float, margin: float) -> str:
    if np.isnan(low):
        return "unknown"
    if margin > 0 and -margin < low and high < margin:
        return "negligible"
    if low > 0:
        return "clearly better" if low >= margin else "better, size unclear"
    if high < 0:
        return "clearly worse" if high <= -margin else "worse, size unclear"
    return "unclear"


def _with_second_interval(verdict: Verdict, examples: CorrectExamples | None) -> Verdict:
    """Add the interval beyond this test set, where the answers to all examples are known and all runs share them."""
    metric = verdict.claim.metric
    if not examples or verdict.n < 2 or metric not in ("test_error", "test_accuracy"):
        return verdict
    total: FloatArray | None = None  # seeds x examples: the contrast of the answers
    for name, weight in verdict.weights.items():
        rows = [examples.get((name, seed)) for seed in verdict.seeds]
        present = [row for row in rows if row is not None]
        if len(present) < len(rows) or len({len(row) for row in present}) != 1:
            return verdict
        part = weight * np.array(present, dtype=np.float64)
        if total is not None and total.shape != part.shape:
            return verdict
        total = part if total is None else total + part
    if total is None or total.shape[1] < 2:
        return verdict
    width = stats.compute_crossed_half_width(100.0 * total, (verdict.ci_high - verdict.ci_low) / 2, 1 - verdict.alpha)
    return replace(verdict, beyond=(verdict.mean - width, verdict.mean + width))

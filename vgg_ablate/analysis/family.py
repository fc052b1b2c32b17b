"""The judgement of the claims on one metric at one look: a family of tests.

The rule: differences are paired by seed, Student's t gives the interval of their mean, and Holm's correction covers the
study's claims on one metric. A claim is supported where the evidence puts the gain inside the claimed region, refuted
where it puts it outside. Gains are positive where side a is better than side b. Where all runs share their test
examples, the interval that decides covers the choice of the examples as well. decisions.py goes through the looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan, sqrt

import numpy as np
import pandas as pd

from vgg_ablate.analysis import power, stats
from vgg_ablate.analysis.counts import count_trained
from vgg_ablate.analysis.examples import CorrectExamples, add_examples
from vgg_ablate.analysis.methods import (
    METHODS,
    ContrastValues,
    MethodResult,
    VerdictWord,
    collect_contrast_values,
    collect_outcomes,
    collect_unpaired_values,
    judge_by_method,
)
from vgg_ablate.analysis.metrics import TIMED_METRICS, collect_by_seed, get_metric, get_sign
from vgg_ablate.analysis.sequential import Look
from vgg_ablate.analysis.stats import ALPHA, CrossedEstimate, Estimate
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS, Verdict
from vgg_ablate.config.claims import Claim
from vgg_ablate.formatting.text import count_noun, join_first

_MAX_LACKING = 3  # runs that the reason of a verdict lists

Contrasts = Mapping[str, Mapping[str, float]]  # claim id -> variant -> weight


def judge_family(
    claims: Sequence[Claim],
    frame: pd.DataFrame,
    seeds: Sequence[int],
    contrasts: Contrasts,
    look: Look,
    examples: CorrectExamples | None = None,
    *,
    unpaired: bool = False,
    own_seeds: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Verdict]:
    """Judge the claims on one metric that are open at a look, by the runs on `seeds`, the seeds of that look.

    With `unpaired`, the seeds of two variants are not the same, and Welch's t-test takes the place of the paired one.
    `own_seeds` are those of single claims (by id), where claims are not all about the same seeds.
    """
    if get_metric(claims[0].metric).is_exact:
        return _judge_exact_metric(claims, frame, contrasts)
    frame = frame[frame["seed"].isin(list(seeds))]  # later runs must not change what a look has decided
    if claims[0].metric == "trained":
        return _judge_counts(claims, frame, seeds, contrasts, look)
    return _judge_means(claims, frame, seeds, contrasts, look, examples, unpaired=unpaired, own_seeds=own_seeds or {})


def find_unseeded_variants(frame: pd.DataFrame) -> dict[str, str]:
    """Return a sentence on every variant whose results do not depend on the seed, by the variant's name.

    That is a bug of the program that trained them. Equal error counts alone are chance, since a test set of 360 images
    has few possible counts; the losses must be equal, too.
    """
    finished = frame[frame["outcome"] == "finished"]
    groups = finished.groupby("variant", sort=False)
    # Runs that other programs trained may have none of the columns.
    columns = [name for name in ("test_error", "val_error", "train_loss") if name in frame.columns]
    if not columns:
        return {}
    one_value = (groups[columns].nunique(dropna=False) == 1).all(axis=1)
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
        return Verdict(claim, weights, "inconclusive", reason, is_exact=True, is_complete=False)
    difference = float(sum(weight * float(known[name]) for name, weight in weights.items()))
    gain = get_sign(claim.metric) * (difference - (claim.published.value if claim.published else 0.0))
    gain += 0.0  # data frames show -0.0 as -0.0
    low, high = claim.region
    holds = not low <= gain <= high if claim.kind == "different" else low < gain < high
    return Verdict(
        claim,
        weights,
        "supported" if holds else "refuted",
        is_exact=True,
        mean=gain,
        sd=0.0,
        ci_low=gain,
        ci_high=gain,
        probability=float(holds),
    )


def _judge_counts(
    claims: Sequence[Claim], frame: pd.DataFrame, seeds: Sequence[int], contrasts: Contrasts, look: Look
) -> dict[str, Verdict]:
    """Judge claims on the runs that trained by an exact test of two counts, with Holm's correction over the family."""
    alpha = look.added_level  # the joint distribution of exact tests over looks is not known
    counted = {claim.id: count_trained(frame, contrasts[claim.id], seeds) for claim in claims}
    fewest = {name: min(counts.runs_a, counts.runs_b) for name, (counts, _) in counted.items()}
    p_values = [counted[claim.id][0].compute_p_value() if fewest[claim.id] >= FEWEST_SEEDS else 1.0 for claim in claims]
    judged = {}
    for claim, p, q in zip(claims, p_values, stats.adjust_holm(p_values), strict=True):
        counts, lacking = counted[claim.id]
        verdict = Verdict(claim, contrasts[claim.id], "inconclusive", alpha=alpha, family=look.family)
        if fewest[claim.id]:
            low, high = counts.compute_interval(1 - alpha)
            verdict = replace(verdict, counts=counts, mean=counts.difference, ci_low=low, ci_high=high)
        if lacking:
            judged[claim.id] = replace(verdict, reason=join_first(lacking, _MAX_LACKING, "; "))
        elif fewest[claim.id] < FEWEST_SEEDS:
            reason = f"{count_noun(fewest[claim.id], 'runs')} on a side; a verdict needs at least {FEWEST_SEEDS}"
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
    claims: Sequence[Claim],
    frame: pd.DataFrame,
    seeds: Sequence[int],
    contrasts: Contrasts,
    look: Look,
    examples: CorrectExamples | None,
    *,
    unpaired: bool,
    own_seeds: Mapping[str, Sequence[int]],
) -> dict[str, Verdict]:
    """Judge claims on the mean of a metric that varies with the seed."""
    unseeded = find_unseeded_variants(frame)
    values = _collect_values(claims, frame, seeds, contrasts, unpaired=unpaired, own_seeds=own_seeds)
    by_method = {
        method: judge_by_method(claims, [values[claim.id].estimate(method) for claim in claims], look)
        for method in METHODS
    }
    crossed = [
        add_examples(claim, result.estimate, contrasts[claim.id], values[claim.id].seeds, examples)
        if not values[claim.id].method_name
        else result.estimate
        for claim, result in zip(claims, by_method["paired"], strict=True)
    ]
    deciding = judge_by_method(claims, crossed, look)
    judged = {}
    for index, claim in enumerate(claims):
        contrast, paired = values[claim.id], by_method["paired"][index]
        verdict = _build_verdict(claim, contrasts[claim.id], contrast, deciding[index], look)
        if reason := _check_devices(verdict, frame) or _find_obstacle(verdict, contrast, unseeded):
            judged[claim.id] = replace(verdict, verdict="inconclusive", reason=reason)
            continue
        words: dict[str, VerdictWord] = {method: by_method[method][index].word for method in METHODS}
        judged[claim.id] = replace(
            verdict,
            verdict=_apply_smallest_effect(claim, deciding[index], look),
            sensitivity={} if verdict.method else words,
            on_test_set=None if verdict.beyond is None else _apply_smallest_effect(claim, paired, look),
        )
    return judged


def _collect_values(
    claims: Sequence[Claim],
    frame: pd.DataFrame,
    seeds: Sequence[int],
    contrasts: Contrasts,
    *,
    unpaired: bool,
    own_seeds: Mapping[str, Sequence[int]],
) -> dict[str, ContrastValues]:
    """Return the values that every claim compares, by the claim's id."""
    metric = claims[0].metric
    table, outcomes = collect_by_seed(frame, metric), collect_outcomes(frame, metric)
    values = {}
    for claim in claims:
        weights, own = contrasts[claim.id], own_seeds.get(claim.id, seeds)
        if unpaired:
            values[claim.id] = collect_unpaired_values(weights, table, outcomes, metric)
        else:
            values[claim.id] = collect_contrast_values(weights, table, outcomes, own, metric)
        if claim.published is not None:
            values[claim.id] = values[claim.id]._replace(published=claim.published, published_sign=get_sign(metric))
    return values


def _apply_smallest_effect(claim: Claim, result: MethodResult, look: Look) -> VerdictWord:
    """Return the verdict, which is "no difference" where an undecided claim's interval is within the smallest effect.

    The interval has Bonferroni's level for the family, not Holm's: the step of a claim in Holm's order depends on its
    p-value against the edges of the claim, which does not depend on the smallest effect.
    """
    smallest = claim.smallest_effect
    if result.word != "inconclusive" or not smallest or result.estimate is None:
        return result.word
    return "no difference" if _compute_excluded(result.estimate, look) < smallest else "inconclusive"


def _compute_excluded(estimate: Estimate | CrossedEstimate, look: Look) -> float:
    """Return the difference beyond which, in either direction, every one is excluded at the level of the family."""
    return float(np.max(np.abs(estimate.compute_interval(1 - look.family_level))))


def _find_obstacle(verdict: Verdict, values: ContrastValues, unseeded: Mapping[str, str]) -> str:
    """Return why no verdict can be given, whatever the numbers; empty where one can."""
    for name in verdict.weights:
        if name in unseeded and len(values.seeds) >= FEWEST_SEEDS:
            return unseeded[name]
    # A mean over the runs that are left is biased: a net that diverges on hard seeds would look good on the others.
    if values.lacking:
        return join_first(values.lacking, _MAX_LACKING, "; ")
    if verdict.n < FEWEST_SEEDS:
        count = count_noun(verdict.n, "runs" if values.samples else "seeds")
        return f"{count}; a verdict needs at least {FEWEST_SEEDS}"
    if verdict.sd == 0:
        return "the difference is the same on every seed: its spread cannot be estimated"
    return ""


def _check_devices(verdict: Verdict, frame: pd.DataFrame) -> str:
    """Return the reason why times cannot be compared: they were measured on several devices; else empty."""
    if verdict.claim.metric not in TIMED_METRICS or "device_name" not in frame.columns:
        return ""
    runs = frame[frame["variant"].isin(list(verdict.weights)) & (frame["outcome"] == "finished")]
    devices = sorted({str(name) for name in runs["device_name"]})
    return f"measured on several devices: {', '.join(devices)}" if len(devices) > 1 else ""


def _build_verdict(
    claim: Claim, weights: Mapping[str, float], values: ContrastValues, result: MethodResult, look: Look
) -> Verdict:
    alpha, estimate, differences = look.level, result.estimate, values.differences
    verdict = Verdict(claim, weights, result.word, seeds=values.seeds, alpha=alpha, family=look.family)
    verdict = replace(verdict, run_counts=values.run_counts, method=values.method_name)
    if estimate is None:
        return replace(verdict, mean=float(differences[0])) if len(differences) else verdict
    over_seeds = estimate.seeds if isinstance(estimate, CrossedEstimate) else estimate
    low, high = over_seeds.compute_interval(1 - alpha)
    sd = float(over_seeds.se) * sqrt(verdict.n)
    return replace(
        verdict,
        mean=float(estimate.mean),
        sd=sd,
        ci_low=float(low),
        ci_high=float(high),
        p=result.p,
        q=result.q,
        probability=_compute_probability(claim, estimate, over_seeds),
        wins=int((differences > 0).sum()),
        hedges_g=nan if verdict.method else stats.compute_hedges_g(float(estimate.mean), values.values),
        detectable=nan if verdict.method else power.compute_detectable_difference(sd, verdict.n, alpha),
        excluded=_compute_excluded(estimate, look),
        seeds_needed=None if verdict.method else _compute_seeds_needed(claim, sd, look.family),
        beyond=estimate.compute_interval(1 - alpha) if isinstance(estimate, CrossedEstimate) else None,
        estimate=estimate,
    )


def _compute_probability(claim: Claim, estimate: Estimate | CrossedEstimate, over_seeds: Estimate) -> float:
    if float(over_seeds.se) == 0:
        return nan
    inside = float(estimate.compute_probability(claim.region))
    return 1 - inside if claim.kind == "different" else inside


def _compute_seeds_needed(claim: Claim, sd: float, family: int) -> int | None:
    """Return the number of seeds that find a difference of the smallest effect, at Holm's hardest step.

    It depends on the spread alone. Computed from an observed mean it varies too much: for a net that was compared with
    itself, it was 27, 146 and 932 seeds.
    """
    if not claim.smallest_effect or not sd > 0:
        return None
    return power.compute_seeds_needed(claim.smallest_effect, sd, ALPHA / family)

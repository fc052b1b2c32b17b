"""Claims and runs -> verdicts: supported, refuted or inconclusive, each with all that it rests on.

The rule is the design's, section 6: the difference is paired by seed, an interval of Student's t says where it lies,
and Holm's correction covers the study's claims on one metric. Gains are positive where `a` is better than `b`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan, sqrt

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
from vgg_ablate.analysis.metrics import TIMED_METRICS, collect_by_seed, find_excluded_runs, get_sign
from vgg_ablate.analysis.stats import Estimate, FloatArray
from vgg_ablate.config.claims import EXACT_METRICS, Claim, FactorLevels, TrendQuantities

ALPHA = 0.05
FEWEST_SEEDS = 3

Contrasts = Mapping[str, Mapping[str, float]]  # claim's id -> variant -> weight
CorrectExamples = Mapping[
    tuple[str, int], NDArray[np.bool_]
]  # (variant, seed) -> was each test example classified rightly?


@dataclass(frozen=True)
class HorizonVerdict:
    """What a claim comes to at one level of the study's horizons."""

    mean: float
    ci_low: float
    ci_high: float
    verdict: VerdictWord
    complete: bool  # has every run that it is about a record?


@dataclass(frozen=True)
class Verdict:
    """What the runs say about a claim. Gains are in percentage points for errors and accuracies, else in the metric's
    unit; NaN where there is nothing to compute them from."""

    claim: Claim
    weights: Mapping[str, float]  # of every variant in the difference
    verdict: VerdictWord
    reason: str = ""  # of an inconclusive verdict, beyond "the interval straddles an edge"
    exact: bool = False
    seeds: tuple[int, ...] = ()  # that every variant has finished, at the look
    look: int = 0  # planned seeds at the look that this verdict is from
    looks: tuple[int, ...] = ()
    alpha: float = ALPHA  # spent at this look; the interval's level is 1 - alpha
    mean: float = nan
    sd: float = nan  # of the differences, over seeds
    ci_low: float = nan
    ci_high: float = nan
    p: float = nan
    q: float = nan  # Holm's, over the study's claims on the metric
    family: int = 1  # how many claims those are
    probability: float = nan  # P(the difference is as claimed | data)
    wins: int = 0  # seeds on which a is better
    hedges_g: float = nan
    detectable: float = nan  # the smallest difference that so many seeds see with 80 % power
    seeds_to_decide: int | None = None
    sensitivity: Mapping[str, VerdictWord] = field(default_factory=dict)  # method -> the verdict by it
    beyond: tuple[float, float] | None = None  # the interval where the test set's examples are a sample too
    counts: TrainedCounts | None = None  # of a claim on the runs that trained
    complete: bool = True  # has every run that it is about a record, at the look?
    horizons: Mapping[str, HorizonVerdict] = field(
        default_factory=dict
    )  # level -> what is found there; the last decides
    stable: bool | None = None  # do the two longest horizons have one verdict? None: not both are recorded

    @property
    def n(self) -> int:
        """Seeds that the estimate rests on."""
        return len(self.seeds)

    @property
    def interval_word(self) -> str:
        """A finer word: where the interval lies between worse, negligible and better."""
        if self.counts is not None:  # by the test: the interval can disagree with it at the edge
            side = "more" if self.mean > 0 else "fewer"
            return "unclear" if self.verdict == "inconclusive" else f"{side} of its runs trained"
        return _finer(self.ci_low, self.ci_high, self.claim.margin)


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
    """The verdict on every claim, from runs as `report.frame.frame` lists them.

    `seeds` are those that the study plans; `looks` counts of them at which it is judged (one, at the end, unless
    given); `levels` of the variants are needed for claims over factors, `quantities` for trends. Raises Wrong where a
    claim names no variant, or a trend has no slope.
    """
    levels = levels if levels is not None else {str(name): {} for name in frame["variant"].unique()}
    looks = tuple(looks or (len(seeds),))
    contrasts = {claim.id: claim.compute_contrast(levels, quantities) for claim in claims}
    judged: dict[str, Verdict] = {}
    for metric in dict.fromkeys(claim.metric for claim in claims):
        family = [claim for claim in claims if claim.metric == metric]
        if metric in EXACT_METRICS:
            judged |= _exact(family, frame, contrasts)
        else:
            judged |= _at_looks(family, frame, seeds, contrasts, looks)
    return tuple(_beyond(judged[claim.id], examples) for claim in claims)


def split_alpha_over_looks(looks: Sequence[int]) -> list[float]:
    """The error rate that each look may spend: in proportion to the seeds that it adds, so that they sum to ALPHA."""
    return [ALPHA * (now - before) / looks[-1] for before, now in zip((0, *looks), looks, strict=False)]


def find_unseeded_variants(frame: pd.DataFrame) -> dict[str, str]:
    """Variants whose finished runs are the same for all of three or more seeds, in every number that a seed moves."""
    finished = frame[frame["outcome"] == "finished"]
    groups = finished.groupby("variant", sort=False)
    one_value = (groups[["test_error", "val_error", "train_loss"]].nunique(dropna=False) == 1).all(axis=1)
    same = one_value[one_value & (groups.size() >= FEWEST_SEEDS)].index
    return {str(name): f"seeds not applied: {name} has the same test error and losses on every seed" for name in same}


def _exact(claims: Sequence[Claim], frame: pd.DataFrame, contrasts: Contrasts) -> dict[str, Verdict]:
    """Params, macs and activations are the same on every seed: compared as they are."""
    known = frame.dropna(subset=[claims[0].metric]).groupby("variant")[claims[0].metric].first()
    return {claim.id: _exactly(claim, contrasts[claim.id], known) for claim in claims}


def _exactly(claim: Claim, weights: Mapping[str, float], known: pd.Series[float]) -> Verdict:
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


def _at_looks(
    claims: Sequence[Claim], frame: pd.DataFrame, seeds: Sequence[int], contrasts: Contrasts, looks: tuple[int, ...]
) -> dict[str, Verdict]:
    """The first look at which a claim is decided stands; else the last look that has been reached."""
    alphas = split_alpha_over_looks(looks)
    reached = [count for count in looks if _recorded(frame, seeds[:count])] or [looks[0]]
    judged: dict[str, Verdict] = {}
    for count, alpha in zip(reached, alphas, strict=False):
        family = _counted if claims[0].metric == "trained" else _family
        now = family(claims, frame, seeds[:count], contrasts, alpha)
        for claim in claims:
            if claim.id not in judged or judged[claim.id].verdict == "inconclusive":
                own = frame[frame["variant"].isin(list(contrasts[claim.id]))]
                complete = bool(len(own)) and _recorded(own, seeds[:count])
                judged[claim.id] = replace(now[claim.id], look=count, looks=looks, complete=complete)
    return judged


def _recorded(frame: pd.DataFrame, seeds: Sequence[int]) -> bool:
    return not bool(((frame["outcome"] == "missing") & frame["seed"].isin(list(seeds))).any())


def _counted(
    claims: Sequence[Claim], frame: pd.DataFrame, seeds: Sequence[int], contrasts: Contrasts, alpha: float
) -> dict[str, Verdict]:
    """Claims on the runs that trained: an exact test of two counts, and Holm over the family."""
    found = {claim.id: count_trained(frame, contrasts[claim.id], seeds) for claim in claims}
    few = {name: min(counts.runs_a, counts.runs_b) for name, (counts, _) in found.items()}
    p_values = [found[claim.id][0].p_value() if few[claim.id] >= FEWEST_SEEDS else 1.0 for claim in claims]
    judged = {}
    for claim, p, q in zip(claims, p_values, stats.adjust_holm(p_values), strict=True):
        counts, lacking = found[claim.id]
        verdict = Verdict(claim, contrasts[claim.id], "inconclusive", alpha=alpha, family=len(claims))
        if min(counts.runs_a, counts.runs_b):
            low, high = counts.interval(1 - alpha)
            verdict = replace(verdict, counts=counts, mean=counts.difference, ci_low=low, ci_high=high)
        if lacking:
            judged[claim.id] = replace(verdict, reason=_listed(lacking))
        elif few[claim.id] < FEWEST_SEEDS:
            reason = f"{few[claim.id]} runs on a side; a verdict needs at least {FEWEST_SEEDS}"
            judged[claim.id] = replace(verdict, reason=reason)
        else:
            word = _word_of_counts(claim, counts.difference, float(q), alpha)
            judged[claim.id] = replace(verdict, verdict=word, seeds=tuple(seeds), p=p, q=float(q))
    return judged


def _word_of_counts(claim: Claim, difference: float, q: float, alpha: float) -> VerdictWord:
    """A difference that the test finds supports the claim or refutes it by its direction alone."""
    if q > alpha or difference == 0:
        return "inconclusive"
    return "supported" if claim.kind == "different" or (difference > 0) == (claim.kind == "better") else "refuted"


def _family(
    claims: Sequence[Claim], frame: pd.DataFrame, seeds: Sequence[int], contrasts: Contrasts, alpha: float
) -> dict[str, Verdict]:
    metric = claims[0].metric
    table = collect_by_seed(frame, metric)
    outcomes = _outcomes(frame, metric)
    same = find_unseeded_variants(frame)
    cells = {claim.id: collect_contrast_values(contrasts[claim.id], table, outcomes, seeds, metric) for claim in claims}
    by_method = {
        method: judge_by_method(claims, [estimate_gain(cells[claim.id], method) for claim in claims], alpha)
        for method in METHODS
    }
    judged = {}
    for index, claim in enumerate(claims):
        verdict = _described(claim, contrasts[claim.id], cells[claim.id], by_method["paired"][index], alpha)
        reason = _machines(verdict, frame) or _hindrance(verdict, cells[claim.id], same)
        if reason:
            verdict = replace(verdict, verdict="inconclusive", reason=reason)
        else:
            verdict = replace(verdict, sensitivity={m: by_method[m][index].word for m in METHODS})
        if not reason or not cells[claim.id].lacking:
            verdict = replace(verdict, seeds_to_decide=_more_seeds(verdict, len(claims)))
        judged[claim.id] = replace(verdict, family=len(claims))
    return judged


def _outcomes(frame: pd.DataFrame, metric: str) -> dict[tuple[str, int], str]:
    """(variant, seed) -> what became of the run; `LEFT_OUT` where it finished and the metric leaves it out."""
    told = frame["outcome"].mask((frame["outcome"] == "finished") & find_excluded_runs(frame, metric), LEFT_OUT)
    return {
        (str(variant), int(seed)): str(outcome)
        for variant, seed, outcome in zip(frame["variant"], frame["seed"], told, strict=True)
    }


def _hindrance(verdict: Verdict, cells: ContrastValues, same: Mapping[str, str]) -> str:
    """Why no verdict can be given, whatever the numbers; empty where one can."""
    for name in verdict.weights:
        if name in same and len(cells.seeds) >= FEWEST_SEEDS:
            return same[name]
    if cells.lacking:
        return _listed(cells.lacking)
    if len(cells.seeds) < FEWEST_SEEDS:
        return f"{len(cells.seeds)} seed{'s' * (len(cells.seeds) != 1)}; a verdict needs at least {FEWEST_SEEDS}"
    if verdict.sd == 0:
        return "the difference is the same on every seed: its spread cannot be estimated"
    return ""


def _listed(lacking: Sequence[str]) -> str:
    return "; ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")


def _machines(verdict: Verdict, frame: pd.DataFrame) -> str:
    """Seconds and images per second are compared on one device only."""
    if verdict.claim.metric not in TIMED_METRICS or "device_name" not in frame.columns:
        return ""
    runs = frame[frame["variant"].isin(list(verdict.weights)) & (frame["outcome"] == "finished")]
    devices = sorted({str(name) for name in runs["device_name"]})
    return f"measured on several devices: {', '.join(devices)}" if len(devices) > 1 else ""


def _described(
    claim: Claim, weights: Mapping[str, float], cells: ContrastValues, tried: MethodResult, alpha: float
) -> Verdict:
    verdict = Verdict(claim, weights, tried.word, seeds=cells.seeds, alpha=alpha)
    differences = cells.differences
    if tried.estimate is None:
        return replace(verdict, mean=float(differences[0])) if len(differences) else verdict
    low, high = tried.estimate.interval(1 - alpha)
    sd = float(tried.estimate.se) * sqrt(len(differences))
    return replace(
        verdict,
        mean=float(tried.estimate.mean),
        sd=sd,
        ci_low=float(low),
        ci_high=float(high),
        p=tried.p,
        q=tried.q,
        probability=_probability(claim, tried.estimate),
        wins=int((differences > 0).sum()),
        hedges_g=stats.compute_hedges_g(float(tried.estimate.mean), cells.values),
        detectable=power.compute_detectable_difference(sd, len(cells.seeds), alpha),
    )


def _probability(claim: Claim, estimate: Estimate) -> float:
    if float(estimate.se) == 0:
        return nan
    inside = float(estimate.probability(claim.region))
    return 1 - inside if claim.kind == "different" else inside


def _more_seeds(verdict: Verdict, family: int) -> int | None:
    """For an inconclusive verdict: at Holm's hardest step, so that the answer is never too few."""
    if verdict.verdict != "inconclusive" or not verdict.sd > 0 or verdict.n < 2:
        return None
    alpha = verdict.alpha / family
    return power.compute_seeds_to_decide(verdict.claim.region, verdict.mean, verdict.sd, verdict.n, alpha)


def _finer(low: float, high: float, margin: float) -> str:
    if np.isnan(low):
        return "unknown"
    if margin > 0 and -margin < low and high < margin:
        return "negligible"
    if low > 0:
        return "clearly better" if low >= margin else "better, size unclear"
    if high < 0:
        return "clearly worse" if high <= -margin else "worse, size unclear"
    return "unclear"


def _beyond(verdict: Verdict, examples: CorrectExamples | None) -> Verdict:
    """With the second interval, where every test example of every run is known and the runs share one test set."""
    metric = verdict.claim.metric
    if not examples or verdict.n < 2 or metric not in ("test_error", "test_accuracy"):
        return verdict
    total: FloatArray | None = None
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
    half = stats.compute_crossed_half_width(100.0 * total, (verdict.ci_high - verdict.ci_low) / 2, 1 - verdict.alpha)
    return replace(verdict, beyond=(verdict.mean - half, verdict.mean + half))

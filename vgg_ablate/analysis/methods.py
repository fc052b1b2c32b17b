"""One metric's claims by one method: paired by seed, Welch's, or pooled. The verdict is the paired one's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.metrics import TIMED_METRICS, get_sign
from vgg_ablate.analysis.stats import Estimate, FloatArray
from vgg_ablate.config.claims import Claim

Method = Literal["paired", "welch", "pooled"]
METHODS: tuple[Method, ...] = ("paired", "welch", "pooled")

LEFT_OUT = "left out"  # the outcome of a finished run that the metric leaves out: stalled, or disturbed
VerdictWord = Literal["supported", "refuted", "inconclusive"]


class ContrastValues(NamedTuple):
    """The metric of the runs that a claim is about, at one look."""

    values: FloatArray  # variants x seeds, over the seeds that all of the variants have finished
    weights: FloatArray  # of the variants, with the sign that makes a gain of a positive
    seeds: tuple[int, ...]
    lacking: tuple[str, ...]  # "five: seed 3 diverged"

    @property
    def differences(self) -> FloatArray:
        """The gain of every seed."""
        return stats.round_off_noise(self.weights @ self.values)


def collect_contrast_values(
    weights: Mapping[str, float],
    table: Mapping[str, Mapping[int, float]],
    outcomes: Mapping[tuple[str, int], str],
    seeds: Sequence[int],
    metric: str,
) -> ContrastValues:
    """Of the variants that a claim weighs, over the planned seeds; what is lacking is told with its outcome."""
    names = list(weights)
    why = "waited for the processor" if metric in TIMED_METRICS else "stayed at chance level"
    counts = {name: [outcomes.get((name, seed)) for seed in seeds].count(LEFT_OUT) for name in names}
    left_out = [f"{name}: {count} of {len(seeds)} runs {why}" for name, count in counts.items() if count]
    whole = tuple(seed for seed in seeds if all(seed in table.get(name, {}) for name in names))
    lacking = (
        *left_out,
        *(
            f"{name}: seed {seed} {_said(outcomes.get((name, seed), 'missing'), metric)}"
            for name in names
            for seed in seeds
            if seed not in table.get(name, {}) and outcomes.get((name, seed)) != LEFT_OUT
        ),
    )
    values = np.array([[table[name][seed] for seed in whole] for name in names if whole], dtype=np.float64)
    signed = get_sign(metric) * np.array([weights[name] for name in names])
    return ContrastValues(values.reshape(len(names), len(whole)), signed, whole, lacking)


def estimate_gain(cells: ContrastValues, method: Method) -> Estimate | None:
    """The gain by a method; None with fewer than two seeds."""
    if len(cells.seeds) < 2:
        return None
    if method == "paired":
        return stats.estimate_paired(cells.differences)
    return (stats.estimate_welch if method == "welch" else stats.estimate_pooled)(cells.values, cells.weights)


class MethodResult(NamedTuple):
    """What one method says of a claim."""

    estimate: Estimate | None
    p: float
    q: float
    word: VerdictWord


def judge_by_method(claims: Sequence[Claim], estimates: Sequence[Estimate | None], alpha: float) -> list[MethodResult]:
    """Every claim of a family by one method; a claim without an estimate counts with p = 1."""
    found = [_evidence(claim, estimate) for claim, estimate in zip(claims, estimates, strict=True)]
    q = stats.adjust_holm([one.p for one in found])
    return [
        MethodResult(estimate, float(one.p), float(adjusted), choose_verdict_word(one, float(adjusted), alpha))
        for estimate, one, adjusted in zip(estimates, found, q, strict=True)
    ]


def choose_verdict_word(evidence: stats.Evidence, q: float, alpha: float) -> VerdictWord:
    """The verdict where nothing stands in its way."""
    if q > alpha:
        return "inconclusive"
    return "supported" if evidence.supporting < evidence.refuting else "refuted"


def _evidence(claim: Claim, estimate: Estimate | None) -> stats.Evidence:
    if estimate is None or float(estimate.se) == 0:
        return stats.Evidence(np.float64(1), np.float64(1), np.float64(1))  # type: ignore[arg-type]
    return stats.compute_evidence(estimate, claim.region, outside=claim.kind == "different")


def _said(outcome: str, metric: str) -> str:
    return f"has no {metric}" if outcome == "finished" else outcome.replace("_", " ")

"""The claims on one metric, judged by one method: paired by seed, Welch's or pooled t.

The paired method decides the verdict. The other two are reported beside it, so that a reader sees whether the verdict
depends on the method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.metrics import TIMED_METRICS, find_excluded_runs, get_sign
from vgg_ablate.analysis.sequential import Look
from vgg_ablate.analysis.stats import CrossedEstimate, Estimate, FloatArray
from vgg_ablate.config.claims import Claim
from vgg_ablate.config.published import PublishedValue
from vgg_ablate.formatting.text import count_noun

Method = Literal["paired", "welch", "pooled"]
METHODS: tuple[Method, ...] = ("paired", "welch", "pooled")
VerdictWord = Literal["supported", "refuted", "no difference", "inconclusive"]

LEFT_OUT = "left out"  # stands for the outcome of a finished run that means leave out: stalled, or disturbed


class ContrastValues(NamedTuple):
    """The values of one metric that a claim compares, at one look."""

    values: FloatArray  # variants x seeds, over the seeds that every variant has finished
    weights: FloatArray  # one per variant, signed so that a positive contrast is a gain of side a
    seeds: tuple[int, ...]
    lacking: tuple[str, ...]  # runs without a value: "five: seed 3 diverged"
    samples: tuple[FloatArray, ...] = ()  # of runs that share no seeds: the values of each variant, instead of `values`
    published: PublishedValue | None = None  # side b
    published_sign: int = 1  # that of the metric

    @property
    def differences(self) -> FloatArray:
        """The gain of side a on every seed; empty for runs that share no seeds."""
        return stats.round_off_noise(self.weights @ self.values - self._offset)

    @property
    def _offset(self) -> float:
        return self.published_sign * self.published.value if self.published is not None else 0.0

    @property
    def run_counts(self) -> tuple[int, ...]:
        """The number of runs of each variant whose runs share no seeds."""
        return tuple(map(len, self.samples))

    @property
    def method_name(self) -> str:
        """The name of the test that decides; empty for the paired t-test, which is the usual one."""
        if self.published is not None:
            return "one-sample t-test" if self.published.sd is None else "Welch's t-test"
        return "Welch's t-test" if self.samples else ""

    def estimate(self, method: Method) -> Estimate | None:
        """Estimate the gain; None with fewer than two runs of a variant. A published value has one method only."""
        if self.samples:
            gain = stats.estimate_welch(self.samples, self.weights) if min(self.run_counts) > 1 else None
        elif len(self.seeds) < 2:
            gain = None
        elif method == "paired" or self.published is not None:
            gain = stats.estimate_paired(self.weights @ self.values if self.published else self.differences)
        else:
            estimate = stats.estimate_welch if method == "welch" else stats.estimate_pooled
            gain = estimate(self.values, self.weights)
        if gain is None or self.published is None:
            return gain
        other = (self.published.value, self.published.sd or 0.0, self.published.n or 1)
        return stats.subtract_published(gain, self.published_sign * other[0], other[1], other[2])


def collect_contrast_values(
    weights: Mapping[str, float],
    table: Mapping[str, Mapping[int, float]],
    outcomes: Mapping[tuple[str, int], str],
    seeds: Sequence[int],
    metric: str,
) -> ContrastValues:
    """Collect the values of the variants that a claim weighs, over the planned seeds.

    `table` maps variant and seed to the metric, `outcomes` variant and seed to what became of the run. Runs without a
    value are listed with their outcome; runs that the metric leaves out are counted per variant.
    """
    names = list(weights)
    reason = "waited for the processor" if metric in TIMED_METRICS else "stayed at chance level"
    excluded = {name: [outcomes.get((name, seed)) for seed in seeds].count(LEFT_OUT) for name in names}
    planned = count_noun(len(seeds), "runs")
    lacking = [f"{name}: {count} of {planned} {reason}" for name, count in excluded.items() if count]
    lacking += [
        f"{name}: seed {seed} {_describe_outcome(outcomes.get((name, seed), 'missing'), metric)}"
        for name in names
        for seed in seeds
        if seed not in table.get(name, {}) and outcomes.get((name, seed)) != LEFT_OUT
    ]
    shared = tuple(seed for seed in seeds if all(seed in table.get(name, {}) for name in names))
    values = np.array([[table[name][seed] for seed in shared] for name in names if shared], dtype=np.float64)
    signed = get_sign(metric) * np.array([weights[name] for name in names])
    return ContrastValues(values.reshape(len(names), len(shared)), signed, shared, tuple(lacking))


def collect_unpaired_values(
    weights: Mapping[str, float],
    table: Mapping[str, Mapping[int, float]],
    outcomes: Mapping[tuple[str, int], str],
    metric: str,
) -> ContrastValues:
    """Collect the values of the variants that a claim weighs from runs that share no seeds.

    Runs without a value are listed as `collect_contrast_values` lists them.
    """
    lacking = [
        f"{name}: seed {seed} {_describe_outcome(outcome, metric)}"
        for (name, seed), outcome in outcomes.items()
        if name in weights and seed not in table.get(name, {})
    ]
    lacking += [f"{name}: no run" for name in weights if name not in table]
    samples = tuple(np.array(list(table.get(name, {}).values()), dtype=np.float64) for name in weights)
    signed = get_sign(metric) * np.array(list(weights.values()))
    return ContrastValues(np.empty((len(weights), 0)), signed, (), tuple(lacking), samples)


def collect_outcomes(frame: pd.DataFrame, metric: str) -> dict[tuple[str, int], str]:
    """Return outcomes by variant and seed; LEFT_OUT where the run finished and means of the metric leave it out."""
    excluded = (frame["outcome"] == "finished") & find_excluded_runs(frame, metric)
    outcomes = frame["outcome"].mask(excluded, LEFT_OUT)
    return {
        (str(variant), int(seed)): str(outcome)
        for variant, seed, outcome in zip(frame["variant"], frame["seed"], outcomes, strict=True)
    }


class MethodResult(NamedTuple):
    """The estimate, p-value, Holm's q and verdict of one claim by one method."""

    estimate: Estimate | CrossedEstimate | None
    p: float
    q: float
    word: VerdictWord


def judge_by_method(
    claims: Sequence[Claim], estimates: Sequence[Estimate | CrossedEstimate | None], look: Look
) -> list[MethodResult]:
    """Judge the claims of a family that are open at a look from their estimates by one method."""
    evidences = [_compute_evidence(claim, estimate) for claim, estimate in zip(claims, estimates, strict=True)]
    q_values = look.adjust([float(evidence.p) for evidence in evidences])
    return [
        MethodResult(estimate, float(evidence.p), q, choose_verdict_word(evidence, q, look.level))
        for estimate, evidence, q in zip(estimates, evidences, q_values, strict=True)
    ]


def choose_verdict_word(evidence: stats.Evidence, q: float, level: float) -> VerdictWord:
    """Return the verdict by Holm's q, before it is known whether anything else makes the claim inconclusive."""
    if q > level:
        return "inconclusive"
    return "supported" if evidence.supporting < evidence.refuting else "refuted"


def _compute_evidence(claim: Claim, estimate: Estimate | CrossedEstimate | None) -> stats.Evidence:
    # A claim that cannot be tested stays in the family with p = 1: Holm's correction must not get milder because a run
    # of another claim has failed.
    if estimate is None or float(estimate.se) == 0:
        return stats.Evidence(np.float64(1), np.float64(1), np.float64(1))  # type: ignore[arg-type]
    return stats.compute_evidence(estimate, claim.region, outside=claim.kind == "different")


def _describe_outcome(outcome: str, metric: str) -> str:
    return f"has no {metric}" if outcome == "finished" else outcome.replace("_", " ")

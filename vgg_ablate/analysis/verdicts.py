"""The verdict on a claim, with the numbers that it rests on.

A claim is supported, refuted, without a difference that matters, or inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan

import numpy as np

from vgg_ablate.analysis.counts import TrainedCounts
from vgg_ablate.analysis.methods import VerdictWord
from vgg_ablate.analysis.stats import ALPHA, CrossedEstimate, Estimate
from vgg_ablate.config.claims import Claim

FEWEST_SEEDS = 3  # with two, the t distribution has one degree of freedom and decides next to nothing


@dataclass(frozen=True)
class HorizonVerdict:
    """The verdict on a claim at one level of the study's horizons."""

    mean: float
    ci_low: float
    ci_high: float
    verdict: VerdictWord
    is_complete: bool  # every run that the claim is about has a record


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
    is_exact: bool = False
    seeds: tuple[int, ...] = ()  # those that every variant has finished, at the look
    run_counts: tuple[int, ...] = ()  # runs of every variant, where they share no seeds
    method: str = ""  # the test that decides, where it is not the paired t-test
    look: int = 0  # planned seeds at the look that this verdict is from
    looks: tuple[int, ...] = ()
    alpha: float = ALPHA  # level of this look; the interval has level 1 - alpha
    power: float = nan  # probability that a later look decides an open claim, if the differences go on as they are
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
    excluded: float = nan  # larger differences, of either sign, are excluded at the level of the family
    seeds_needed: int | None = None  # that find a difference of the smallest effect with 80 % power; None: unknown
    sensitivity: Mapping[str, VerdictWord] = field(default_factory=dict)  # method -> the verdict by it
    beyond: tuple[float, float] | None = None  # the interval where the test examples are a sample, too; it decides
    on_test_set: VerdictWord | None = None  # the verdict by the seeds alone, where `beyond` decides
    estimate: Estimate | CrossedEstimate | None = field(default=None, repr=False, compare=False)  # that decides
    counts: TrainedCounts | None = None  # of a claim on the runs that trained
    is_complete: bool = True  # every run that it is about has a record, at the look
    horizons: Mapping[str, HorizonVerdict] = field(default_factory=dict)  # level -> verdict; the last level decides
    is_stable: bool | None = None  # the two longest horizons have the same verdict; None where one is not recorded

    @property
    def n(self) -> int:
        """Number of seeds that the estimate rests on; of runs that share none, that of the variant with fewest."""
        return min(self.run_counts) if self.run_counts else len(self.seeds)

    @property
    def is_decided(self) -> bool:
        """Whether the claim needs no further look."""
        return self.verdict != "inconclusive"

    @property
    def is_small(self) -> bool:
        """Whether the difference has a sign, yet is smaller than what matters."""
        smallest = self.claim.smallest_effect
        has_sign = self.verdict in ("supported", "refuted") and (self.ci_low > 0 or self.ci_high < 0)
        return has_sign and smallest is not None and self.excluded < smallest

    @property
    def interval_word(self) -> str:
        """The position of the interval between worse, negligible and better, in words."""
        if self.counts is not None:  # decided by the exact test: the interval can disagree with it near 0
            side = "more" if self.mean > 0 else "fewer"
            return "unclear" if self.verdict == "inconclusive" else f"{side} of its runs trained"
        return _choose_interval_word(self.ci_low, self.ci_high, self.claim.margin)


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

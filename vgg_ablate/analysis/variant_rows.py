"""The results of each variant: errors over its seeds, differences to the base, costs, times and outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import pandas as pd

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.frame import NOT_NEEDED
from vgg_ablate.analysis.metrics import (
    TIMED_METRICS,
    collect_by_seed,
    find_excluded_runs,
    find_stalled_runs,
    get_scale,
)
from vgg_ablate.analysis.stats import ALPHA
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS
from vgg_ablate.config.variants import Variant

PRIMARY_METRIC = "test_error"  # of the comparison table, the figures and the effects, whatever is claimed
_SECONDARY_METRICS = ("test_accuracy", "val_error", "val_accuracy", "test_top5_error", "train_error")
COST_NAMES = ("params", "macs", "activations", "receptive_field")


@dataclass(frozen=True)
class MetricSummary:
    """Mean and standard deviation over the finished seeds of a variant (errors and accuracies in percent)."""

    n: int
    mean: float = nan  # NaN without a seed
    sd: float = nan  # NaN with fewer than two


@dataclass(frozen=True)
class TimeRange:
    """The median, the smallest and the largest of a duration or a rate over `n` runs."""

    n: int
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """A variant minus another, paired by seed, in percentage points or the metric's unit, with its 95 % interval."""

    n: int
    mean: float = nan
    sd: float = nan
    low: float = nan
    high: float = nan


@dataclass(frozen=True)
class VariantRow:
    """The results of one variant: a row of the comparison table."""

    variant: Variant
    is_base: bool
    planned: int  # number of seeds that are needed
    outcomes: Mapping[str, int]  # outcome -> number of runs, without `finished`
    error: MetricSummary  # of PRIMARY_METRIC
    to_base: PairedDifference
    group: int | None  # 1: the lowest error and all that is not separable from it; 2: the same among the rest; ...
    costs: Mapping[str, int]  # params, macs, activations, receptive_field; empty where they are unknown
    metrics: Mapping[str, MetricSummary]  # every other error and accuracy that has values
    times: Mapping[str, TimeRange]  # timed metrics, of undisturbed runs
    devices: tuple[str, ...]
    judged_runs: int = 0  # runs of which it is known whether they ended above chance level
    untrained_runs: int = 0  # of those, the stalled and diverged ones
    stalled: tuple[int, ...] = ()  # seeds of the runs that finished at chance level, which means leave out
    disturbed: int = 0  # finished runs whose times are left out

    @property
    def name(self) -> str:
        """The name of the variant."""
        return self.variant.name

    @property
    def is_best(self) -> bool:
        """Whether no other variant has a lower error that is separable from this one's, and some have a higher one."""
        return self.group == 1

    @property
    def n(self) -> int:
        """Number of finished seeds above chance level."""
        return self.error.n

    @property
    def training_state(self) -> str:
        """`trained 4/5` where a run has stalled, else empty."""
        return f"trained {self.judged_runs - self.untrained_runs}/{self.judged_runs}" if self.stalled else ""


def compute_paired_difference(values: Mapping[int, float], base: Mapping[int, float]) -> PairedDifference:
    """Return `values` minus `base` (both by seed), over the seeds that both have."""
    differences = _subtract_by_seed(values, base)
    if len(differences) < 2:
        return PairedDifference(len(differences), float(differences.mean()) if len(differences) else nan)
    estimate = stats.estimate_paired(differences)
    low, high = estimate.compute_interval(1 - ALPHA)
    sd = float(estimate.se) * sqrt(len(differences))
    return PairedDifference(len(differences), float(estimate.mean), sd, float(low), float(high))


def summarize_values(values: Sequence[float]) -> MetricSummary:
    """Return the number, mean and standard deviation of values, one per seed."""
    if not values:
        return MetricSummary(0)
    return MetricSummary(len(values), float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else nan)


def summarize_times(values: Sequence[float]) -> TimeRange:
    """Return the median and the range of one or more values.

    The median, since one run that shared the machine would shift a mean of times.
    """
    return TimeRange(len(values), float(np.median(values)), min(values), max(values))


def rank_groups(errors: Mapping[str, Mapping[int, float]]) -> dict[str, int]:
    """Return the number of the group of every variant: 1 for the lowest mean error and all not separable from it.

    Group 2 is the same among the rest, and so on. `errors` maps variant and seed to the error. Empty where a variant
    shares too few seeds for a test, and where all variants would be in one group.
    """
    # Only variants with the most seeds: a mean over the runs that did not diverge is not a mean of the variant.
    most = max((len(values) for values in errors.values()), default=0)
    rest = {name: values for name, values in errors.items() if len(values) == most}
    groups: dict[str, int] = {}
    number = 1
    while rest:
        members = _find_inseparable_from_best(rest)
        if not members:
            return {}
        groups |= dict.fromkeys(members, number)
        rest = {name: values for name, values in rest.items() if name not in members}
        number += 1
    return groups if number > 2 else {}


def _find_inseparable_from_best(errors: Mapping[str, Mapping[int, float]]) -> set[str]:
    """Return the variant with the lowest mean and all that Holm-corrected paired t-tests do not separate from it.

    Empty where a variant shares fewer than three seeds with the best, which are too few for a test.
    """
    means = {name: float(np.mean(list(values.values()))) for name, values in errors.items()}
    best = min(means, key=lambda name: means[name])
    others = [name for name in means if name != best]
    p_values = [_test_equality(errors[name], errors[best]) for name in others]
    if any(p is None for p in p_values):
        return set()
    if not others:
        return {best}
    q = stats.adjust_holm([p for p in p_values if p is not None])
    return {best, *(name for name, adjusted in zip(others, q, strict=True) if adjusted > ALPHA)}


def _test_equality(values: Mapping[int, float], base: Mapping[int, float]) -> float | None:
    """Return the two-sided p-value of the paired t-test; None with too few shared seeds."""
    differences = _subtract_by_seed(values, base)
    if len(differences) < FEWEST_SEEDS:
        return None
    if np.ptp(differences) == 0:  # no spread, no t: the same results, or a constant difference
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats.compute_evidence(stats.estimate_paired(differences), (0.0, 0.0), outside=True).p)


def _subtract_by_seed(values: Mapping[int, float], base: Mapping[int, float]) -> stats.FloatArray:
    return stats.round_off_noise([value - base[seed] for seed, value in values.items() if seed in base])


def build_variant_rows(
    frame: pd.DataFrame,
    variants: Sequence[Variant],
    costs: Mapping[str, Mapping[str, int]],
    base: Variant | None = None,
) -> tuple[VariantRow, ...]:
    """Return one row per variant; the first variant is the base, unless one is given.

    `costs` (by variant and cost) are shown where a variant has no record. With a given base no row
    has a group: proposals of a search and the base have different seeds.
    """
    runs = dict(list(frame.groupby("variant", sort=False)))
    names = {variant.name for variant in (*variants, *([base] if base else []))}
    errors = {name: seeds for name, seeds in collect_by_seed(frame, PRIMARY_METRIC).items() if name in names}
    # A variant with a stalled run is in no group, however good its other runs are.
    unranked = {str(name) for name in frame.loc[find_stalled_runs(frame), "variant"].unique()}
    ranked = {name: seeds for name, seeds in errors.items() if name not in unranked}
    groups = rank_groups(ranked) if base is None else {}
    reference = base or variants[0]
    return tuple(
        _build_row(
            variant,
            variant is reference,
            runs.get(variant.name, frame.iloc[:0]),
            costs.get(variant.name, {}),
            errors.get(variant.name, {}),
            errors.get(reference.name, {}),
            groups.get(variant.name),
        )
        for variant in variants
    )


def _build_row(
    variant: Variant,
    is_base: bool,
    runs: pd.DataFrame,
    costs: Mapping[str, int],
    errors: Mapping[int, float],
    base_errors: Mapping[int, float],
    group: int | None,
) -> VariantRow:
    runs = runs[(runs["outcome"] != NOT_NEEDED).to_numpy()]
    finished = runs[(runs["outcome"] == "finished").to_numpy()]
    values = {metric: _list_values(finished, metric) for metric in (*_SECONDARY_METRICS, *sorted(TIMED_METRICS))}
    return VariantRow(
        variant=variant,
        is_base=is_base,
        planned=len(runs),
        outcomes=dict(Counter(str(outcome) for outcome in runs["outcome"] if outcome != "finished")),
        error=summarize_values(list(errors.values())),
        to_base=PairedDifference(0) if is_base else compute_paired_difference(errors, base_errors),
        group=group,
        costs=_get_recorded_costs(runs) or {cost: costs[cost] for cost in COST_NAMES if cost in costs},
        metrics={metric: summarize_values(values[metric]) for metric in _SECONDARY_METRICS if values[metric]},
        times={metric: summarize_times(values[metric]) for metric in sorted(TIMED_METRICS) if values[metric]},
        devices=tuple(sorted({str(d or n) for n, d in zip(finished["device"], finished["device_name"], strict=True)})),
        judged_runs=int(runs["trained"].notna().sum()),
        untrained_runs=int((~runs["trained"].dropna().astype(bool)).sum()),
        stalled=tuple(int(seed) for seed in runs.loc[find_stalled_runs(runs), "seed"]),
        disturbed=int(find_excluded_runs(finished, "train_seconds").sum()),
    )


def _get_recorded_costs(runs: pd.DataFrame) -> dict[str, int]:
    """Return the costs in the first record that has them."""
    costed = runs[runs["params"].notna()]
    if costed.empty:
        return {}
    return {cost: int(costed[cost].iloc[0]) for cost in COST_NAMES if not pd.isna(costed[cost].iloc[0])}


def _list_values(finished: pd.DataFrame, metric: str) -> list[float]:
    counted = finished.loc[~find_excluded_runs(finished, metric), metric].dropna()
    return [float(value) * get_scale(metric) for value in counted]

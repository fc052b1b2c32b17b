"""A report as a value: what a results folder says, before anything is formatted or drawn.

`of(folder)` reads a folder and makes it; tables, figures and the page are functions of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.frame import build_epoch_frame, build_run_frame
from vgg_ablate.analysis.horizons import judge_horizons
from vgg_ablate.analysis.metrics import (
    TIMED_METRICS,
    collect_by_seed,
    find_excluded_runs,
    find_stalled_runs,
    get_scale,
    get_sign,
)
from vgg_ablate.analysis.results import Results, read_results
from vgg_ablate.analysis.verdicts import (
    ALPHA,
    FEWEST_SEEDS,
    CorrectExamples,
    Verdict,
    find_unseeded_variants,
    judge_claims,
)
from vgg_ablate.config.claims import Claim, FactorLevels, TrendQuantities
from vgg_ablate.config.datasets import DATASETS
from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study, Variant

PRIMARY_METRIC = "test_error"  # of the comparison table, whatever else is claimed
_SHOWN = ("test_accuracy", "val_error", "val_accuracy", "test_top5_error", "train_error")  # beside METRIC
COST_NAMES = ("params", "macs", "activations", "receptive_field")


@dataclass(frozen=True)
class MetricSummary:
    """A metric of one variant over its finished seeds, as it is shown (errors and accuracies in percent)."""

    n: int
    mean: float = nan  # NaN without a seed
    sd: float = nan  # NaN with fewer than two


@dataclass(frozen=True)
class TimeRange:
    """The median of a time or a pace over runs, with the smallest and the largest."""

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
    """One variant in the comparison table."""

    variant: Variant
    is_base: bool
    planned: int  # seeds
    outcomes: Mapping[str, int]  # outcome -> runs, but for `finished`
    error: MetricSummary  # of METRIC
    to_base: PairedDifference
    best: bool  # the lowest error, or not separable from it
    costs: Mapping[str, int]  # params, macs, activations, receptive_field; none where no run has a record
    metrics: Mapping[str, MetricSummary]  # every other error and accuracy that has values
    times: Mapping[str, TimeRange]  # of undisturbed runs
    devices: tuple[str, ...]
    judged: int = 0  # runs of which it is known whether they ended above chance level
    untrained: int = 0  # of those, stalled or diverged
    stalled: tuple[int, ...] = ()  # seeds of the runs that finished at chance level: no mean has them
    disturbed: int = 0  # finished runs whose times are left out

    @property
    def name(self) -> str:
        """The variant's."""
        return self.variant.name

    @property
    def n(self) -> int:
        """Finished seeds that are above chance level."""
        return self.error.n

    @property
    def training_state(self) -> str:
        """`trained 4/5` where a run has stalled, else empty."""
        return f"trained {self.judged - self.untrained}/{self.judged}" if self.stalled else ""


@dataclass(frozen=True)
class Report:
    """Everything that a results folder says."""

    results: Results
    frame: pd.DataFrame  # one row a run
    epochs: pd.DataFrame  # one row an epoch
    rows: tuple[VariantRow, ...]  # the base first, then in the study's order, then a search's winners
    proposed: tuple[VariantRow, ...]  # what a search has proposed, in its order, on seeds of its own
    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...]  # what is wrong with the folder: place, rule, what was found

    @property
    def study(self) -> Study:
        """The study as it was run."""
        return self.results.study

    @property
    def folder(self) -> Path:
        """The results folder."""
        return self.results.folder

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where and how the study was run."""
        return self.results.manifest.provenance

    @property
    def base(self) -> VariantRow:
        """The row of the base."""
        return self.rows[0]

    @property
    def levels(self) -> FactorLevels:
        """variant -> factor -> level."""
        return {row.name: row.variant.levels for row in self.rows}

    @cached_property
    def missing(self) -> int:
        """Planned runs without a record."""
        return int((self.frame["outcome"] == "missing").sum())


def load_report(folder: str | Path) -> Report:
    """The report of a results folder. Raises StorageFailed where there is no study in it."""
    return build_report(read_results(folder))


def build_report(results: Results) -> Report:
    """The report of a folder that has been read."""
    frame, epochs, study = build_run_frame(results), build_epoch_frame(results), results.study
    design: object = study.design
    promised: tuple[str, ...] = design.winner_names if isinstance(design, Search) else ()
    found = _found(results)
    variants = [*study.variants, *(found[name] for name in promised if name in found)]
    proposed = [variant for name, variant in found.items() if name not in promised]
    problems = [*results.problems, *find_unseeded_variants(frame).values()]
    levels = study.levels | {name: {} for name in promised} | {variant.name: variant.levels for variant in variants}
    quantities = study.quantities(results.costs)
    claims = _judgeable(study, levels, quantities, problems)
    examples = _examples(results) if has_shared_test_split(results) else None
    verdicts = judge_claims(
        claims,
        frame,
        study.seed_list,
        levels=levels,
        looks=study.looks,
        examples=examples,
        quantities=quantities,
    )
    verdicts = judge_horizons(study, verdicts, frame, quantities, examples)
    rows = _rows(frame, variants)
    return Report(results, frame, epochs, rows, _rows(frame, proposed, variants[0]), verdicts, tuple(problems))


def _judgeable(study: Study, levels: FactorLevels, quantities: TrendQuantities, problems: list[str]) -> list[Claim]:
    """The claims but for trends that cannot be, in a study file that was changed by hand: these are named."""
    kept = []
    for index, claim in enumerate(study.claims):
        wrong = claim.problems(levels, quantities) if claim.trend is not None else []
        problems += [f"study.yaml: claims[{index}].{one.field}: {one}; this claim is left out" for one in wrong]
        if not wrong:
            kept.append(claim)
    return kept


def compute_paired_difference(one: Mapping[int, float], other: Mapping[int, float]) -> PairedDifference:
    """`one` minus `other` (seed -> value), over the seeds that both have."""
    differences = stats.round_off_noise([value - other[seed] for seed, value in one.items() if seed in other])
    if len(differences) < 2:
        return PairedDifference(len(differences), float(differences.mean()) if len(differences) else nan)
    estimate = stats.estimate_paired(differences)
    low, high = estimate.interval(1 - ALPHA)
    sd = float(estimate.se) * sqrt(len(differences))
    return PairedDifference(len(differences), float(estimate.mean), sd, float(low), float(high))


def summarize_values(values: Sequence[float]) -> MetricSummary:
    """n, mean and standard deviation over seeds."""
    if not values:
        return MetricSummary(0)
    return MetricSummary(len(values), float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else nan)


def summarize_times(values: Sequence[float]) -> TimeRange:
    """Return the median and the range of one or more values."""
    return TimeRange(len(values), float(np.median(values)), min(values), max(values))


def find_inseparable_from_best(table: Mapping[str, Mapping[int, float]], metric: str = PRIMARY_METRIC) -> set[str]:
    """The best variant by its mean and all that Holm-corrected paired t-tests cannot tell from it.

    Among those with the most seeds: what survives of a variant that diverged is no mean of it. Empty where fewer than
    three seeds are shared with the best: nothing could be told apart.
    """
    most = max((len(seeds) for seeds in table.values()), default=0)
    means = {
        name: get_sign(metric) * float(np.mean(list(its.values()))) for name, its in table.items() if len(its) == most
    }
    if len(means) < 2:
        return set()
    best = max(means, key=lambda name: means[name])
    others = [name for name in means if name != best]
    p_values = [_p_equal(table[name], table[best]) for name in others]
    if any(p is None for p in p_values):
        return set()
    q = stats.adjust_holm([p for p in p_values if p is not None])
    return {best, *(name for name, adjusted in zip(others, q, strict=True) if adjusted > ALPHA)}


def _p_equal(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """The two-sided p-value of the paired t-test; 1 where all differences are 0; None with too few shared seeds."""
    differences = stats.round_off_noise([value - other[seed] for seed, value in one.items() if seed in other])
    if len(differences) < FEWEST_SEEDS:
        return None
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats.compute_evidence(stats.estimate_paired(differences), (0.0, 0.0), outside=True).p)


def _found(results: Results) -> dict[str, Variant]:
    """Variants that a search has made, by name: what their records, and the manifest, say that they are."""
    asked = {variant.name for variant in results.study.all_variants}
    points = results.manifest.provenance.get("proposals", [])
    found: dict[str, Variant] = {}
    for cell in results.manifest.planned:
        record = results.records.get(cell.key)
        if record is not None and cell.variant not in asked and cell.variant not in found:
            run, number = record.run, cell.variant[1:]
            changes = points[int(number)] if number.isdecimal() and int(number) < len(points) else {}
            found[cell.variant] = Variant(
                name=cell.variant, arch=run.arch, data=run.data, train=run.train, changes=changes
            )
    return found


def _rows(frame: pd.DataFrame, variants: Sequence[Variant], base: Variant | None = None) -> tuple[VariantRow, ...]:
    """A row a variant; the base is the first of them unless given. Only what shares seeds can be the best."""
    groups = dict(list(frame.groupby("variant", sort=False)))
    names = {variant.name for variant in (*variants, *([base] if base else []))}
    errors = {name: seeds for name, seeds in collect_by_seed(frame, PRIMARY_METRIC).items() if name in names}
    unranked = {str(name) for name in frame.loc[find_stalled_runs(frame), "variant"].unique()}
    ranked = {name: seeds for name, seeds in errors.items() if name not in unranked}
    best = find_inseparable_from_best(ranked) if base is None else set()
    start = base or variants[0]
    return tuple(
        _row(
            variant,
            variant is start,
            groups.get(variant.name, frame.iloc[:0]),
            errors,
            errors.get(start.name, {}),
            best,
        )
        for variant in variants
    )


def _row(
    variant: Variant,
    is_base: bool,
    runs: pd.DataFrame,
    errors: Mapping[str, Mapping[int, float]],
    base: Mapping[int, float],
    best: set[str],
) -> VariantRow:
    finished = runs[(runs["outcome"] == "finished").to_numpy()]
    outcomes = Counter(str(outcome) for outcome in runs["outcome"] if outcome != "finished")
    own = errors.get(variant.name, {})
    counted = {
        metric: [
            float(value) * get_scale(metric)
            for value in finished.loc[~find_excluded_runs(finished, metric), metric].dropna()
        ]
        for metric in (*_SHOWN, *sorted(TIMED_METRICS))
    }
    costed = runs[runs["params"].notna()]
    return VariantRow(
        variant=variant,
        is_base=is_base,
        planned=len(runs),
        outcomes=dict(outcomes),
        error=summarize_values(list(own.values())),
        to_base=PairedDifference(0) if is_base else compute_paired_difference(own, base),
        best=variant.name in best,
        costs={
            cost: int(costed[cost].iloc[0]) for cost in COST_NAMES if len(costed) and not pd.isna(costed[cost].iloc[0])
        },
        metrics={metric: summarize_values(counted[metric]) for metric in _SHOWN if counted[metric]},
        times={metric: summarize_times(counted[metric]) for metric in sorted(TIMED_METRICS) if counted[metric]},
        devices=tuple(sorted({str(d or n) for n, d in zip(finished["device"], finished["device_name"], strict=True)})),
        judged=int(runs["trained"].notna().sum()),
        untrained=int((~runs["trained"].dropna().astype(bool)).sum()),
        stalled=tuple(int(seed) for seed in runs.loc[find_stalled_runs(runs), "seed"]),
        disturbed=int(find_excluded_runs(finished, "train_seconds").sum()),
    )


def has_shared_test_split(results: Results) -> bool:
    """Return whether all seeds are tested on the same examples.

    An image folder without test/ draws its test split from the seed. A report reads records and no images, so the
    records must show which it was: two draws differ in the number of examples per class, one test folder never does.
    Where a record has no confusion matrix (more than 100 classes), the split counts as drawn.
    """
    match DATASETS[results.study.base.data.name].test_split:
        case "fixed":
            return True
        case "drawn":
            return False
    confusions = [
        record.tested.details.get("confusion") for record in results.records.values() if record.tested is not None
    ]
    class_counts = {tuple(map(sum, confusion)) if confusion else None for confusion in confusions}
    return len(class_counts) == 1 and None not in class_counts


def _examples(results: Results) -> CorrectExamples:
    found: dict[tuple[str, int], NDArray[np.bool_]] = {}
    for cell in results.manifest.planned:
        record = results.records.get(cell.key)
        if record is not None and record.tested is not None and record.tested.correct:
            found[cell.variant, cell.seed] = unpack_correct_bits(
                record.tested.correct, record.tested.test_accuracy, record.tested.details.get("test_examples")
            )
    return found


def unpack_correct_bits(packed: str, accuracy: float, count: object = None) -> NDArray[np.bool_]:
    """The bits of `Tested.correct`, one a test example: `count` of them, or so many as the accuracy tells.

    What is left of the last byte is padding.
    """
    unpacked = np.unpackbits(np.frombuffer(bytes.fromhex(packed), dtype=np.uint8)).astype(np.bool_)
    if isinstance(count, int):
        return unpacked[:count]
    right = int(unpacked.sum())
    return unpacked[: round(right / accuracy)] if right and accuracy > 0 else unpacked

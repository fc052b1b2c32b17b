"""The smallest difference that the claims of a study can detect, before or while it runs.

That takes the spread of a claim's differences between seeds. It comes from records alone: from at least three pairs of
the claim's own, else from studies of the same data beside this one. It is never assumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.frame import build_run_frame
from vgg_ablate.analysis.metrics import EXACT_METRICS, TIMED_METRICS, collect_by_seed, get_sign
from vgg_ablate.analysis.power import compute_detectable_difference
from vgg_ablate.analysis.results import Results, read_planned_results
from vgg_ablate.analysis.saved_study import read_saved_study
from vgg_ablate.analysis.sequential import compute_levels
from vgg_ablate.analysis.validation import resolve_expected_variants
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS
from vgg_ablate.config.claims import Claim, FactorLevels
from vgg_ablate.config.study import Study
from vgg_ablate.errors import StorageError
from vgg_ablate.manifest import Manifest, PlannedRun

UNKNOWN_SPREAD = "unknown until some runs are recorded"
_MAX_RECORDS = 1000  # read per study: `plan` must answer in seconds
_MIN_DOF = 2  # of the pooled residual of other studies

SeedValues = Mapping[str, Mapping[int, float]]  # variant -> seed -> the metric as it is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectableEffect:
    """The smallest detectable difference of one claim, in percentage points or the metric's unit."""

    claim: Claim
    seeds: int
    sd: float | None  # of the claim's difference between seeds; None where it is unknown
    detectable: float | None  # with 80 % power; 0 where the metric is exact
    source: str  # where the sd comes from


@dataclass(frozen=True, slots=True)
class _Spread:
    """The residual sum of squares of variants x seeds, pooled over studies."""

    squares: float
    dof: int
    studies: tuple[str, ...]

    def compute_sd(self, weights: Mapping[str, float]) -> float:
        """Return the sd of a contrast; without the common effect of the seed, its variants are independent."""
        return sqrt(self.squares / self.dof * sum(weight**2 for weight in weights.values()))


def compute_detectable_effects(
    study: Study, planned: Sequence[PlannedRun], fingerprint: str, folder: Path
) -> tuple[DetectableEffect, ...]:
    """Return the detectable effect of every claim, from the records in `folder` and in the results folders beside it.

    `fingerprint` is that of the base's data. Raises StorageError where the folder's own manifest is torn.
    """
    if not study.claims:
        return ()
    winner_names = study.design.winner_names
    levels: FactorLevels = study.levels | {name: {} for name in winner_names}
    runs = [*planned, *_read_winner_runs(winner_names, folder)]
    has_trend = any(claim.trend is not None for claim in study.claims)  # only trends need the costs of the nets
    costs = {name: variant.costs for name, variant in resolve_expected_variants(study).items()} if has_trend else None
    quantities = study.collect_quantities(costs)
    contrasts = {claim.id: claim.compute_contrast(levels, quantities) for claim in study.claims}
    names = {name for claim in study.claims if _has_spread(claim.metric) for name in contrasts[claim.id]}
    own = read_planned_results(study, _select_first_seeds(runs, names), folder)
    own_frame = build_run_frame(own)
    metrics = {claim.metric for claim in study.claims if _has_spread(claim.metric)}
    tables: dict[str, SeedValues] = {metric: collect_by_seed(own_frame, metric) for metric in metrics}
    studies = [own, *_read_studies_beside(study, folder)] if names else []
    frames = {
        str(results.folder): _select_last_level(build_run_frame(_select_data(results, fingerprint)))
        for results in studies
    }
    # The times of other nets spread differently from those of a claim's nets; errors of similar nets vary alike.
    spreads = {metric: _pool_spread(frames, metric) for metric in metrics - TIMED_METRICS}
    return tuple(
        _compute_effect(
            claim, contrasts[claim.id], tables.get(claim.metric, {}), spreads.get(claim.metric), study.looks
        )
        for claim in study.claims
    )


def _has_spread(metric: str) -> bool:
    return metric not in EXACT_METRICS and metric != "trained"


def _compute_effect(
    claim: Claim, weights: Mapping[str, float], table: SeedValues, spread: _Spread | None, looks: Sequence[int]
) -> DetectableEffect:
    seeds, alpha = looks[-1], compute_levels(looks)[-1]
    if claim.metric in EXACT_METRICS:
        source = "exact: the same on every seed"
        return DetectableEffect(claim=claim, seeds=seeds, sd=0.0, detectable=0.0, source=source)
    if claim.metric == "trained":
        return DetectableEffect(claim=claim, seeds=seeds, sd=None, detectable=None, source="counts: an exact test")
    gains = _compute_gains(claim, weights, table)
    if len(gains) >= FEWEST_SEEDS and np.ptp(gains) > 0:
        sd, source = float(np.std(gains, ddof=1)), f"{len(gains)} seeds of its own, recorded"
    elif spread is not None:
        studies = ", ".join(spread.studies)
        sd, source = spread.compute_sd(weights), f"the same data in {studies} ({spread.dof} d.o.f.)"
    else:
        return DetectableEffect(claim=claim, seeds=seeds, sd=None, detectable=None, source=UNKNOWN_SPREAD)
    detectable = compute_detectable_difference(sd, seeds, alpha) if seeds > 1 else None
    return DetectableEffect(claim=claim, seeds=seeds, sd=sd, detectable=detectable, source=source)


def _compute_gains(claim: Claim, weights: Mapping[str, float], table: SeedValues) -> stats.FloatArray:
    """Return the gain of a over b on every seed that all variants of the claim have finished."""
    if not all(name in table for name in weights):
        return np.empty(0)
    shared = set.intersection(*(set(table[name]) for name in weights))
    sign = get_sign(claim.metric)
    return stats.round_off_noise(
        [sign * sum(weight * table[name][seed] for name, weight in weights.items()) for seed in shared]
    )


def _select_last_level(frame: pd.DataFrame) -> pd.DataFrame:
    """Drop the runs at lower levels of the horizons: shorter trainings have another spread."""
    is_last = frame["horizon"].isna() | (frame["horizon"] == frame["horizon"].max())
    selected: pd.DataFrame = frame.loc[is_last]
    return selected


def _read_winner_runs(winner_names: Sequence[str], folder: Path) -> list[PlannedRun]:
    """Return the runs that the manifest plans so far for the winners of a search."""
    if not winner_names or not (folder / "manifest.json").exists():
        return []
    return [run for run in Manifest.read(folder).planned if run.variant in winner_names]


def _select_first_seeds(planned: Sequence[PlannedRun], variants: set[str]) -> list[PlannedRun]:
    """Return the runs of these variants on the first seeds: about _MAX_RECORDS, but on three seeds at least."""
    own = [run for run in planned if run.variant in variants]
    seeds = sorted({run.seed for run in own})
    first = set(seeds[: max(FEWEST_SEEDS, _MAX_RECORDS // max(1, len(variants)))])
    return [run for run in own if run.seed in first]


def _read_studies_beside(study: Study, folder: Path) -> Iterator[Results]:
    """Read the results folders beside this one that have the same data. One that cannot be read is skipped."""
    for path in sorted(folder.parent.glob("*/manifest.json")):
        if path.parent.resolve() == folder.resolve():
            continue
        with suppress(StorageError):
            other = read_saved_study(path.parent)
            if _may_share_data(study, other):
                planned = sorted(Manifest.read(path.parent).planned, key=lambda run: run.seed)
                yield read_planned_results(other, list(islice(planned, _MAX_RECORDS)), path.parent)


def _may_share_data(study: Study, other: Study) -> bool:
    """Return whether the bases may have the same data; the fingerprints in the records decide."""
    fields = ("shape", "validation_fraction", "test_fraction", "limit")
    return all(getattr(study.base.data, field) == getattr(other.base.data, field) for field in fields)


def _select_data(results: Results, fingerprint: str) -> Results:
    """Return the results of the runs whose data have this fingerprint."""
    records = {key: record for key, record in results.records.items() if record.run.fingerprint == fingerprint}
    planned = tuple(run for run in results.manifest.planned if run.key in records)
    manifest = results.manifest.model_copy(update={"planned": planned})
    return Results(results.folder, results.study, manifest, records, results.epochs, {})


def _pool_spread(frames: Mapping[str, pd.DataFrame], metric: str) -> _Spread | None:
    """Pool the spread of the metric over studies, given as run frames by folder; None where they have too few runs."""
    squares, dof, studies = 0.0, 0, []
    for folder, frame in frames.items():
        values = _build_complete_array(collect_by_seed(frame, metric))
        if min(values.shape) > 1:
            squares += _compute_residual(values)
            dof += (values.shape[0] - 1) * (values.shape[1] - 1)
            studies.append(folder)
    return _Spread(squares, dof, tuple(studies)) if dof >= _MIN_DOF and squares > 0 else None


def _build_complete_array(table: SeedValues) -> stats.FloatArray:
    """Return variants x seeds, for the seeds of the variant that has most of them and all variants with these seeds."""
    longest: Mapping[int, float] = max(table.values(), key=len, default={})
    seeds = sorted(longest)
    rows = [[values[seed] for seed in seeds] for values in table.values() if values.keys() >= set(seeds)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(seeds))


def _compute_residual(values: stats.FloatArray) -> float:
    """Return the sum of squares that neither the variant nor the seed explains."""
    residual = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0, keepdims=True) + values.mean()
    return float((stats.round_off_noise(residual) ** 2).sum())

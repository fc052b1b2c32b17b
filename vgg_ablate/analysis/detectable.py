"""What the claims of a study could see, before it has run: the smallest difference that its seeds show.

The spread comes from records alone: of the claim's own pairs, or of studies of the same data, where the residual of
variants x seeds stands for it. Where there are none it is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from math import nan, sqrt
from pathlib import Path

import numpy as np
import pandas as pd

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.frame import build_run_frame
from vgg_ablate.analysis.metrics import NOUNS, TIMED_METRICS, collect_by_seed, get_sign, unit_of
from vgg_ablate.analysis.power import compute_detectable_difference
from vgg_ablate.analysis.results import Results, read_planned_results
from vgg_ablate.analysis.saved_study import read_saved_study
from vgg_ablate.analysis.validation import resolve_expected_variants
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS, split_alpha_over_looks
from vgg_ablate.config.claims import EXACT_METRICS, Claim, FactorLevels
from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study
from vgg_ablate.errors import StorageError
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting import table as shape
from vgg_ablate.records import Manifest, PlannedRun

UNKNOWN_SPREAD = "unknown until some runs are recorded"
_MOST = 1000  # records that are read of one study
_DOF = 2  # degrees of freedom that another study's spread must have, at the least

_NOTES = (
    "With 80 % power, at the level of the claim's interval, before Holm's correction; sd: of the claim's difference.",
)

SeedValues = Mapping[str, Mapping[int, float]]  # variant -> seed -> the metric as it is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectableEffect:
    """Of one claim, in percentage points for errors and accuracies, else in the metric's unit."""

    claim: Claim
    seeds: int
    sd: float | None  # of the claim's difference between seeds; None: unknown
    detectable: float | None  # with 80 % power; 0 where the metric is exact
    source: str  # where the sd comes from


@dataclass(frozen=True, slots=True)
class _Spread:
    """Squared residuals of variants x seeds, pooled over studies."""

    squares: float
    dof: int
    studies: tuple[str, ...]

    def sd(self, weights: Mapping[str, float]) -> float:
        """Of a contrast: its variants are independent once the seed's common part is taken out."""
        return sqrt(self.squares / self.dof * sum(weight**2 for weight in weights.values()))


def compute_detectable_effects(
    study: Study, planned: Sequence[PlannedRun], fingerprint: str, folder: Path
) -> tuple[DetectableEffect, ...]:
    """Every claim's, from `folder` and the studies beside it; `fingerprint` is that of the base's data.

    Raises StorageFailed where the folder's own manifest is torn.
    """
    if not study.claims:
        return ()
    levels: FactorLevels = study.levels
    cells = list(planned)
    if isinstance(study.design, Search):
        levels = {**levels, **{name: {} for name in study.design.winner_names}}
        cells += _winners(study.design, folder)
    trends = any(claim.trend is not None for claim in study.claims)  # only these need the nets before the runs
    quantities = study.quantities(
        {name: one.costs for name, one in resolve_expected_variants(study).items()} if trends else None
    )
    contrasts = {claim.id: claim.compute_contrast(levels, quantities) for claim in study.claims}
    spread = [claim for claim in study.claims if claim.metric not in EXACT_METRICS and claim.metric != "trained"]
    claimed = {name for claim in spread for name in contrasts[claim.id]}
    own = read_planned_results(study, _first(cells, claimed), folder)
    around = [own, *_siblings(study, folder)] if claimed else []
    frames = {
        str(results.folder): _at_last_level(build_run_frame(_of_data(results, fingerprint))) for results in around
    }
    own_frame = build_run_frame(own)
    tables: dict[str, SeedValues] = {
        metric: {} if metric == "trained" else collect_by_seed(own_frame, metric)
        for metric in {claim.metric for claim in study.claims}
    }
    found = {
        metric: _pooled(frames, metric)
        for metric in tables
        if metric not in EXACT_METRICS | TIMED_METRICS | {"trained"}
    }
    return tuple(
        _sight(claim, contrasts[claim.id], tables[claim.metric], found.get(claim.metric), study.looks)
        for claim in study.claims
    )


def _sight(
    claim: Claim, weights: Mapping[str, float], table: SeedValues, spread: _Spread | None, looks: Sequence[int]
) -> DetectableEffect:
    seeds, alpha = looks[-1], split_alpha_over_looks(looks)[-1]
    if claim.metric in EXACT_METRICS:
        return DetectableEffect(
            claim=claim, seeds=seeds, sd=0.0, detectable=0.0, source="exact: the same on every seed"
        )
    if claim.metric == "trained":
        return DetectableEffect(claim=claim, seeds=seeds, sd=None, detectable=None, source="counts: an exact test")
    pairs = _pairs(claim, weights, table)
    if len(pairs) >= FEWEST_SEEDS and np.ptp(pairs) > 0:
        sd, source = float(np.std(pairs, ddof=1)), f"{len(pairs)} seeds of its own, recorded"
    elif spread is not None:
        sd, source = spread.sd(weights), f"the same data in {', '.join(spread.studies)} ({spread.dof} d.o.f.)"
    else:
        return DetectableEffect(claim=claim, seeds=seeds, sd=None, detectable=None, source=UNKNOWN_SPREAD)
    detectable = compute_detectable_difference(sd, seeds, alpha) if seeds > 1 else None
    return DetectableEffect(claim=claim, seeds=seeds, sd=sd, detectable=detectable, source=source)


def _pairs(claim: Claim, weights: Mapping[str, float], table: SeedValues) -> stats.FloatArray:
    """The gain of a over b on every seed that all its variants have finished."""
    if not all(name in table for name in weights):
        return np.empty(0)
    shared = set.intersection(*(set(table[name]) for name in weights))
    gains = [
        get_sign(claim.metric) * sum(weight * table[name][seed] for name, weight in weights.items()) for seed in shared
    ]
    return stats.round_off_noise(gains)


def _at_last_level(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the lower levels of the horizons: shorter trainings have another spread."""
    decides = frame["horizon"].isna() | (frame["horizon"] == frame["horizon"].max())
    kept: pd.DataFrame = frame.loc[decides]
    return kept


def _winners(design: Search, folder: Path) -> list[PlannedRun]:
    """The cells that a search's winners have got so far."""
    if not (folder / "manifest.json").exists():
        return []
    return [cell for cell in Manifest.read(folder).planned if cell.variant in design.winner_names]


def _first(cells: Sequence[PlannedRun], variants: set[str]) -> list[PlannedRun]:
    """Of the first seeds, so many as may be read."""
    kept = [cell for cell in cells if cell.variant in variants]
    seeds = sorted({cell.seed for cell in kept})
    enough = set(seeds[: max(FEWEST_SEEDS, _MOST // max(1, len(variants)))])
    return [cell for cell in kept if cell.seed in enough]


def _siblings(study: Study, folder: Path) -> Iterator[Results]:
    """What studies of the same data beside this one have recorded; one that cannot be read tells nothing."""
    for path in sorted(folder.parent.glob("*/manifest.json")):
        if path.parent.resolve() == folder.resolve():
            continue
        with suppress(StorageError):
            other = read_saved_study(path.parent)
            if _same_data(study, other):
                cells = sorted(Manifest.read(path.parent).planned, key=lambda cell: cell.seed)
                yield read_planned_results(other, list(islice(cells, _MOST)), path.parent)


def _same_data(one: Study, other: Study) -> bool:
    """Whether the bases' data can be the same; their fingerprints are compared run by run."""
    whats = ("shape", "validation_fraction", "test_fraction", "limit")
    return all(getattr(one.base.data, what) == getattr(other.base.data, what) for what in whats)


def _of_data(results: Results, fingerprint: str) -> Results:
    """Its records on this content of the data set."""
    kept = {key: record for key, record in results.records.items() if record.run.fingerprint == fingerprint}
    cells = tuple(cell for cell in results.manifest.planned if cell.key in kept)
    manifest = results.manifest.model_copy(update={"planned": cells})
    return Results(results.folder, results.study, manifest, kept, results.epochs, {})


def _pooled(frames: Mapping[str, pd.DataFrame], metric: str) -> _Spread | None:
    """Over the studies, by folder; None where they have too little."""
    squares, dof, studies = 0.0, 0, []
    for folder, frame in frames.items():
        values = _whole(collect_by_seed(frame, metric))
        if min(values.shape) > 1:
            squares, dof = squares + _residual(values), dof + (values.shape[0] - 1) * (values.shape[1] - 1)
            studies.append(folder)
    return _Spread(squares, dof, tuple(studies)) if dof >= _DOF and squares > 0 else None


def _whole(table: SeedValues) -> stats.FloatArray:
    """variants x seeds: the seeds of the variant that has most of them, and the variants that have them all."""
    most: Mapping[int, float] = max(table.values(), key=len, default={})
    seeds = sorted(most)
    rows = [[its[seed] for seed in seeds] for its in table.values() if its.keys() >= set(seeds)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(seeds))


def _residual(values: stats.FloatArray) -> float:
    """Sum of squares of what neither the variant nor the seed explains."""
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0, keepdims=True) + values.mean()
    return float((stats.round_off_noise(rest) ** 2).sum())


def build_detectable_table(seen: Sequence[DetectableEffect]) -> shape.Table:
    """The smallest effect that each claim could see."""
    columns = (
        shape.Column("claim", "claim", "left"),
        shape.Column("metric", "metric", "left"),
        shape.Column("seeds", "seeds"),
        shape.Column("could see", "detectable"),
        shape.Column("sd", "sd"),
        shape.Column("where the sd comes from", "source", "left"),
    )
    return shape.Table(
        "foresight", "The smallest effect that each claim could see", columns, tuple(map(_row, seen)), _NOTES
    )


def _row(sight: DetectableEffect) -> shape.TableRow:
    metric, sd, detectable = sight.claim.metric, sight.sd, sight.detectable
    exact = metric in EXACT_METRICS
    return shape.TableRow(
        (
            shape.TextCell(sight.claim.id),
            shape.TextCell(NOUNS[metric]),
            shape.CountCell(sight.seeds),
            shape.TextCell("any" if exact else _seen(detectable, unit_of(sight.claim))),
            shape.QuantityCell(nan if sd is None or exact else sd, "plain"),
            shape.TextCell(sight.source),
        )
    )


def _seen(detectable: float | None, unit_of: str) -> str:
    return numbers.DASH if detectable is None else f"{numbers.format_compact(detectable)} {unit_of}"

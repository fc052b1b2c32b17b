"""The progress of a study, read from its records. Takes no lock and writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from vgg_ablate.analysis.decisions import read_decisions, select_needed_runs
from vgg_ablate.analysis.saved_study import read_saved_study
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study
from vgg_ablate.manifest import Manifest, PlannedRun
from vgg_ablate.records import Outcome, RecordStore
from vgg_ablate.runs.leases import read_lock_holder
from vgg_ablate.runs.recorded import read_outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class InterimVerdict:
    """The verdict on a claim at the present look; numbers are None where they cannot be computed."""

    id: str
    verdict: str
    is_open: bool
    look: int  # seeds at the look that the verdict is from
    metric: str
    mean: float | None  # as in `report --json`: positive where a is better
    ci_low: float | None
    ci_high: float | None
    power: float | None  # chance that an open claim is decided by the last look


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """The recorded and missing runs of a plan, and the process that is running it."""

    asked: int  # planned runs, those that the budget of a search asks for included
    outcomes: Mapping[str, int]  # recorded runs per outcome
    variants: Mapping[str, Mapping[str, int]]  # variant -> runs per outcome, or per `missing`
    failures: Mapping[str, str]  # variant/seed -> outcome and reason
    held_by: str | None  # the process that runs the study now
    is_open_ended: bool = False  # a search with a budget in hours that is not finished: it asks for more runs later
    spared: int = 0  # runs without a record that no open claim needs by now
    look: str = ""  # the look that a study with looks is at, or why it has stopped
    claims: Sequence[InterimVerdict] = ()  # of a study with looks

    @property
    def missing(self) -> int:
        """Runs without a record that are needed."""
        return self.asked - self.recorded - self.spared

    @property
    def recorded(self) -> int:
        """Runs with a record, whatever their outcome."""
        return sum(self.outcomes.values())


def compute_status(planned: Sequence[PlannedRun], folder: Path, study: Study | None = None) -> StudyStatus:
    """Return the status of the given runs in a results folder; with the interim verdicts of a study with looks.

    Raises StorageError if a record is damaged.
    """
    decisions = None
    if study is not None and len(study.looks) > 1 and study.claims and study.search is None:
        decisions = read_decisions(study, planned, folder)
    stops = study is not None and study.stop is not None
    needed = select_needed_runs(study, planned, decisions) if study is not None and decisions is not None else None
    spared = {run.key for run in planned} - needed if stops and needed is not None else set[str]()
    store = RecordStore(folder / "records")
    outcomes = read_outcomes(store, {cell.key for cell in planned})
    variants: dict[str, Counter[str]] = {cell.variant: Counter() for cell in planned}
    for cell in planned:
        state = "not needed" if cell.key in spared else "missing"
        variants[cell.variant][str(outcomes.get(cell.key, state))] += 1
    return StudyStatus(
        asked=len(planned),
        outcomes=dict(Counter(str(outcomes[cell.key]) for cell in planned if cell.key in outcomes)),
        variants={variant: dict(counts) for variant, counts in variants.items()},
        failures={
            cell.name: f"{outcomes[cell.key]}: {store.get(cell.key).reason}"
            for cell in planned
            if outcomes.get(cell.key, Outcome.FINISHED) is not Outcome.FINISHED
        },
        held_by=read_lock_holder(folder),
        spared=sum(cell.key in spared and cell.key not in outcomes for cell in planned),
        look=decisions.describe() if decisions is not None else "",
        claims=[_build_interim_verdict(verdict) for verdict in decisions.verdicts] if decisions is not None else [],
    )


def _build_interim_verdict(verdict: Verdict) -> InterimVerdict:
    def drop_nan(value: float) -> float | None:
        return value if isfinite(value) else None

    return InterimVerdict(
        id=verdict.claim.id,
        verdict=verdict.verdict,
        is_open=not verdict.is_decided,
        look=verdict.look,
        metric=verdict.claim.metric,
        mean=drop_nan(verdict.mean),
        ci_low=drop_nan(verdict.ci_low),
        ci_high=drop_nan(verdict.ci_high),
        power=drop_nan(verdict.power),
    )


def read_status(folder: Path) -> StudyStatus:
    """Return the status of the runs in the folder's manifest. Raises StorageError if the study was never run.

    The manifest of a search lists the proposals so far; the runs that remain in its budget are counted, too.
    """
    manifest = Manifest.read(folder)
    study = read_saved_study(folder)
    current = compute_status(manifest.planned, folder, study)
    search = study.search
    if search is None or _is_search_finished(search, manifest, current):
        return current
    listed = len(study.variants) * len(study.seed_list)
    most = search.count_runs(len(study.seed_list))
    if most is None:
        return replace(current, is_open_ended=True)
    return replace(current, asked=max(current.asked, listed + most))


def _is_search_finished(search: Search, manifest: Manifest, current: StudyStatus) -> bool:
    """Return whether a search is finished: all runs of its winners are recorded, or its budget is spent.

    A search can propose fewer variants than its budget, where the space has no more, and prune some of their seeds.
    """
    if search.winner_names:
        return not current.missing and any(run.variant in search.winner_names for run in manifest.planned)
    proposals = len(manifest.provenance.get("proposals", []))
    return not current.missing and search.budget.variants is not None and proposals >= search.budget.variants

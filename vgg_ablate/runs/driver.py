"""Runs a study: what is planned and not recorded is trained, and the ledger told.

The order is the safety: planned, claimed, trained, recorded, and only then told. Killed anywhere, the next start finds
what is recorded and runs what is missing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study
from vgg_ablate.errors import EnvironmentFailedError, Problem, RunsFailedError, SpecError
from vgg_ablate.records import Outcome, RecordStore
from vgg_ablate.runs.averaging import find_kept_predictions
from vgg_ablate.runs.leases import hold_study_lock
from vgg_ablate.runs.ledger.ledger import Ledger
from vgg_ablate.runs.ledger.mirror import LedgerMirror
from vgg_ablate.runs.ledger.storage import build_default_url
from vgg_ablate.runs.plan import Plan, StudyCell
from vgg_ablate.runs.plan import build_plan as planned
from vgg_ablate.runs.progress.eta import Forecast
from vgg_ablate.runs.progress.events import EventWriter
from vgg_ablate.runs.progress.reading import fingerprint_with_notice
from vgg_ablate.runs.progress.views import MultiView, ProgressKind, ProgressState, View, build_view
from vgg_ablate.runs.recorded import read_outcomes, reuse_sibling_records, set_aside_records
from vgg_ablate.runs.resources.packing import GpuPacking
from vgg_ablate.runs.resources.slots import AUTO, RunsPerGpu, build_slots
from vgg_ablate.runs.results_dir import check_owner, write_study_files
from vgg_ablate.runs.run_sources import FixedPlanSource
from vgg_ablate.runs.scheduler import Scheduler
from vgg_ablate.runs.search.controller import resume_search
from vgg_ablate.runs.search.manifest_writer import ManifestWriter
from vgg_ablate.runs.search.tuning import count_runs, mirror_tuning, resume_tuning
from vgg_ablate.runs.workers.local import LocalPool
from vgg_ablate.runs.workers.protocol import HEARTBEAT_TIMEOUT_S, WorkerContext, WorkerPool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a study is run; none of it changes a result."""

    workers: int | None = None  # None: one a core, or a GPU
    device: str = "auto"
    packing: RunsPerGpu = 1  # runs on one GPU
    storage: str | None = None  # the ledger's URL; None: a file in the results folder
    progress: ProgressKind = "auto"
    retry: frozenset[Outcome] = frozenset()  # recorded outcomes that are run again
    wait: bool = False  # for another process that is running the study
    until: float | None = None  # the last level of the study's horizons that is trained; None: all
    pool: Literal["local", "ray"] = "local"
    address: str | None = None  # of the Ray cluster; None: one is started here
    heartbeat_timeout_s: float = (
        HEARTBEAT_TIMEOUT_S  # seconds without a sign of life after which a run is handed out again
    )
    training: str = "vgg_ablate.runs.workers.training"  # the module that trains


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """How a start has ended."""

    asked: int  # runs of the study
    recorded: int  # of those, before this start
    adopted: int  # of those, from other studies' records
    trained: int  # records that this start has made
    outcomes: Mapping[str, int]  # of every recorded run of the study
    failures: Mapping[str, int] = field(default_factory=dict)  # of those, the ones that leave the study incomplete
    lost: tuple[str, ...] = ()  # cells given up: their workers died again and again
    left_out: int = 0  # runs without a record at the levels of the horizons that were not asked for now
    seconds: float = 0.0

    @property
    def missing(self) -> int:
        """Runs without a record, but for those that were left out."""
        return self.asked - sum(self.outcomes.values()) - self.left_out

    @property
    def complete(self) -> bool:
        """Is there nothing left to run, and nothing that failed? In a search a diverged proposal is a result."""
        return not self.failures and not self.missing

    def raise_for_failures(self) -> None:
        """Raises RunsFailed, which says how many runs are not as they should be, and why, unless all are."""
        if self.complete:
            return
        counts = {**self.failures, "lost": len(self.lost), "missing": self.missing - len(self.lost)}
        bad = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        raise RunsFailedError(f"{self.outcomes.get(Outcome.FINISHED, 0)} of {self.asked} runs finished; {bad}")


class PlanExecution(NamedTuple):
    """What a plan, or a search, came to."""

    cells: Sequence[StudyCell]
    tolerated: Mapping[str, int]  # outcomes that are no failures here
    lost: tuple[str, ...]


def run(study: Study, folder: Path, options: RunOptions | None = None) -> RunSummary:
    """Run what is missing of a study, from the main thread: workers die with the thread that has started them.

    Raises SpecError (also where `until` is given and the study has no horizons), DataMissing, StudyHeld, StorageFailed,
    DeviceMissing, EnvironmentFailed.
    """
    return run_plan(planned(study, fingerprint_with_notice), folder, options or RunOptions())


def run_plan(plan: Plan, folder: Path, options: RunOptions, pool: WorkerPool | None = None) -> RunSummary:
    """Run what is missing of a plan, or of the search that begins with it; in `pool`, or the one of the options."""
    began, store, design = time.monotonic(), RecordStore(folder / "records"), plan.study.design
    _check_level(plan.study, options.until)
    with hold_study_lock(folder, wait=options.wait), ExitStack() as started:
        check_owner(plan.study, folder)
        _retry(store, options.retry)
        if plan.study.tune is not None:
            plan, pool = _tune(plan, folder, options, pool)
            if pool is not None:
                started.callback(pool.close)  # where nothing but the tuning was missing, no loop has closed it
        before = store.keys()
        adopted = reuse_sibling_records(store, {cell.key for cell in plan.cells} - before)
        with closing(open_ledger(plan.study.name, folder, options.storage, design)) as ledger:
            ledger.describe(describe_study(plan.study))
            if isinstance(design, Search):
                course = _searched(plan, design, folder, ledger, options, pool)
            else:
                course = _carried_out(plan, folder, ledger, options, pool)
        ended = read_outcomes(store, {cell.key for cell in course.cells})
    counted = Counter(str(ended[cell.key]) for cell in course.cells if cell.key in ended)
    good = Counter({str(Outcome.FINISHED): len(course.cells)}) + Counter(course.tolerated)
    return RunSummary(
        asked=len(course.cells),
        recorded=sum(cell.key in before for cell in course.cells),
        adopted=adopted,
        trained=len(ended.keys() - before) - adopted,
        outcomes=counted,
        failures=counted - good,
        lost=course.lost,
        left_out=sum(cell.key not in ended and _is_left_out(cell, options.until) for cell in course.cells),
        seconds=time.monotonic() - began,
    )


def _tune(plan: Plan, folder: Path, options: RunOptions, pool: WorkerPool | None) -> tuple[Plan, WorkerPool | None]:
    """Train what is missing of the tuning; return the plan of the tuned study, and the pool where one was started.

    Raises RunsFailed where trials are missing at the end: without them no winner is known.
    """
    study, store = plan.study, RecordStore(folder / "records")
    tuning = resume_tuning(study, plan.fingerprint, folder)
    source = tuning.source
    reuse_sibling_records(store, {run.key for run in tuning.runs if run.variant not in tuning.frozen} - store.keys())
    if missing := source.find_missing():
        # The registration, the manifest and the plan are written before anything trains.
        write_study_files(study, plan.planned, folder, trains=True, tuning=tuning.runs)
        pool = pool or _pool(folder, options)
        total = count_runs(source.tunings)
        state = ProgressState(f"{study.name}, tuning", total, len(source.read_records()), Forecast(pool.slots))
        state.forecast.expect(missing)
        try:
            lost = Scheduler(source, pool, store, state, _views(folder, options), keep_pool=True).run()
            if source.failed or lost:
                counts = f"{len(source.failed)} failed, {len(lost)} lost: {', '.join([*source.failed, *lost][:5])}"
                raise RunsFailedError(
                    f"the tuning is not complete; {counts}; --retry failed trains failed trials again"
                )
        except BaseException:
            pool.close()
            raise
    mirror_tuning(source.tunings, source.read_records(), study.name, options.storage or build_default_url(folder))
    return planned(study.with_winners(tuning.winners), plan.fingerprint, tuning.runs), pool


def _check_level(study: Study, until: float | None) -> None:
    """Raises SpecError where the study has no horizons, or none of them would be trained."""
    if until is None:
        return
    if not study.horizons:
        raise SpecError(Problem("the study has no horizons", "--until", "command line", until))
    if until < study.horizon_levels[0]:
        shown = ", ".join(str(level) for level in study.horizon_levels)
        raise SpecError(Problem(f"the levels of {study.horizon_path} are {shown}", "--until", "command line", until))


def _is_left_out(cell: StudyCell, until: float | None) -> bool:
    """Is the cell at a level of the horizons beyond `until`?"""
    return until is not None and cell.horizon is not None and cell.horizon > until


def open_ledger(study: str, folder: Path, storage: str | None, design: object = None) -> Ledger:
    """The ledger of a results folder, or at a URL."""
    objectives = design.objectives if isinstance(design, Search) else ("val_error",)
    return Ledger.open(study, storage or build_default_url(folder), objectives)


def describe_study(study: Study) -> dict[str, str]:
    """What whoever looks at a ledger should know of its study."""
    what = "one proposal, the mean over its seeds" if isinstance(study.design, Search) else "one variant on one seed"
    return {"question": study.question, "data": study.base.data.name, "a trial": what}


def _retry(store: RecordStore, retried: Collection[Outcome]) -> None:
    """Take the records with these outcomes out of the store: their runs are missing then."""
    if retried:
        set_aside_records(
            store, [key for key, outcome in read_outcomes(store, store.keys()).items() if outcome in retried]
        )


def _carried_out(
    plan: Plan, folder: Path, ledger: Ledger, options: RunOptions, pool: WorkerPool | None
) -> PlanExecution:
    """A fixed plan: what is missing of it."""
    store = RecordStore(folder / "records")
    recorded = read_outcomes(store, {cell.key for cell in plan.cells})
    place = WorkerContext(folder=folder)
    kept = find_kept_predictions(
        place.predictions, (key for key, outcome in recorded.items() if outcome is Outcome.FINISHED)
    )
    unfinished = {path.name for path in place.checkpoint("").glob("*")}
    division = plan.divide(set(recorded), kept, unfinished, options.until)
    cells = (*division.trainings, *division.averages)
    write_study_files(plan.study, plan.planned, folder, trains=bool(cells), tuning=plan.tuning)
    mirror = LedgerMirror(ledger, plan, store)
    mirror.reconcile(recorded)
    lost: tuple[str, ...] = ()
    if cells:
        pool = pool or _pool(folder, options)
        now = sum(not _is_left_out(cell, options.until) for cell in plan.cells)
        missing = len(plan.missing(set(recorded), options.until))
        state = ProgressState(plan.study.name, now, now - missing, Forecast(pool.slots))
        state.forecast.expect(cells)
        source = FixedPlanSource(division, mirror, stop_at_failure=plan.study.on_error == "stop", kept=kept)
        lost = Scheduler(source, pool, store, state, _views(folder, options), place.predictions).run()
    return PlanExecution(plan.cells, {}, lost)


def _searched(
    plan: Plan, design: Search, folder: Path, ledger: Ledger, options: RunOptions, pool: WorkerPool | None
) -> PlanExecution:
    """A search: the plan first, then what the sampler proposes, then the winners."""
    pool = pool or _pool(folder, options)
    source = resume_search(plan, design, folder, ledger, pool.slots)
    write_study_files(
        plan.study, source.list_planned(), folder, trains=source.has_unfinished_runs(), tuning=plan.tuning
    )
    notes = ManifestWriter(source, folder)
    views = MultiView(notes, _views(folder, options))
    lost = Scheduler(source, pool, RecordStore(folder / "records"), source.state, views).run()
    return PlanExecution(source.list_cells(), source.count_tolerated(), lost)


def _pool(folder: Path, options: RunOptions) -> WorkerPool:
    if options.pool == "ray":
        return _ray(folder, options)
    places = build_slots(options.device, options.workers, options.packing)
    packing = GpuPacking(places) if options.packing == AUTO and places[0].gpu is not None else None
    place = WorkerContext(folder=folder, heartbeat_timeout_s=options.heartbeat_timeout_s)
    return LocalPool(places, options.training, place, packing)


def _ray(folder: Path, options: RunOptions) -> WorkerPool:
    if find_spec("ray") is None:
        raise EnvironmentFailedError("--pool ray: Ray is not installed: pip install 'vgg_ablate[ray]'")
    if options.packing == AUTO:
        raise SpecError(Problem("takes a number with --pool ray", "--packing", "", options.packing))
    from vgg_ablate.runs.workers.ray import RayPool

    return RayPool(
        options.training,
        WorkerContext(folder=folder.resolve(), heartbeat_timeout_s=options.heartbeat_timeout_s),
        address=options.address,
        slots=options.workers,
        gpus=None if options.device == "auto" else options.device.startswith("cuda"),
        packing=options.packing,
    )


def _views(folder: Path, options: RunOptions) -> View:
    return MultiView(EventWriter(folder / "events.jsonl"), build_view(options.progress))

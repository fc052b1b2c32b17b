"""Run a study: train the planned runs that have no record, and mirror the records to the ledger.

Contract: a driver that is killed at any moment loses nothing, and its next start runs what is missing. The order
guarantees it: a run is planned, leased, trained, recorded, and only then reported to the ledger. The records alone
decide what is missing; manifest, ledger and events are derived from them.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from vgg_ablate.config.study import Study
from vgg_ablate.errors import EnvironmentFailedError, Problem, RunsFailedError, SpecError, find_missing_package
from vgg_ablate.records import Outcome, RecordStore
from vgg_ablate.runs.cleanup import delete_finished_checkpoints
from vgg_ablate.runs.leases import hold_study_lock
from vgg_ablate.runs.ledger.ledger import open_study_ledger
from vgg_ablate.runs.ledger.storage import build_default_url
from vgg_ablate.runs.plan import Plan, build_plan
from vgg_ablate.runs.progress.disk_space import DiskSpaceView
from vgg_ablate.runs.progress.events import EventWriter
from vgg_ablate.runs.progress.limits import MemoryView, TimeLimitView
from vgg_ablate.runs.progress.reading import compute_fingerprint_with_notice
from vgg_ablate.runs.progress.tracker_names import TrackerName
from vgg_ablate.runs.progress.tracking import TrackerView, check_tracker
from vgg_ablate.runs.progress.views import MultiView, ProgressKind, View, build_view
from vgg_ablate.runs.recorded import read_outcomes, reuse_sibling_records, set_aside_records
from vgg_ablate.runs.resources.packing import GpuPacking
from vgg_ablate.runs.resources.slots import AUTO, RunsPerGpu, build_slots
from vgg_ablate.runs.results_dir import check_owner, write_study_files
from vgg_ablate.runs.run_sources import PlanSource, resume_plan
from vgg_ablate.runs.scheduler import Scheduler
from vgg_ablate.runs.search.controller import SearchController, resume_search
from vgg_ablate.runs.search.manifest_writer import ManifestWriter
from vgg_ablate.runs.search.tuning import mirror_tuning, resume_tuning
from vgg_ablate.runs.workers.local import LocalPool
from vgg_ablate.runs.workers.protocol import HEARTBEAT_TIMEOUT_S, WorkerContext, WorkerPool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of a start of a study; none of them changes a result."""

    workers: int | None = None  # None: one per core, or per GPU
    device: str = "auto"
    runs_per_gpu: RunsPerGpu = 1
    storage: str | None = None  # URL of the ledger; None: a file in the results folder
    progress: ProgressKind = "auto"
    track: tuple[TrackerName, ...] = ()  # experiment trackers that epochs and outcomes are mirrored to
    retry: frozenset[Outcome] = frozenset()  # recorded outcomes whose runs are trained again
    wait: bool = False  # wait while another process runs the study
    max_hours: float | None = None  # warn where the study takes longer; nothing is stopped
    until: float | None = None  # last level of the study's horizons to train; None: all levels
    pool: Literal["local", "ray"] = "local"
    address: str | None = None  # of the Ray cluster; None: start one on this machine
    heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S  # without a heartbeat after which a run is submitted again
    training: str = "vgg_ablate.runs.workers.training"  # importable name of the module that trains


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The result of a start of a study."""

    asked: int  # runs of the study
    recorded: int  # of those, recorded before this start
    reused: int  # of those, linked from the records of other studies
    trained: int  # records that this start has written
    outcomes: Mapping[str, int]  # recorded runs of the study per outcome
    failures: Mapping[str, int] = field(default_factory=dict)  # of those, the outcomes that leave the study incomplete
    lost: tuple[str, ...] = ()  # titles of runs whose workers were lost so often that they are not submitted again
    left_out: int = 0  # runs without a record at levels of the horizons beyond `until`
    unneeded: int = 0  # further runs without a record that no open claim needs
    seconds: float = 0.0

    @property
    def missing(self) -> int:
        """Runs without a record, except those that were left out or not needed."""
        return self.asked - sum(self.outcomes.values()) - self.left_out - self.unneeded

    @property
    def is_complete(self) -> bool:
        """Whether every needed run has a record and none failed. In a search, a diverged proposal is no failure."""
        return not self.failures and not self.missing

    def raise_for_failures(self) -> None:
        """Raise RunsFailedError with the number of runs per failure, unless the study is complete."""
        if self.is_complete:
            return
        counts = {**self.failures, "lost": len(self.lost), "missing": self.missing - len(self.lost)}
        text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        raise RunsFailedError(f"{self.outcomes.get(Outcome.FINISHED, 0)} of {self.asked} runs finished; {text}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """One start of a study."""

    folder: Path  # the results folder, which is locked
    options: RunOptions
    began_at: float  # of the monotonic clock
    check_lock: Callable[[], None]  # raises StudyLockedError once another driver has taken the study over


def run(study: Study, folder: Path, options: RunOptions | None = None) -> RunSummary:
    """Train every run of a study that has no record in `folder`. Call it from the main thread.

    On Linux, workers are killed when the thread that started them ends, so that thread must outlive the study.
    Raises SpecError (also if `until` is given and the study has no horizons), DatasetError, StudyLockedError,
    StorageError, DeviceNotFoundError, EnvironmentFailedError.
    """
    return run_plan(build_plan(study, compute_fingerprint_with_notice), folder, options or RunOptions())


def run_plan(plan: Plan, folder: Path, options: RunOptions, pool: WorkerPool | None = None) -> RunSummary:
    """Train every run of a plan, or of the search that starts with it, that has no record; raises as `run` does.

    `pool` replaces the pool that the options describe, and is closed at the end.
    """
    started, store = time.monotonic(), RecordStore(folder / "records")
    _check_level(plan.study, options.until)
    for name in options.track:
        check_tracker(name)
    with hold_study_lock(folder, wait=options.wait) as check_lock, ExitStack() as stack:
        start = _Start(folder=folder, options=options, began_at=started, check_lock=check_lock)
        check_owner(plan.study, folder)
        _set_aside_for_retry(store, options.retry)
        if plan.study.tune is not None:
            plan, pool = _tune(plan, start, pool)
            if pool is not None:
                stack.callback(pool.close)  # no scheduler closes it if only the tuning was missing
        before = store.keys()
        reused = reuse_sibling_records(store, {cell.key for cell in plan.cells} - before)
        ledger = stack.enter_context(closing(open_study_ledger(plan.study, folder, options.storage)))
        source: PlanSource | SearchController
        if plan.study.search is not None:
            source = resume_search(plan, folder, ledger)
        else:
            source = resume_plan(plan, folder, ledger, options.until)
        lost = _train(source, plan, start, pool)
        delete_finished_checkpoints(folder)
        outcomes = read_outcomes(store, {cell.key for cell in source.cells})
    summary = _count_runs(source, outcomes, options.until)
    return replace(
        summary,
        recorded=sum(cell.key in before for cell in source.cells),
        reused=reused,
        trained=len(outcomes.keys() - before) - reused,
        lost=lost,
        seconds=time.monotonic() - started,
    )


def _count_runs(
    source: PlanSource | SearchController, outcomes: Mapping[str, Outcome], until: float | None
) -> RunSummary:
    """Return the counts of a study's runs by their outcomes, as if this start had recorded none of them."""
    counts = Counter(str(outcomes[cell.key]) for cell in source.cells if cell.key in outcomes)
    unrecorded = [cell for cell in source.cells if cell.key not in outcomes]
    reachable = [cell for cell in unrecorded if not cell.is_beyond(until)]
    accepted = Counter({str(Outcome.FINISHED): len(source.cells)}) + Counter(source.count_tolerated_outcomes())
    return RunSummary(
        asked=len(source.cells),
        recorded=0,
        reused=0,
        trained=0,
        outcomes=counts,
        failures=counts - accepted,
        left_out=len(unrecorded) - len(reachable),
        unneeded=sum(source.needed is not None and cell.key not in source.needed for cell in reachable),
    )


def _tune(plan: Plan, start: _Start, pool: WorkerPool | None) -> tuple[Plan, WorkerPool | None]:
    """Train the missing trials of the tuning; return the plan of the tuned study, and the pool if one was started.

    Raises RunsFailedError if trials are missing at the end: without them no winner is known.
    """
    study, folder, store = plan.study, start.folder, RecordStore(start.folder / "records")
    tuning = resume_tuning(study, plan.fingerprint, folder)
    reuse_sibling_records(store, {run.key for run in tuning.runs if run.variant not in tuning.frozen} - store.keys())
    if tuning.source.find_missing():
        # The registration, the manifest and the plan are written before anything trains.
        write_study_files(study, plan.planned, folder, trains=True, tuning=tuning.runs)
        pool = pool or _build_pool(folder, start.options)
        try:
            views, check_lock = _build_views(start), start.check_lock
            lost = Scheduler(tuning.source, pool, store, views, check_lock=check_lock, keep_pool=True).run()
            tuning.source.raise_for_failures(lost)
        except BaseException:  # Ctrl-C too: workers must not outlive the study
            pool.close()
            raise
    mirror_tuning(tuning.source, study.name, start.options.storage or build_default_url(folder))
    return build_plan(study.with_winners(tuning.winners), plan.fingerprint, tuning.runs), pool


def _train(
    source: PlanSource | SearchController, plan: Plan, start: _Start, pool: WorkerPool | None
) -> tuple[str, ...]:
    """Train the runs of a source; return the titles of those that were lost too often."""
    trains, folder = source.has_unfinished_runs(), start.folder
    # Before the first training: the registration must be older than the first record.
    write_study_files(plan.study, source.list_planned(), folder, trains=trains, tuning=plan.tuning)
    if not trains and isinstance(source, PlanSource):  # the manifest of a complete search may be older than its ledger
        return ()
    views = _build_views(start)
    if isinstance(source, SearchController):
        views = MultiView(ManifestWriter(source, folder), views)
    store, pool = RecordStore(folder / "records"), pool or _build_pool(folder, start.options)
    return Scheduler(source, pool, store, views, folder / "predictions", start.check_lock).run()


def _check_level(study: Study, until: float | None) -> None:
    """Raise SpecError if the study has no horizons, or none of their levels is up to `until`."""
    if until is None:
        return
    if not study.horizons:
        raise SpecError(Problem("the study has no horizons", "--until", "command line", until))
    if until < study.horizon_levels[0]:
        levels = ", ".join(str(level) for level in study.horizon_levels)
        raise SpecError(Problem(f"the levels of {study.horizon_path} are {levels}", "--until", "command line", until))


def _set_aside_for_retry(store: RecordStore, retried: Collection[Outcome]) -> None:
    """Set aside the records with these outcomes, so that their runs count as missing."""
    if retried:
        outcomes = read_outcomes(store, store.keys())
        set_aside_records(store, [key for key, outcome in outcomes.items() if outcome in retried])


def _build_pool(folder: Path, options: RunOptions) -> WorkerPool:
    if options.pool == "ray":
        return _build_ray_pool(folder, options)
    if sys.platform == "win32":  # workers inherit a pipe by its file descriptor, and their leases need flock
        raise EnvironmentFailedError("training needs Linux or macOS; on Windows, run vgg_ablate in WSL")
    slots = build_slots(options.device, options.workers, options.runs_per_gpu)
    packing = GpuPacking(slots) if options.runs_per_gpu == AUTO and slots[0].gpu is not None else None
    context = WorkerContext(folder=folder, heartbeat_timeout_s=options.heartbeat_timeout_s)
    return LocalPool(slots, options.training, context, packing)


def _build_ray_pool(folder: Path, options: RunOptions) -> WorkerPool:
    if missing := find_missing_package("ray", "ray"):
        raise EnvironmentFailedError(f"--pool ray: {missing}")
    if options.runs_per_gpu == AUTO:
        raise SpecError(Problem("must be a number with --pool ray", "--runs-per-gpu", "", options.runs_per_gpu))
    if options.address is None:
        # Ray reads this when it is imported, whatever the system, and then listens on the loopback address only.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    from vgg_ablate.runs.workers.ray import RayPool  # Ray is an extra, and takes a second to import

    return RayPool.connect(
        options.training,
        WorkerContext(folder=folder.resolve(), heartbeat_timeout_s=options.heartbeat_timeout_s),
        address=options.address,
        slot_count=options.workers,
        gpus=None if options.device == "auto" else options.device.startswith("cuda"),
        runs_per_gpu=options.runs_per_gpu,
    )


def _build_views(start: _Start) -> View:
    """Return all views of a study, those that only write or warn included."""
    folder, options = start.folder, start.options
    # Trackers first: they mirror what is logged from here on.
    trackers = [TrackerView.prepare(name, folder) for name in options.track]
    log = EventWriter.open(folder / "events.jsonl")
    limits: list[View] = [] if options.max_hours is None else [TimeLimitView(options.max_hours, start.began_at)]
    return MultiView(DiskSpaceView(folder), MemoryView(), *limits, log, *trackers, build_view(options.progress))

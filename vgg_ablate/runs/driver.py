"""Run a study: train the planned runs that have no record, and mirror the records to the ledger.

Contract: a driver that is killed at any moment loses nothing, and its next start runs what is missing. The order
guarantees it: a run is planned, leased, trained, recorded, and only then reported to the ledger. The records alone
decide what is missing; manifest, ledger and events are derived from them.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
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
from vgg_ablate.runs.plan import Plan, StudyCell, build_plan
from vgg_ablate.runs.progress.disk_space import DiskSpaceView
from vgg_ablate.runs.progress.eta import Forecast
from vgg_ablate.runs.progress.events import EventWriter
from vgg_ablate.runs.progress.reading import fingerprint_with_notice
from vgg_ablate.runs.progress.views import MultiView, ProgressKind, ProgressState, View, build_view
from vgg_ablate.runs.recorded import read_outcomes, reuse_sibling_records, set_aside_records
from vgg_ablate.runs.resources.packing import GpuPacking
from vgg_ablate.runs.resources.slots import AUTO, RunsPerGpu, build_slots
from vgg_ablate.runs.results_dir import check_owner, write_study_files
from vgg_ablate.runs.run_sources import FixedPlanSource, LookSource
from vgg_ablate.runs.scheduler import Scheduler
from vgg_ablate.runs.search.controller import resume_search
from vgg_ablate.runs.search.manifest_writer import ManifestWriter
from vgg_ablate.runs.search.tuning import count_runs, mirror_tuning, resume_tuning
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
    retry: frozenset[Outcome] = frozenset()  # recorded outcomes whose runs are trained again
    wait: bool = False  # wait while another process runs the study
    until: float | None = None  # last level of the study's horizons to train; None: all levels
    pool: Literal["local", "ray"] = "local"
    address: str | None = None  # of the Ray cluster; None: start one on this machine
    heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S  # without a sign of life after which a run is submitted again
    training: str = "vgg_ablate.runs.workers.training"  # importable name of the module that trains


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The result of a start of a study."""

    asked: int  # runs of the study
    recorded: int  # of those, recorded before this start
    adopted: int  # of those, linked from the records of other studies
    trained: int  # records that this start has written
    outcomes: Mapping[str, int]  # recorded runs of the study per outcome
    failures: Mapping[str, int] = field(default_factory=dict)  # of those, the outcomes that leave the study incomplete
    lost: tuple[str, ...] = ()  # titles of runs that were given up because their workers died repeatedly
    left_out: int = 0  # runs without a record at levels of the horizons beyond `until`
    spared: int = 0  # further runs without a record that no open claim needs
    seconds: float = 0.0

    @property
    def missing(self) -> int:
        """Runs without a record, except those that were left out or not needed."""
        return self.asked - sum(self.outcomes.values()) - self.left_out - self.spared

    @property
    def complete(self) -> bool:
        """Whether every needed run has a record and none failed. In a search, a diverged proposal is no failure."""
        return not self.failures and not self.missing

    def raise_for_failures(self) -> None:
        """Raise RunsFailedError with the number of runs per failure, unless the study is complete."""
        if self.complete:
            return
        counts = {**self.failures, "lost": len(self.lost), "missing": self.missing - len(self.lost)}
        text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        raise RunsFailedError(f"{self.outcomes.get(Outcome.FINISHED, 0)} of {self.asked} runs finished; {text}")


class PlanExecution(NamedTuple):
    """The cells of an executed plan, or of an executed search, and how they ended."""

    cells: Sequence[StudyCell]
    tolerated: Mapping[str, int]  # outcomes that are no failures in this study
    lost: tuple[str, ...]
    needed: Collection[str] | None = None  # keys of the runs that a study needs which stops early; None: all


def run(study: Study, folder: Path, options: RunOptions | None = None) -> RunSummary:
    """Train every run of a study that has no record in `folder`. Call it from the main thread.

    On Linux, workers are killed when the thread that started them ends, so that thread must outlive the study.
    Raises SpecError (also if `until` is given and the study has no horizons), DatasetError, StudyLockedError,
    StorageError, DeviceNotFoundError, EnvironmentFailedError.
    """
    return run_plan(build_plan(study, fingerprint_with_notice), folder, options or RunOptions())


def run_plan(plan: Plan, folder: Path, options: RunOptions, pool: WorkerPool | None = None) -> RunSummary:
    """Train every run of a plan, or of the search that starts with it, that has no record; raises as `run` does.

    `pool` replaces the pool that the options describe, and is closed at the end.
    """
    started, store = time.monotonic(), RecordStore(folder / "records")
    _check_level(plan.study, options.until)
    with hold_study_lock(folder, wait=options.wait), ExitStack() as stack:
        check_owner(plan.study, folder)
        _set_aside_for_retry(store, options.retry)
        if plan.study.tune is not None:
            plan, pool = _tune(plan, folder, options, pool)
            if pool is not None:
                stack.callback(pool.close)  # no scheduler closes it if only the tuning was missing
        before = store.keys()
        adopted = reuse_sibling_records(store, {cell.key for cell in plan.cells} - before)
        objectives = plan.study.design.list_objectives()
        with closing(open_ledger(plan.study.name, folder, options.storage, objectives)) as ledger:
            ledger.describe(describe_study(plan.study))
            if (search := plan.study.search) is not None:
                execution = _execute_search(plan, search, folder, ledger, options, pool)
            else:
                execution = _execute_plan(plan, folder, ledger, options, pool)
        outcomes = read_outcomes(store, {cell.key for cell in execution.cells})
    counts = Counter(str(outcomes[cell.key]) for cell in execution.cells if cell.key in outcomes)
    unrecorded = [cell for cell in execution.cells if cell.key not in outcomes]
    accepted = Counter({str(Outcome.FINISHED): len(execution.cells)}) + Counter(execution.tolerated)
    return RunSummary(
        asked=len(execution.cells),
        recorded=sum(cell.key in before for cell in execution.cells),
        adopted=adopted,
        trained=len(outcomes.keys() - before) - adopted,
        outcomes=counts,
        failures=counts - accepted,
        lost=execution.lost,
        left_out=sum(_is_left_out(cell, options.until) for cell in unrecorded),
        spared=sum(
            execution.needed is not None and cell.key not in execution.needed and not _is_left_out(cell, options.until)
            for cell in unrecorded
        ),
        seconds=time.monotonic() - started,
    )


def _tune(plan: Plan, folder: Path, options: RunOptions, pool: WorkerPool | None) -> tuple[Plan, WorkerPool | None]:
    """Train the missing trials of the tuning; return the plan of the tuned study, and the pool if one was started.

    Raises RunsFailedError if trials are missing at the end: without them no winner is known.
    """
    study, store = plan.study, RecordStore(folder / "records")
    tuning = resume_tuning(study, plan.fingerprint, folder)
    source = tuning.source
    reuse_sibling_records(store, {run.key for run in tuning.runs if run.variant not in tuning.frozen} - store.keys())
    if missing := source.find_missing():
        # The registration, the manifest and the plan are written before anything trains.
        write_study_files(study, plan.planned, folder, trains=True, tuning=tuning.runs)
        pool = pool or _build_pool(folder, options)
        total = count_runs(source.tunings)
        state = ProgressState(f"{study.name}, tuning", total, len(source.read_records()), Forecast(pool.slots))
        state.forecast.expect(missing)
        try:
            lost = Scheduler(source, pool, store, state, _build_views(folder, options), keep_pool=True).run()
            if source.failed or lost:
                counts = f"{len(source.failed)} failed, {len(lost)} lost: {', '.join([*source.failed, *lost][:5])}"
                raise RunsFailedError(
                    f"the tuning is not complete; {counts}; --retry failed trains failed trials again"
                )
        except BaseException:  # Ctrl-C too: workers must not outlive the study
            pool.close()
            raise
    mirror_tuning(source.tunings, source.read_records(), study.name, options.storage or build_default_url(folder))
    return build_plan(study.with_winners(tuning.winners), plan.fingerprint, tuning.runs), pool


def _check_level(study: Study, until: float | None) -> None:
    """Raise SpecError if the study has no horizons, or none of their levels is up to `until`."""
    if until is None:
        return
    if not study.horizons:
        raise SpecError(Problem("the study has no horizons", "--until", "command line", until))
    if until < study.horizon_levels[0]:
        levels = ", ".join(str(level) for level in study.horizon_levels)
        raise SpecError(Problem(f"the levels of {study.horizon_path} are {levels}", "--until", "command line", until))


def _is_left_out(cell: StudyCell, until: float | None) -> bool:
    """Return whether the cell is at a level of the horizons beyond `until`."""
    return until is not None and cell.horizon is not None and cell.horizon > until


def open_ledger(study: str, folder: Path, storage: str | None, objectives: Sequence[str] = ("val_error",)) -> Ledger:
    """Open the ledger of a results folder, or the one at the URL `storage`. Raises StorageError."""
    return Ledger.open(study, storage or build_default_url(folder), objectives)


def describe_study(study: Study) -> dict[str, str]:
    """Return the facts about a study that Optuna's dashboard shows beside its trials."""
    return {"question": study.question, "data": study.base.data.name, "a trial": study.design.trial_noun}


def _set_aside_for_retry(store: RecordStore, retried: Collection[Outcome]) -> None:
    """Set aside the records with these outcomes, so that their runs count as missing."""
    if retried:
        outcomes = read_outcomes(store, store.keys())
        set_aside_records(store, [key for key, outcome in outcomes.items() if outcome in retried])


def _execute_plan(
    plan: Plan, folder: Path, ledger: Ledger, options: RunOptions, pool: WorkerPool | None
) -> PlanExecution:
    """Run the missing cells of a fixed plan; of a study that stops early, those that its open claims need."""
    store, context = RecordStore(folder / "records"), WorkerContext(folder=folder)
    mirror, keys, recorded = LedgerMirror(ledger, plan, store), {cell.key for cell in plan.cells}, dict[str, Outcome]()

    def start(needed: Collection[str] | None = None) -> FixedPlanSource:
        recorded.update(read_outcomes(store, keys.difference(recorded)))
        finished = (key for key, outcome in recorded.items() if outcome is Outcome.FINISHED)
        kept = find_kept_predictions(context.predictions, finished)
        unfinished = {path.name for path in context.locate_checkpoint("").glob("*")}
        division = plan.divide(set(recorded), kept, unfinished, options.until, needed)
        return FixedPlanSource(division, mirror, stop_at_failure=plan.study.on_error == "stop", kept=kept)

    source = start() if plan.study.stop is None else _build_look_source(plan, folder, start)
    cells = source.cells
    # Before the first training: the registration must be older than the first record.
    write_study_files(plan.study, plan.planned, folder, trains=bool(cells), tuning=plan.tuning)
    mirror.reconcile(recorded)
    lost: tuple[str, ...] = ()
    if cells:
        pool = pool or _build_pool(folder, options)
        missing = sum(1 + len(cell.shares) for cell in cells)
        total = sum(not _is_left_out(cell, options.until) for cell in plan.cells)
        state = ProgressState(plan.study.name, total, total - missing, Forecast(pool.slots))
        state.forecast.expect(cells)
        if isinstance(source, LookSource):
            source.follow(state)
        lost = Scheduler(source, pool, store, state, _build_views(folder, options), context.predictions).run()
    return PlanExecution(plan.cells, {}, lost, source.needed)


def _build_look_source(plan: Plan, folder: Path, start: Callable[[Collection[str]], FixedPlanSource]) -> LookSource:
    # Judging claims imports pandas and scipy, which studies without a rule to stop need only for their report.
    from vgg_ablate.runs.looks import read_decisions

    return LookSource(plan, lambda: read_decisions(plan.study, plan.planned, folder), start)


def _execute_search(
    plan: Plan, search: Search, folder: Path, ledger: Ledger, options: RunOptions, pool: WorkerPool | None
) -> PlanExecution:
    """Run a search: first the plan, then the proposals of the sampler, then the winners."""
    pool = pool or _build_pool(folder, options)
    source = resume_search(plan, search, folder, ledger, pool.slots)
    planned = source.list_planned()
    write_study_files(plan.study, planned, folder, trains=source.has_unfinished_runs(), tuning=plan.tuning)
    views = MultiView(ManifestWriter(source, folder), _build_views(folder, options))
    lost = Scheduler(source, pool, RecordStore(folder / "records"), source.state, views).run()
    return PlanExecution(source.list_cells(), source.count_tolerated(), lost)


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
    if find_spec("ray") is None:
        raise EnvironmentFailedError("--pool ray: Ray is not installed: pip install 'vgg_ablate[ray]'")
    if options.runs_per_gpu == AUTO:
        raise SpecError(Problem("must be a number with --pool ray", "--runs-per-gpu", "", options.runs_per_gpu))
    from vgg_ablate.runs.workers.ray import RayPool  # Ray is an extra, and takes a second to import

    return RayPool.connect(
        options.training,
        WorkerContext(folder=folder.resolve(), heartbeat_timeout_s=options.heartbeat_timeout_s),
        address=options.address,
        slots=options.workers,
        gpus=None if options.device == "auto" else options.device.startswith("cuda"),
        runs_per_gpu=options.runs_per_gpu,
    )


def _build_views(folder: Path, options: RunOptions) -> View:
    return MultiView(DiskSpaceView(folder), EventWriter.open(folder / "events.jsonl"), build_view(options.progress))

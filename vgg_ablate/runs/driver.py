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
from vgg_ablate.errors import EnvironmentFailed, Problem, RunsFailed, SpecError
from vgg_ablate.records import Outcome, Store
from vgg_ablate.runs.averaging import find_kept
from vgg_ablate.runs.leases import study_lock
from vgg_ablate.runs.ledger.ledger import Ledger
from vgg_ablate.runs.ledger.mirror import Mirror
from vgg_ablate.runs.ledger.storage import embedded
from vgg_ablate.runs.plan import Cell, Plan
from vgg_ablate.runs.plan import plan as planned
from vgg_ablate.runs.progress.eta import Forecast
from vgg_ablate.runs.progress.events import Events
from vgg_ablate.runs.progress.reading import fingerprint
from vgg_ablate.runs.progress.views import Kind, State, Together, View, view
from vgg_ablate.runs.recorded import adopt, outcomes, put_aside
from vgg_ablate.runs.resources.packing import Packing
from vgg_ablate.runs.resources.slots import AUTO, Packed, slots
from vgg_ablate.runs.results_dir import check_owner, manifest, write_down
from vgg_ablate.runs.run_sources import Listed
from vgg_ablate.runs.scheduler import Loop
from vgg_ablate.runs.search.controller import Searching
from vgg_ablate.runs.search.manifest_writer import Notes
from vgg_ablate.runs.search.sampler import Sampling
from vgg_ablate.runs.search.tuning import count_runs, mirror_tuning, resume_tuning
from vgg_ablate.runs.workers.local import LocalPool
from vgg_ablate.runs.workers.protocol import SILENCE, Place, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a study is run; none of it changes a result."""

    workers: int | None = None  # None: one a core, or a GPU
    device: str = "auto"
    packing: Packed = 1  # runs on one GPU
    storage: str | None = None  # the ledger's URL; None: a file in the results folder
    progress: Kind = "auto"
    retry: frozenset[Outcome] = frozenset()  # recorded outcomes that are run again
    wait: bool = False  # for another process that is running the study
    until: float | None = None  # the last level of the study's horizons that is trained; None: all
    pool: Literal["local", "ray"] = "local"
    address: str | None = None  # of the Ray cluster; None: one is started here
    silence: float = SILENCE  # seconds without a sign of life after which a run is handed out again
    training: str = "vgg_ablate.runs.workers.training"  # the module that trains


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
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
        raise RunsFailed(f"{self.outcomes.get(Outcome.FINISHED, 0)} of {self.asked} runs finished; {bad}")


class Course(NamedTuple):
    """What a plan, or a search, came to."""

    cells: Sequence[Cell]
    tolerated: Mapping[str, int]  # outcomes that are no failures here
    lost: tuple[str, ...]


def run(study: Study, folder: Path, options: Options | None = None) -> Finished:
    """Run what is missing of a study, from the main thread: workers die with the thread that has started them.

    Raises SpecError (also where `until` is given and the study has no horizons), DataMissing, StudyHeld, StorageFailed,
    DeviceMissing, EnvironmentFailed.
    """
    return drive(planned(study, fingerprint), folder, options or Options())


def drive(plan: Plan, folder: Path, options: Options, pool: Pool | None = None) -> Finished:
    """Run what is missing of a plan, or of the search that begins with it; in `pool`, or the one of the options."""
    began, store, design = time.monotonic(), Store(folder / "records"), plan.study.design
    _check_level(plan.study, options.until)
    with study_lock(folder, wait=options.wait), ExitStack() as started:
        check_owner(plan.study, folder)
        _retry(store, options.retry)
        if plan.study.tune is not None:
            plan, pool = _tune(plan, folder, options, pool)
            if pool is not None:
                started.callback(pool.close)  # where nothing but the tuning was missing, no loop has closed it
        before = store.keys()
        adopted = adopt(store, {cell.key for cell in plan.cells} - before)
        with closing(opened(plan.study.name, folder, options.storage, design)) as ledger:
            ledger.describe(about(plan.study))
            if isinstance(design, Search):
                course = _searched(plan, design, folder, ledger, options, pool)
            else:
                course = _carried_out(plan, folder, ledger, options, pool)
        ended = outcomes(store, {cell.key for cell in course.cells})
    counted = Counter(str(ended[cell.key]) for cell in course.cells if cell.key in ended)
    good = Counter({str(Outcome.FINISHED): len(course.cells)}) + Counter(course.tolerated)
    return Finished(
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


def _tune(plan: Plan, folder: Path, options: Options, pool: Pool | None) -> tuple[Plan, Pool | None]:
    """Train what is missing of the tuning; return the plan of the tuned study, and the pool where one was started.

    Raises RunsFailed where trials are missing at the end: without them no winner is known.
    """
    study, store = plan.study, Store(folder / "records")
    tuning = resume_tuning(study, plan.fingerprint, folder)
    source = tuning.source
    adopt(store, {run.key for run in tuning.runs if run.variant not in tuning.frozen} - store.keys())
    if missing := source.find_missing():
        # The registration, the manifest and the plan are written before anything trains.
        write_down(study, plan.planned, folder, trains=True, tuning=tuning.runs)
        pool = pool or _pool(folder, options)
        total = count_runs(source.tunings)
        state = State(f"{study.name}, tuning", total, len(source.read_records()), Forecast(pool.slots))
        state.forecast.expect(missing)
        try:
            lost = Loop(source, pool, store, state, _views(folder, options), keep_pool=True).run()
            if source.failed or lost:
                counts = f"{len(source.failed)} failed, {len(lost)} lost: {', '.join([*source.failed, *lost][:5])}"
                raise RunsFailed(f"the tuning is not complete; {counts}; --retry failed trains failed trials again")
        except BaseException:
            pool.close()
            raise
    mirror_tuning(source.tunings, source.read_records(), study.name, options.storage or embedded(folder))
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


def _is_left_out(cell: Cell, until: float | None) -> bool:
    """Is the cell at a level of the horizons beyond `until`?"""
    return until is not None and cell.horizon is not None and cell.horizon > until


def opened(study: str, folder: Path, storage: str | None, design: object = None) -> Ledger:
    """The ledger of a results folder, or at a URL."""
    objectives = design.objectives if isinstance(design, Search) else ("val_error",)
    return Ledger.open(study, storage or embedded(folder), objectives)


def about(study: Study) -> dict[str, str]:
    """What whoever looks at a ledger should know of its study."""
    what = "one proposal, the mean over its seeds" if isinstance(study.design, Search) else "one variant on one seed"
    return {"question": study.question, "data": study.base.data.name, "a trial": what}


def _retry(store: Store, retried: Collection[Outcome]) -> None:
    """Take the records with these outcomes out of the store: their runs are missing then."""
    if retried:
        put_aside(store, [key for key, outcome in outcomes(store, store.keys()).items() if outcome in retried])


def _carried_out(plan: Plan, folder: Path, ledger: Ledger, options: Options, pool: Pool | None) -> Course:
    """A fixed plan: what is missing of it."""
    store = Store(folder / "records")
    recorded = outcomes(store, {cell.key for cell in plan.cells})
    place = Place(folder=folder)
    kept = find_kept(place.predictions, (key for key, outcome in recorded.items() if outcome is Outcome.FINISHED))
    unfinished = {path.name for path in place.checkpoint("").glob("*")}
    division = plan.divide(set(recorded), kept, unfinished, options.until)
    cells = (*division.trainings, *division.averages)
    write_down(plan.study, plan.planned, folder, trains=bool(cells), tuning=plan.tuning)
    mirror = Mirror(ledger, plan, store)
    mirror.reconcile(recorded)
    lost: tuple[str, ...] = ()
    if cells:
        pool = pool or _pool(folder, options)
        now = sum(not _is_left_out(cell, options.until) for cell in plan.cells)
        missing = len(plan.missing(set(recorded), options.until))
        state = State(plan.study.name, now, now - missing, Forecast(pool.slots))
        state.forecast.expect(cells)
        source = Listed(division, mirror, stop_at_failure=plan.study.on_error == "stop", kept=kept)
        lost = Loop(source, pool, store, state, _views(folder, options), place.predictions).run()
    return Course(plan.cells, {}, lost)


def _searched(plan: Plan, design: Search, folder: Path, ledger: Ledger, options: Options, pool: Pool | None) -> Course:
    """A search: the plan first, then what the sampler proposes, then the winners."""
    pool = pool or _pool(folder, options)
    source = resumed(plan, design, folder, ledger, pool.slots)
    write_down(plan.study, source.planned(), folder, trains=source.unfinished(), tuning=plan.tuning)
    notes = Notes(source, folder)
    views = Together(notes, _views(folder, options))
    lost = Loop(source, pool, Store(folder / "records"), source.state, views).run()
    return Course(source.asked(), source.tolerated(), lost)


def resumed(plan: Plan, design: Search, folder: Path, ledger: Ledger, slots: int) -> Searching:
    """The search as it was left: what was told is counted, what was open is open, and a lost ledger is made again."""
    told = manifest(folder)
    epochs = design.epochs or plan.study.base.train.epochs
    sampling = Sampling(ledger, design, epochs * design.seeds)
    sampling.restore(told.provenance.get("proposals", []) if told is not None else [])
    state = State(plan.study.name, design.runs(len(plan.study.seed_list)), 0, Forecast(slots))
    return Searching(plan, design, sampling, Store(folder / "records"), state)


def _pool(folder: Path, options: Options) -> Pool:
    if options.pool == "ray":
        return _ray(folder, options)
    places = slots(options.device, options.workers, options.packing)
    packing = Packing(places) if options.packing == AUTO and places[0].gpu is not None else None
    place = Place(folder=folder, silence=options.silence)
    return LocalPool(places, options.training, place, packing)


def _ray(folder: Path, options: Options) -> Pool:
    if find_spec("ray") is None:
        raise EnvironmentFailed("--pool ray: Ray is not installed: pip install 'vgg_ablate[ray]'")
    if options.packing == AUTO:
        raise SpecError(Problem("takes a number with --pool ray", "--packing", "", options.packing))
    from vgg_ablate.runs.workers.ray import RayPool

    return RayPool(
        options.training,
        Place(folder=folder.resolve(), silence=options.silence),
        address=options.address,
        slots=options.workers,
        gpus=None if options.device == "auto" else options.device.startswith("cuda"),
        packing=options.packing,
    )


def _views(folder: Path, options: Options) -> View:
    return Together(Events(folder / "events.jsonl"), view(options.progress))

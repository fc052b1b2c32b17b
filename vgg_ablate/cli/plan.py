"""`plan STUDY`: runs, costs, predicted time and detectable effects of a study, before anything trains."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vgg_ablate.cli.arguments import JSON, NAME, OUT, OVERRIDES, STUDY, load_study_and_folder
from vgg_ablate.cli.run import DEVICE, PACKING, RUNS_PER_GPU, WORKERS
from vgg_ablate.cli.space import print_survey
from vgg_ablate.cli.targets import print_mismatches, warn_about_seeds, warn_about_size
from vgg_ablate.errors import SpecError
from vgg_ablate.formatting.text import capitalize_first, count_noun, join_first

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vgg_ablate.analysis.detectable import DetectableEffect
    from vgg_ablate.config.study import Study
    from vgg_ablate.config.training import Data
    from vgg_ablate.formatting.table import Table
    from vgg_ablate.models.width_matching import ResolvedVariant
    from vgg_ablate.records import Record
    from vgg_ablate.runs.estimate.cost import StudyCost
    from vgg_ablate.runs.plan import Plan, StudyCell
    from vgg_ablate.runs.resources.memory_fit import DeviceMemory

PROBE = Annotated[
    bool, typer.Option(help="Time this machine where it has no records yet; takes seconds and imports torch.")
]
MAX_HOURS = Annotated[float | None, typer.Option(metavar="H", min=0, help="List the runs that would not end in time.")]
# Points drawn from a space that is too large to be counted: fewer than `space` draws, since here it is a side remark.
_SPACE_SAMPLE = 200_000
_MATCHED_SPACE_SAMPLE = 10_000  # where nets are matched to a budget, each is counted at some 70 widths
_MAX_LISTED = 12  # dropped runs in one line
_MAX_ROWS = 200  # variants in the table: rich needs a millisecond per row


def plan(
    study: STUDY,
    overrides: OVERRIDES = None,
    workers: WORKERS = None,
    device: DEVICE = "auto",
    runs_per_gpu: RUNS_PER_GPU = "1",
    out: OUT = None,
    name: NAME = None,
    probe: PROBE = True,
    max_hours: MAX_HOURS = None,
    as_json: JSON = False,
    packing: PACKING = None,
) -> None:
    """Predict what a study costs: runs, params and MACs, memory, time and disk; and the effects it could detect."""
    from vgg_ablate.records import RecordStore
    from vgg_ablate.runs.estimate.cost import estimate_study_cost
    from vgg_ablate.runs.progress.reading import DeclaredFingerprints
    from vgg_ablate.runs.resources.packing import predict_slots
    from vgg_ablate.runs.resources.slots import AUTO, build_slots, parse_runs_per_gpu

    checked, folder = load_study_and_folder(study, overrides, out, name)
    share = parse_runs_per_gpu(packing or runs_per_gpu)
    slots = build_slots(device, workers, share)
    all_nets = _resolve_nets(checked)
    nets = all_nets[: len(checked.variants)]
    warn_about_seeds(checked)
    warn_about_size(nets)  # before the probe, which would have to build them
    fingerprints = DeclaredFingerprints(folder)
    built, trials = _build_plan(checked, folder, all_nets, fingerprints)
    built, runs = _leave_out_decided(built, folder)
    records = _read_records(built, folder, probe=probe and not fingerprints.missing, device=device, workers=workers)
    if share == AUTO:  # the packing is learnt while runs train; its result is predicted here
        slots = predict_slots(slots, [cell.run for cell in built.cells], records)
    cost = estimate_study_cost(built, RecordStore(folder / "records"), records, slots, max_hours, trials)
    effects = _compute_effects(checked, folder, built)
    for variant in cost.variants:
        if variant.hindrance:
            print(f"warning: {variant.variant}: {variant.hindrance}", file=sys.stderr)
    if as_json:
        document = _build_document(checked, folder, built, cost, effects)
        print(json.dumps(document | ({} if runs is None else asdict(runs)), indent=1))
    else:
        _print_plan(checked, cost, effects)
        if runs is not None:
            print(f"{runs.least} to {runs.most} runs to train: {runs.look}")
        print_mismatches(nets)
        _print_changes(nets)
        _print_space(checked)


def _print_changes(nets: Sequence[ResolvedVariant]) -> None:
    from vgg_ablate.report.change_effects import list_changes

    changes = {net.variant.name: net.variant.changes for net in nets}
    costs = {net.variant.name: net.costs.as_dict() for net in nets}
    for sentence in list_changes(changes, costs, nets[0].variant.name)[:_MAX_ROWS]:
        print(sentence)


def _resolve_nets(study: Study) -> tuple[ResolvedVariant, ...]:
    from vgg_ablate.models.width_matching import resolve_variants

    try:
        return resolve_variants(study.all_variants)
    except SpecError as error:
        raise study.with_locations(error) from error


def _build_plan(
    study: Study, folder: Path, nets: Sequence[ResolvedVariant], fingerprint: Callable[[Data], str]
) -> tuple[Plan, Sequence[StudyCell]]:
    """Return the plan, with the tuning's winners as far as they are known, and the trials still to be trained."""
    from vgg_ablate.runs.plan import build_plan
    from vgg_ablate.runs.search.tuning import resume_tuning

    if study.tune is None:
        return build_plan(study, fingerprint, nets=nets), ()
    tuning = resume_tuning(study, fingerprint, folder)
    tuned = study.with_winners(tuning.winners)
    return build_plan(tuned, fingerprint, tuning.runs), tuning.list_remaining()


@dataclass(frozen=True)
class _RunRange:
    """The number of runs that a study with `stop: decided` still trains."""

    least: int  # of the look that it is at
    most: int  # if no further claim is decided
    look: str


def _leave_out_decided(plan: Plan, folder: Path) -> tuple[Plan, _RunRange | None]:
    """Return the plan without the runs of decided claims, and the range of runs; None where every run is trained."""
    if plan.study.stop is None:
        return plan, None
    from vgg_ablate.analysis.decisions import read_decisions, select_needed_runs, select_possible_runs
    from vgg_ablate.records import RecordStore

    decisions, recorded = read_decisions(plan.study, plan.planned, folder), RecordStore(folder / "records").keys()
    needed = select_needed_runs(plan.study, plan.planned, decisions)
    possible = select_possible_runs(plan.study, plan.planned, decisions) | recorded
    cells = tuple(cell for cell in plan.cells if cell.key in possible)
    return replace(plan, cells=cells), _RunRange(len(needed - recorded), len(possible - recorded), decisions.describe())


def _read_records(plan: Plan, folder: Path, *, probe: bool, device: str, workers: int | None) -> list[Record]:
    """Return runs of this machine: those of the study, else of a probe; without a probe, of all studies beside it."""
    from vgg_ablate.data.cache import get_cache_dir
    from vgg_ablate.runs.estimate.cost import read_machine_records
    from vgg_ablate.runs.estimate.probe import probe_machine
    from vgg_ablate.runs.resources.slots import build_slots

    # One slot stands for all: they are of one kind of device.
    slot = build_slots(device, workers)[0]
    cache = get_cache_dir() / "probes"
    if own := read_machine_records([folder / "records"], slot.device):
        return own
    if probe:
        print("probing this machine ...", file=sys.stderr)
        probe_machine(plan, cache, slot)
        return read_machine_records([cache / "records"], slot.device)
    folders = [cache / "records", *sorted(folder.parent.glob("*/records"))]
    return read_machine_records(folders, slot.device)


def _compute_effects(study: Study, folder: Path, plan: Plan) -> tuple[DetectableEffect, ...]:
    if not study.claims:
        return ()
    from vgg_ablate.analysis.detectable import compute_detectable_effects

    return compute_detectable_effects(study, plan.planned, plan.fingerprint(study.base.data), folder)


def _build_document(
    study: Study, folder: Path, plan: Plan, cost: StudyCost, effects: Sequence[DetectableEffect]
) -> dict[str, Any]:
    recorded = sum(variant.runs - variant.missing for variant in cost.variants)
    return {
        "study": study.name,
        "folder": str(folder),
        "seeds": list(study.seed_list),
        "registered": None if study.registered is None else study.registered.isoformat(),
        "smallest_effect": study.smallest_effect,
        "horizons": study.horizons,
        "asked": len(plan.cells),
        "recorded": recorded,
        "missing": len(plan.cells) - recorded,
        **asdict(cost),
        "claims": [
            {
                "id": effect.claim.id,
                "metric": effect.claim.metric,
                "smallest_effect": effect.claim.smallest_effect,
                "seeds": effect.seeds,
                "detectable": effect.detectable,
                "sd": effect.sd,
                "source": effect.source,
            }
            for effect in effects
        ],
    }


def _print_plan(study: Study, cost: StudyCost, effects: Sequence[DetectableEffect]) -> None:
    from vgg_ablate.formatting.numbers import format_rough_seconds
    from vgg_ablate.formatting.table import print_tables
    from vgg_ablate.report.detectable_table import build_detectable_table

    print_tables([_build_table(study, cost), *([build_detectable_table(effects)] if effects else [])])
    missing = sum(variant.missing for variant in cost.variants)
    if cost.seconds is not None:
        duration = format_rough_seconds(cost.seconds)
    else:
        reason = "this machine has no records" if cost.pace is None else "the size of the data set is not known"
        duration = f"time unknown: {reason}"
    shared = "" if missing == cost.trainings else f" in {cost.trainings + cost.tuning_runs} trainings"
    disk = f"{cost.disk_bytes / 2**20:.1f} MiB of records"
    runs = count_noun(missing + cost.tuning_runs, "runs")
    print(f"{runs} to train{shared}, {cost.slots} at a time: {duration}; {disk}")
    if cost.tuning_runs:
        duration = "unknown" if cost.tuning_seconds is None else format_rough_seconds(cost.tuning_seconds)
        print(f"of these, {cost.tuning_runs} trials of the tuning come first: {duration}")
    if cost.averages:
        print(f"of these, {cost.averages} ensembles are evaluated from stored predictions, without training")
    if cost.adopted:
        are = "run is" if cost.adopted == 1 else "runs are"
        print(f"{cost.adopted} {are} recorded by other studies beside this one and not trained again")
    if study.expect.minutes is not None:
        minutes = count_noun(f"{study.expect.minutes:g}", "minutes")
        print(f"expected by the study: {minutes} on {study.expect.device or 'some device'}")
    if study.design.proposes_variants:
        print("not included: the search's proposals and winners, whose nets are not known yet")
    if cost.dropped:
        titles = join_first(cost.dropped, _MAX_LISTED)
        print(f"{count_noun(len(cost.dropped), 'runs')} would not end in time: {titles}", file=sys.stderr)


def _print_space(study: Study) -> None:
    """Print what a search can choose from; nothing for other designs."""
    from vgg_ablate.space.survey import build_space

    if study.search is None:
        return
    try:
        space = build_space(study)
        print_survey(space.survey(_MATCHED_SPACE_SAMPLE if space.is_matched else _SPACE_SAMPLE))
    except SpecError as error:
        print(f"the space cannot be counted: {error}", file=sys.stderr)


def _build_table(study: Study, cost: StudyCost) -> Table:
    from vgg_ablate.formatting.cells import CountCell, TextCell
    from vgg_ablate.formatting.numbers import format_rough_seconds
    from vgg_ablate.formatting.table import Column, Table, TableRow

    columns = (
        Column("variant", "left"),
        Column("params"),
        Column("MACs"),
        Column("runs"),
        Column("missing"),
        Column("time per run"),
        Column("peak memory, MiB"),
    )
    notes: tuple[str, ...] = (_describe_memory(cost.room),)
    if len(cost.variants) > _MAX_ROWS:
        notes = (f"{len(cost.variants) - _MAX_ROWS:,} further variants are left out; --json has all.", *notes)
    rows = tuple(
        TableRow(
            (
                TextCell(variant.variant),
                CountCell(variant.params),
                CountCell(variant.macs),
                CountCell(variant.runs),
                CountCell(variant.missing),
                TextCell("?" if variant.seconds is None else format_rough_seconds(variant.seconds)),
                CountCell(round(variant.peak_bytes / 2**20)),
            )
        )
        for variant in cost.variants[:_MAX_ROWS]
    )
    return Table("plan", f"{study.name}: {study.question}", columns, rows, notes)


def _describe_memory(memory: DeviceMemory) -> str:
    from vgg_ablate.formatting.numbers import format_bytes

    available = "memory unknown" if memory.memory_bytes is None else format_bytes(memory.memory_bytes)
    if memory.beside_bytes is None:
        libraries = "not included: libraries"
    else:
        libraries = f"libraries {format_bytes(memory.beside_bytes)}, as measured"
    return (
        "Predicted peak memory of one run: weights, gradients, optimiser, activations of a batch, resident examples; "
        f"{libraries}. {capitalize_first(memory.device)}: {available}, {count_noun(memory.together, 'runs')} at once."
    )

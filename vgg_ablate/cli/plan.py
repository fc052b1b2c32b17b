"""`plan STUDY`: what it asks for, what is recorded, and what the rest will cost, before anything trains."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vgg_ablate.cli.arguments import JSON, OUT, OVERRIDES, STUDY, load_study
from vgg_ablate.cli.run import DEVICE, RUNS_PER_GPU, WORKERS
from vgg_ablate.cli.space import print_survey
from vgg_ablate.cli.targets import print_mismatches, warn_about_size
from vgg_ablate.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgg_ablate.analysis.detectable import DetectableEffect
    from vgg_ablate.config.study import Study
    from vgg_ablate.formatting.table import Table
    from vgg_ablate.models.width_matching import ResolvedVariant
    from vgg_ablate.runs.estimate.cost import StudyCost
    from vgg_ablate.runs.plan import Plan, StudyCell
    from vgg_ablate.runs.resources.memory_fit import DeviceMemory

PROBE = Annotated[bool, typer.Option(help="Time this machine where nothing is known of it (seconds; imports torch).")]
MAX_HOURS = Annotated[float | None, typer.Option(metavar="H", min=0, help="Say which runs would not end in time.")]
_DRAWN = 200_000  # nets of a space that is too large to be counted whole
_DRAWN_MATCHED = 10_000  # where each is counted at many widths


def plan(
    study: STUDY,
    overrides: OVERRIDES = None,
    workers: WORKERS = None,
    device: DEVICE = "auto",
    packing: RUNS_PER_GPU = "1",
    out: OUT = None,
    probe: PROBE = True,
    max_hours: MAX_HOURS = None,
    as_json: JSON = False,
) -> None:
    """Price a study: runs, params and MACs, memory, predicted time and disk, the smallest effect that it can see."""
    from vgg_ablate.records import RecordStore
    from vgg_ablate.runs.estimate import cost
    from vgg_ablate.runs.resources.packing import predict_slots
    from vgg_ablate.runs.resources.slots import build_slots, parse_runs_per_gpu

    asked, places = load_study(study, overrides), build_slots(device, workers, parse_runs_per_gpu(packing))
    folder = out or Path("results") / asked.name
    nets = _resolved(asked)
    warn_about_size(nets)
    made, trials = _planned(asked, folder)
    records = _records(made, folder, probe=probe, device=device, workers=workers)
    if packing == "auto":
        places = predict_slots(places, [cell.run for cell in made.cells], records)
    bill = cost.estimate_study_cost(made, RecordStore(folder / "records"), records, places, max_hours, trials)
    seen = _seen(asked, folder, made)
    for price in bill.variants:
        if price.hindrance:
            print(f"warning: {price.variant}: {price.hindrance}", file=sys.stderr)
    if as_json:
        print(json.dumps(_document(asked, folder, made, bill, seen), indent=1))
    else:
        _print(asked, bill, seen)
        print_mismatches(nets)
        _print_space(asked)


def _resolved(asked: Study) -> tuple[ResolvedVariant, ...]:
    from vgg_ablate.models.width_matching import resolve_variants

    try:
        return resolve_variants(asked.variants)
    except SpecError as error:
        raise asked.with_locations(error) from error


def _planned(asked: Study, folder: Path) -> tuple[Plan, Sequence[StudyCell]]:
    """The plan with the winners of the tuning as far as they are known, and the trials that are still to be trained."""
    from vgg_ablate.runs.plan import build_plan as planned
    from vgg_ablate.runs.progress.reading import fingerprint_with_notice
    from vgg_ablate.runs.search.tuning import resume_tuning

    if asked.tune is None:
        return planned(asked, fingerprint_with_notice), ()
    tuning = resume_tuning(asked, fingerprint_with_notice, folder)
    return planned(asked.with_winners(tuning.winners), fingerprint_with_notice, tuning.runs), tuning.list_remaining()


def _records(made: Plan, folder: Path, *, probe: bool, device: str, workers: int | None) -> list[Any]:
    """What is known of this machine: this study's runs first, then its siblings', then the probe's."""
    from vgg_ablate.data.cache import get_cache_dir
    from vgg_ablate.runs.estimate import cost
    from vgg_ablate.runs.estimate import probe as machine_probe
    from vgg_ablate.runs.resources.slots import build_slots

    slot, cache = build_slots(device, workers)[0], get_cache_dir() / "probes"
    if own := cost.read_machine_records([folder / "records"], slot.device):
        return own
    if probe:
        print("probing this machine ...", file=sys.stderr)
        machine_probe.probe_machine(made, cache, slot)
        return cost.read_machine_records([cache / "records"], slot.device)
    folders = [cache / "records", *sorted(folder.parent.glob("*/records"))]
    return cost.read_machine_records(folders, slot.device)


def _seen(asked: Study, folder: Path, made: Plan) -> tuple[DetectableEffect, ...]:
    if not asked.claims:
        return ()
    from vgg_ablate.analysis.detectable import compute_detectable_effects

    return compute_detectable_effects(asked, made.planned, made.fingerprint(asked.base.data), folder)


def _document(
    asked: Study, folder: Path, made: Plan, bill: StudyCost, seen: Sequence[DetectableEffect]
) -> dict[str, Any]:
    runs = {"asked": len(made.cells), "recorded": sum(price.runs - price.missing for price in bill.variants)}
    return {
        "study": asked.name,
        "folder": str(folder),
        "seeds": list(asked.seed_list),
        "registered": None if asked.registered is None else asked.registered.isoformat(),
        "smallest_effect": asked.smallest_effect,
        "horizons": asked.horizons,
        **runs,
        "missing": runs["asked"] - runs["recorded"],
        **asdict(bill),
        "claims": [
            {
                "id": sight.claim.id,
                "metric": sight.claim.metric,
                "smallest_effect": sight.claim.smallest_effect,
                "seeds": sight.seeds,
                "detectable": sight.detectable,
                "sd": sight.sd,
                "source": sight.source,
            }
            for sight in seen
        ],
    }


def _print(asked: Study, bill: StudyCost, seen: Sequence[DetectableEffect]) -> None:
    from vgg_ablate.formatting.table import print_tables
    from vgg_ablate.runs.progress.views import format_duration

    print_tables([_table(asked, bill), *_foreseen(seen)])
    missing = sum(price.missing for price in bill.variants)
    time = _unknown(bill) if bill.seconds is None else format_duration(bill.seconds)
    shared = "" if missing == bill.trainings else f" in {bill.trainings + bill.tuning_runs} trainings"
    disk = f"{bill.disk_bytes / 2**20:.1f} MiB of records"
    print(f"{missing + bill.tuning_runs} runs to train{shared}, {bill.slots} at a time: {time}; {disk}")
    if bill.tuning_runs:
        spent = "unknown" if bill.tuning_seconds is None else format_duration(bill.tuning_seconds)
        print(f"of these, {bill.tuning_runs} trials of the tuning come first: {spent}")
    if bill.averages:
        print(f"of these, {bill.averages} ensembles are evaluated by kept predictions of their nets, without training")
    if bill.adopted:
        print(f"{bill.adopted} runs are recorded by other studies beside this one, and will not be trained again")
    if asked.expect.minutes is not None:
        print(f"expected by the study: {asked.expect.minutes:g} minutes on {asked.expect.device or 'some device'}")
    if asked.design.kind == "search":
        print("and the search's proposals and winners, whose nets are not known yet")
    if bill.dropped:
        cells = ", ".join(bill.dropped[:12]) + (", ..." if len(bill.dropped) > 12 else "")
        print(f"{len(bill.dropped)} runs would not end in time: {cells}", file=sys.stderr)


def _unknown(bill: StudyCost) -> str:
    what = "this machine" if bill.pace is None else "the size of the data"
    return f"unknown: nothing is known of {what}"


def _foreseen(seen: Sequence[DetectableEffect]) -> list[Table]:
    if not seen:
        return []
    from vgg_ablate.report.tables import build_detectable_table

    return [build_detectable_table(seen)]


def _print_space(asked: Study) -> None:
    """What a search can choose from."""
    from vgg_ablate.space.survey import build_space

    if asked.design.kind != "search":
        return
    try:
        space = build_space(asked)
        print_survey(space.survey(_DRAWN_MATCHED if space.matched else _DRAWN))
    except SpecError as error:
        print(f"the space cannot be counted: {error}", file=sys.stderr)


def _table(asked: Study, bill: StudyCost) -> Table:
    from vgg_ablate.formatting.table import Column, CountCell, Table, TableRow, TextCell
    from vgg_ablate.runs.progress.views import format_duration

    columns = (
        Column("variant", "variant", "left"),
        Column("params", "params"),
        Column("MACs", "macs"),
        Column("runs", "runs"),
        Column("missing", "missing"),
        Column("time a run", "seconds"),
        Column("peak memory, MiB", "peak_mib"),
    )
    rows = tuple(
        TableRow(
            (
                TextCell(price.variant),
                CountCell(price.params),
                CountCell(price.macs),
                CountCell(price.runs),
                CountCell(price.missing),
                TextCell("?" if price.seconds is None else format_duration(price.seconds)),
                CountCell(round(price.peak_bytes / 2**20)),
            )
        )
        for price in bill.variants
    )
    return Table("plan", f"{asked.name}: {asked.question}", columns, rows, (_memory_note(bill.room),))


def _memory_note(room: DeviceMemory) -> str:
    from vgg_ablate.runs.resources.memory_fit import format_gibibytes

    has = "memory unknown" if room.memory_bytes is None else format_gibibytes(room.memory_bytes)
    beside = "come on top" if room.beside_bytes is None else f"take {format_gibibytes(room.beside_bytes)}, as measured"
    what = "weights, gradients, optimiser, a batch's activations, resident examples"
    return (
        f"Peak memory of one run, predicted: {what}; libraries {beside}; {room.device}: {has}, {room.together} at once."
    )

"""`plan STUDY`: what it asks for, what is recorded, and what the rest will cost, before anything trains."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vgg_ablate.cli.arguments import JSON, OUT, OVERRIDES, STUDY, loaded
from vgg_ablate.cli.run import DEVICE, PACKING, WORKERS
from vgg_ablate.cli.space import print_survey
from vgg_ablate.cli.targets import print_mismatches, remark
from vgg_ablate.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgg_ablate.analysis.detectable import Sight
    from vgg_ablate.config.study import Study
    from vgg_ablate.formatting.table import Table
    from vgg_ablate.models.width_matching import Resolved
    from vgg_ablate.runs.estimate.cost import Bill
    from vgg_ablate.runs.plan import Cell, Plan
    from vgg_ablate.runs.resources.memory_fit import Room

PROBE = Annotated[bool, typer.Option(help="Time this machine where nothing is known of it (seconds; imports torch).")]
MAX_HOURS = Annotated[float | None, typer.Option(metavar="H", min=0, help="Say which runs would not end in time.")]
_DRAWN = 200_000  # nets of a space that is too large to be counted whole
_DRAWN_MATCHED = 10_000  # where each is counted at many widths


def plan(
    study: STUDY,
    overrides: OVERRIDES = None,
    workers: WORKERS = None,
    device: DEVICE = "auto",
    packing: PACKING = "1",
    out: OUT = None,
    probe: PROBE = True,
    max_hours: MAX_HOURS = None,
    as_json: JSON = False,
) -> None:
    """Price a study: runs, params and MACs, memory, predicted time and disk, the smallest effect that it can see."""
    from vgg_ablate.records import Store
    from vgg_ablate.runs.estimate import cost
    from vgg_ablate.runs.resources.packing import foreseen
    from vgg_ablate.runs.resources.slots import packed, slots

    asked, places = loaded(study, overrides), slots(device, workers, packed(packing))
    folder = out or Path("results") / asked.name
    nets = _resolved(asked)
    remark(nets)
    made, trials = _planned(asked, folder)
    records = _records(made, folder, probe=probe, device=device, workers=workers)
    if packing == "auto":
        places = foreseen(places, [cell.run for cell in made.cells], records)
    bill = cost.bill(made, Store(folder / "records"), records, places, max_hours, trials)
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


def _resolved(asked: Study) -> tuple[Resolved, ...]:
    from vgg_ablate.models.width_matching import resolve

    try:
        return resolve(asked.variants)
    except SpecError as error:
        raise asked.located(error) from error


def _planned(asked: Study, folder: Path) -> tuple[Plan, Sequence[Cell]]:
    """The plan with the winners of the tuning as far as they are known, and the trials that are still to be trained."""
    from vgg_ablate.runs.plan import plan as planned
    from vgg_ablate.runs.progress.reading import fingerprint
    from vgg_ablate.runs.search.tuning import resume_tuning

    if asked.tune is None:
        return planned(asked, fingerprint), ()
    tuning = resume_tuning(asked, fingerprint, folder)
    return planned(asked.with_winners(tuning.winners), fingerprint, tuning.runs), tuning.list_remaining()


def _records(made: Plan, folder: Path, *, probe: bool, device: str, workers: int | None) -> list[Any]:
    """What is known of this machine: this study's runs first, then its siblings', then the probe's."""
    from vgg_ablate.data.cache import cache_folder
    from vgg_ablate.runs.estimate import cost
    from vgg_ablate.runs.estimate import probe as machine_probe
    from vgg_ablate.runs.resources.slots import slots

    slot, cache = slots(device, workers)[0], cache_folder() / "probes"
    if own := cost.known_records([folder / "records"], slot.device):
        return own
    if probe:
        print("probing this machine ...", file=sys.stderr)
        machine_probe.probe(made, cache, slot)
        return cost.known_records([cache / "records"], slot.device)
    folders = [cache / "records", *sorted(folder.parent.glob("*/records"))]
    return cost.known_records(folders, slot.device)


def _seen(asked: Study, folder: Path, made: Plan) -> tuple[Sight, ...]:
    if not asked.claims:
        return ()
    from vgg_ablate.analysis.detectable import sights

    return sights(asked, made.planned, made.fingerprint(asked.base.data), folder)


def _document(asked: Study, folder: Path, made: Plan, bill: Bill, seen: Sequence[Sight]) -> dict[str, Any]:
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


def _print(asked: Study, bill: Bill, seen: Sequence[Sight]) -> None:
    from vgg_ablate.formatting.table import printed
    from vgg_ablate.runs.progress.views import clock

    printed([_table(asked, bill), *_foreseen(seen)])
    missing = sum(price.missing for price in bill.variants)
    time = _unknown(bill) if bill.seconds is None else clock(bill.seconds)
    shared = "" if missing == bill.trainings else f" in {bill.trainings + bill.tuning_runs} trainings"
    disk = f"{bill.disk_bytes / 2**20:.1f} MiB of records"
    print(f"{missing + bill.tuning_runs} runs to train{shared}, {bill.slots} at a time: {time}; {disk}")
    if bill.tuning_runs:
        spent = "unknown" if bill.tuning_seconds is None else clock(bill.tuning_seconds)
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


def _unknown(bill: Bill) -> str:
    what = "this machine" if bill.pace is None else "the size of the data"
    return f"unknown: nothing is known of {what}"


def _foreseen(seen: Sequence[Sight]) -> list[Table]:
    if not seen:
        return []
    from vgg_ablate.analysis.detectable import table

    return [table(seen)]


def _print_space(asked: Study) -> None:
    """What a search can choose from."""
    from vgg_ablate.space.survey import of_study

    if asked.design.kind != "search":
        return
    try:
        space = of_study(asked)
        print_survey(space.survey(_DRAWN_MATCHED if space.matched else _DRAWN))
    except SpecError as error:
        print(f"the space cannot be counted: {error}", file=sys.stderr)


def _table(asked: Study, bill: Bill) -> Table:
    from vgg_ablate.formatting.table import Column, Count, Row, Table, Words
    from vgg_ablate.runs.progress.views import clock

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
        Row(
            (
                Words(price.variant),
                Count(price.params),
                Count(price.macs),
                Count(price.runs),
                Count(price.missing),
                Words("?" if price.seconds is None else clock(price.seconds)),
                Count(round(price.peak_bytes / 2**20)),
            )
        )
        for price in bill.variants
    )
    return Table("plan", f"{asked.name}: {asked.question}", columns, rows, (_memory_note(bill.room),))


def _memory_note(room: Room) -> str:
    from vgg_ablate.runs.resources.memory_fit import gibibytes

    has = "memory unknown" if room.memory_bytes is None else gibibytes(room.memory_bytes)
    beside = "come on top" if room.beside_bytes is None else f"take {gibibytes(room.beside_bytes)}, as measured"
    what = "weights, gradients, optimiser, a batch's activations, resident examples"
    return (
        f"Peak memory of one run, predicted: {what}; libraries {beside}; {room.device}: {has}, {room.together} at once."
    )

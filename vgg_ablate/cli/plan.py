"""`plan STUDY`: what it asks for, what is recorded, and what the rest will cost, before anything trains."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vgg_ablate.cli.arguments import JSON, OUT, OVERRIDES, STUDY, loaded
from vgg_ablate.cli.nets import print_mismatches, remark
from vgg_ablate.cli.run import DEVICE, PACKING, WORKERS
from vgg_ablate.cli.space import print_survey
from vgg_ablate.errors import SpecError

if TYPE_CHECKING:
    from vgg_ablate.net.match import Resolved
    from vgg_ablate.report.table import Table
    from vgg_ablate.runs.plan import Plan
    from vgg_ablate.runs.prices import Bill
    from vgg_ablate.spec.study import Study

PROBE = Annotated[bool, typer.Option(help="Time this machine where nothing is known of it (seconds; imports torch).")]
MAX_HOURS = Annotated[float | None, typer.Option(metavar="H", min=0, help="Say which runs would not end in time.")]
_DRAWN = 200_000  # nets of a space that is too large to be counted whole


def plan(
    study: STUDY,
    overrides: OVERRIDES = None,
    workers: WORKERS = None,
    device: DEVICE = "auto",
    packing: PACKING = 1,
    out: OUT = None,
    probe: PROBE = True,
    max_hours: MAX_HOURS = None,
    as_json: JSON = False,
) -> None:
    """Price a study: runs, params and MACs, memory, predicted time and disk, the smallest effect that it can see."""
    from vgg_ablate.records import Store
    from vgg_ablate.runs import prices
    from vgg_ablate.runs.slots import slots

    asked, places = loaded(study, overrides), slots(device, workers, packing)
    folder = out or Path("results") / asked.name
    nets = _resolved(asked)
    remark(nets)
    made = _planned(asked)
    records = _records(made, folder, probe=probe, device=device, workers=workers)
    bill = prices.bill(made, Store(folder / "records"), records, len(places), max_hours)
    if as_json:
        print(json.dumps(_document(asked, folder, made, bill), indent=1))
    else:
        _print(asked, bill)
        print_mismatches(nets)
        _print_space(asked)


def _resolved(asked: Study) -> tuple[Resolved, ...]:
    from vgg_ablate.net.match import resolve

    try:
        return resolve(asked.variants)
    except SpecError as error:
        raise asked.located(error) from error


def _planned(asked: Study) -> Plan:
    from vgg_ablate.runs.plan import plan as planned
    from vgg_ablate.train.sources import fingerprint

    return planned(asked, fingerprint)


def _records(made: Plan, folder: Path, *, probe: bool, device: str, workers: int | None) -> list[Any]:
    """What is known of this machine: this study's runs first, then its siblings', then the probe's."""
    from vgg_ablate.runs import prices, probing
    from vgg_ablate.runs.slots import slots
    from vgg_ablate.train.places import cache_folder

    slot, cache = slots(device, workers)[0], cache_folder() / "probes"
    if own := prices.known_records([folder / "records"], slot.device):
        return own
    if probe:
        print("probing this machine ...", file=sys.stderr)
        probing.probe(made, cache, slot)
        return prices.known_records([cache / "records"], slot.device)
    folders = [cache / "records", *sorted(folder.parent.glob("*/records"))]
    return prices.known_records(folders, slot.device)


def _document(asked: Study, folder: Path, made: Plan, bill: Bill) -> dict[str, Any]:
    runs = {"asked": len(made.cells), "recorded": sum(price.runs - price.missing for price in bill.variants)}
    return {
        "study": asked.name,
        "folder": str(folder),
        "seeds": list(asked.seed_list),
        **runs,
        "missing": runs["asked"] - runs["recorded"],
        **asdict(bill),
        "claims": [{"id": claim.id, "detectable_sd": _detectable(asked)} for claim in asked.claims],
    }


def _detectable(asked: Study) -> float | None:
    """The smallest difference that is seen with 80 % power, in standard deviations of the paired differences."""
    from vgg_ablate.report.power import smallest_detectable

    seeds = len(asked.seed_list)
    return smallest_detectable(1.0, seeds) if seeds > 1 else None


def _print(asked: Study, bill: Bill) -> None:
    from vgg_ablate.report.table import printed
    from vgg_ablate.runs.progress import clock

    printed([_table(asked, bill)])
    missing = sum(price.missing for price in bill.variants)
    time = "unknown: nothing is known of this machine" if bill.seconds is None else clock(bill.seconds)
    print(f"{missing} runs to train, {bill.slots} at a time: {time}; {bill.disk_bytes / 2**20:.1f} MiB of records")
    if asked.expect.minutes is not None:
        print(f"expected by the study: {asked.expect.minutes:g} minutes on {asked.expect.device or 'some device'}")
    if asked.design.kind == "search":
        print("and the search's proposals and winners, whose nets are not known yet")
    if (least := _detectable(asked)) is not None and asked.claims:
        seeds = len(asked.seed_list)
        print(f"{seeds} seeds see a difference of {least:.2f} sd of its pairs with 80 % power; report says the sd")
    if bill.dropped:
        cells = ", ".join(bill.dropped[:12]) + (", ..." if len(bill.dropped) > 12 else "")
        print(f"{len(bill.dropped)} runs would not end in time: {cells}", file=sys.stderr)


def _print_space(asked: Study) -> None:
    """What a search can choose from."""
    from vgg_ablate.net.space import of_study

    if asked.design.kind != "search":
        return
    try:
        print_survey(of_study(asked).survey(_DRAWN))
    except SpecError as error:
        print(f"the space cannot be counted: {error}", file=sys.stderr)


def _table(asked: Study, bill: Bill) -> Table:
    from vgg_ablate.report.table import Column, Count, Row, Table, Words
    from vgg_ablate.runs.progress import clock

    columns = (
        Column("variant", "variant", "left"),
        Column("params", "params"),
        Column("MACs", "macs"),
        Column("runs", "runs"),
        Column("missing", "missing"),
        Column("time a run", "seconds"),
        Column("memory, MiB", "memory_mib"),
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
                Count(round(price.memory_bytes / 2**20)),
            )
        )
        for price in bill.variants
    )
    notes = ("Memory: weights, gradients, momentum and kept activations of a batch; libraries and data come on top.",)
    return Table("plan", f"{asked.name}: {asked.question}", columns, rows, notes)

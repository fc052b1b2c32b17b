"""`verify STUDY VARIANT/SEED`: train a recorded run again, and compare."""

from __future__ import annotations

from typing import Annotated

import typer

from vgg_ablate.cli.arguments import OUT, RESULTS, find_results_folder
from vgg_ablate.cli.reproduce_run import choose_run, compare_with_record, describe_agreement, retrain_run

CELL = Annotated[
    str | None, typer.Argument(metavar="[VARIANT/SEED]", help="Which run; default: the base's first recorded seed.")
]
DEVICE = Annotated[str | None, typer.Option(help="Where to train: cpu, cuda:0; default: what the record says.")]


def verify(study: RESULTS, cell: CELL = None, out: OUT = None, device: DEVICE = None) -> None:
    """Train a recorded run again: bit for bit the same on the same machine, inside its seeds' interval elsewhere."""
    from vgg_ablate.analysis.results import read_results

    results = read_results(find_results_folder(study, out))
    one = choose_run(results, cell)
    stored = results.whole(one.key)
    found = compare_with_record(results, one, stored, retrain_run(one, stored, device))
    for difference in found.differences:
        print(difference)
    print(describe_agreement(one, found))

"""`verify STUDY VARIANT/SEED`: train a recorded run again and compare it with its record."""

from __future__ import annotations

from typing import Annotated

import typer

from vgg_ablate.cli.arguments import OUT, RESULTS, find_results_folder
from vgg_ablate.cli.reproduce_run import choose_run, compare_with_record, describe_agreement, retrain_run

CELL = Annotated[
    str | None, typer.Argument(metavar="[VARIANT/SEED]", help="Run to train; default: the first recorded run.")
]
DEVICE = Annotated[str | None, typer.Option(help="Device to train on: cpu, cuda:0; default: that of the record.")]


def verify(study: RESULTS, cell: CELL = None, out: OUT = None, device: DEVICE = None) -> None:
    """Train a recorded run again and compare it with its record.

    On the same machine and software every number must be the same; elsewhere the test error must lie in the interval of
    the variant's other seeds.
    """
    from vgg_ablate.analysis.results import read_results

    results = read_results(find_results_folder(study, out))
    planned = choose_run(results, cell)
    stored = results.read_record(planned.key)
    reproduction = compare_with_record(results, planned, stored, retrain_run(planned, stored, device))
    for difference in reproduction.differences:
        print(difference)
    print(describe_agreement(planned, reproduction))

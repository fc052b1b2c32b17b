"""`judge RUNS CLAIMS`: verdicts over runs that other programs trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vgg_ablate.cli.arguments import JSON


def judge(
    runs: Annotated[
        str,
        typer.Argument(
            metavar="RUNS",
            help="A CSV, JSON-lines or Parquet file, a folder of TensorBoard or MLflow, or an Optuna storage URL.",
        ),
    ],
    claims: Annotated[Path, typer.Argument(metavar="CLAIMS", help="The YAML file of claims.")],
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the study in an Optuna storage that holds several.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the report, its figure and a LaTeX table into DIR.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Judge claims about runs that other programs trained, by the statistics of this package's own studies."""
    from vgg_ablate.external import tables
    from vgg_ablate.external.claims_file import load_claims
    from vgg_ablate.external.judging import judge_runs
    from vgg_ablate.external.sources import check_order, read_runs
    from vgg_ablate.formatting.table import print_tables

    check_order(runs, str(claims))
    claims_file = load_claims(claims)
    judgement = judge_runs(read_runs(runs, study), claims_file)
    if out is not None:
        from vgg_ablate.external.writing import write_files

        write_files(judgement, out)
        print(f"written: {out / 'report.md'}, {out / 'report.html'}", file=sys.stderr)
    if as_json:
        print(tables.serialize_judgement(judgement))
        return
    print("\n".join(filter(None, (claims_file.question, tables.describe_judgement(judgement)))))
    print_tables(tables.build_tables(judgement))
    for note in judgement.notes:
        print(f"note: {note}", file=sys.stderr)

"""`claims`: the paper's claims, each with where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vgg_ablate.cli.arguments import JSON
from vgg_ablate.errors import CheckFailed


def claims(
    results: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the results folders.")] = Path("results"),
    check: Annotated[bool, typer.Option("--check", help="Compare with what is committed; write nothing.")] = False,
    as_json: JSON = False,
) -> None:
    """Say where every claim of the VGG paper stands; write DIR/paper/claims.md."""
    from vgg_ablate.formatting.table import printed
    from vgg_ablate.paper import scoreboard, writing

    if check:
        differences = writing.check(results)
        if differences:
            raise CheckFailed("\n".join(differences))
        print(f"{results}/paper: the scoreboard is what the records say")
        return
    found = writing.write(results)
    if as_json:
        print(scoreboard.as_json(found))
    else:
        printed([scoreboard.table(found)])

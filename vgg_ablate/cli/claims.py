"""`claims`: the paper's claims, each with where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vgg_ablate.cli.arguments import JSON
from vgg_ablate.errors import CheckFailedError


def claims(
    results: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the results folders.")] = Path("results"),
    check: Annotated[bool, typer.Option("--check", help="Compare with what is committed; write nothing.")] = False,
    as_json: JSON = False,
) -> None:
    """Say where every claim of the VGG paper stands; write DIR/paper/claims.md."""
    from vgg_ablate.formatting.table import print_tables
    from vgg_ablate.paper import scoreboard, writing

    if check:
        differences = writing.find_outdated_files(results)
        if differences:
            raise CheckFailedError("\n".join(differences))
        print(f"{results}/paper: the scoreboard is what the records say")
        return
    found = writing.write_scoreboard(results)
    if as_json:
        print(scoreboard.serialize_standings(found))
    else:
        print_tables([scoreboard.build_scoreboard_table(found)])

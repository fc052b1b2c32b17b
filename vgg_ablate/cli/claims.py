"""`claims`: the scoreboard of the VGG paper's claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vgg_ablate.cli.arguments import JSON
from vgg_ablate.errors import CheckFailedError


def claims(
    results: Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds the results folders.")] = Path(
        "results"
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Compare the written scoreboard with the records; write nothing.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Judge every claim of the VGG paper by the results in DIR, and write DIR/paper/claims.md."""
    from vgg_ablate.formatting.table import print_tables
    from vgg_ablate.paper import scoreboard, writing

    if check:
        differences = writing.find_outdated_files(results)
        if differences:
            raise CheckFailedError("\n".join(differences))
        print(f"{results}/paper: the scoreboard matches the records")
        return
    board = writing.write_scoreboard(results)
    if as_json:
        print(scoreboard.serialize_standings(board))
    else:
        print_tables([scoreboard.build_scoreboard_table(board)])

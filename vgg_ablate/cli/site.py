"""`site RESULTS --out DIR`: one static web site over all results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def site(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that holds the results folders.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the site; it is made where it is missing.")
    ] = Path("site"),
) -> None:
    """Write a static web site: an index of all studies with their answers, their reports, and the paper's claims."""
    from vgg_ablate.site.build import build_site

    entries = build_site(results, out)
    for entry in entries:
        if entry.state == "damaged":
            print(f"{entry.folder}: {entry.answer}", file=sys.stderr)
    print(f"{out / 'index.html'}: {len(entries)} studies")

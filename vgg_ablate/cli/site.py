"""`site RESULTS --out DIR`: one static web site over all results."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer


def site(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that holds the results folders.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the site; it is made where it is missing.")
    ] = Path("site"),
    serve: Annotated[bool, typer.Option("--serve", help="Serve it to this machine, with live pages.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1, for --serve.")] = 8000,
) -> None:
    """Write a static web site: an index of all studies with their answers, their reports, and the paper's claims."""
    if serve:
        _serve(results, out, port)
        return
    from vgg_ablate.site.build import build_site

    entries = build_site(results, out)
    for entry in entries:
        if entry.state == "damaged":
            print(f"{entry.folder}: {entry.answer}", file=sys.stderr)
    print(f"{out / 'index.html'}: {len(entries)} studies")


def _serve(results: Path, out: Path, port: int) -> None:
    """Serve the site until Ctrl-C or SIGTERM."""
    from vgg_ablate.runs.interrupts import exit_on_sigterm
    from vgg_ablate.site.serve import start_server

    exit_on_sigterm()
    with start_server(results, out, port) as server, contextlib.suppress(KeyboardInterrupt):
        print(f"http://127.0.0.1:{server.server_port}/ shows {results}; Ctrl-C ends it", flush=True)
        server.serve_forever()

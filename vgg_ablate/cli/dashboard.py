"""`dashboard STUDY`: Optuna's dashboard on the study's ledger."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from vgg_ablate.cli.arguments import OUT, RESULTS, results_folder
from vgg_ablate.errors import EnvironmentFailed

STORAGE = Annotated[str | None, typer.Option(metavar="URL", help="Of the ledger; default: its file.")]


def dashboard(study: RESULTS, out: OUT = None, storage: STORAGE = None, port: int = 8080) -> None:
    """Serve optuna-dashboard on this machine alone; Ctrl-C ends it. It reads; the records stay the truth."""
    from vgg_ablate.runs.ledger.storage import embedded, file_of

    if find_spec("optuna_dashboard") is None:
        raise EnvironmentFailed("optuna-dashboard is not installed: pip install 'vgg_ablate[dashboard]'")
    url = storage or embedded(results_folder(study, out))
    path = file_of(url)
    if path is not None and not path.exists():
        raise EnvironmentFailed(f"{path}: no ledger; run the study, or make it again: vgg_ablate status --rebuild")
    where = str(path) if path is not None and url.startswith("journal:") else url  # as the dashboard has it
    code = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, where, "--host", "127.0.0.1", "--port", str(port)], check=False)

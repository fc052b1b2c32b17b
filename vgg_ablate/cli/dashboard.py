"""`dashboard STUDY`: Optuna's dashboard on the study's ledger."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from vgg_ablate.cli.arguments import OUT, RESULTS, find_results_folder
from vgg_ablate.errors import EnvironmentFailedError

STORAGE = Annotated[str | None, typer.Option(metavar="URL", help="Of the ledger; default: its file.")]


def dashboard(study: RESULTS, out: OUT = None, storage: STORAGE = None, port: int = 8080) -> None:
    """Serve optuna-dashboard on this machine alone; Ctrl-C ends it. It reads; the records stay the truth."""
    from vgg_ablate.runs.ledger.storage import build_default_url, parse_file_path

    if find_spec("optuna_dashboard") is None:
        raise EnvironmentFailedError("optuna-dashboard is not installed: pip install 'vgg_ablate[dashboard]'")
    url = storage or build_default_url(find_results_folder(study, out))
    path = parse_file_path(url)
    if path is not None and not path.exists():
        raise EnvironmentFailedError(f"{path}: no ledger; run the study, or make it again: vgg_ablate status --rebuild")
    where = str(path) if path is not None and url.startswith("journal:") else url  # as the dashboard has it
    code = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, where, "--host", "127.0.0.1", "--port", str(port)], check=False)

"""`dashboard STUDY`: serve optuna-dashboard on the ledger of a study."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Annotated

import typer

from vgg_ablate.cli.arguments import OUT, RESULTS, declare_storage, find_results_folder
from vgg_ablate.errors import EnvironmentFailedError, find_missing_package

PORT = Annotated[int, typer.Option(help="Port on 127.0.0.1.")]
STORAGE = Annotated[str | None, declare_storage("; default: its file in the results folder.")]


def dashboard(study: RESULTS, out: OUT = None, storage: STORAGE = None, port: PORT = 8080) -> None:
    """Serve optuna-dashboard on the ledger of a study, for this machine only; Ctrl-C stops it."""
    from vgg_ablate.runs.interrupts import exit_on_sigterm
    from vgg_ablate.runs.ledger.storage import build_default_url, parse_file_path

    if missing := find_missing_package("optuna_dashboard", "dashboard"):
        raise EnvironmentFailedError(missing)
    url = storage or build_default_url(find_results_folder(study, out))
    path = parse_file_path(url)
    if path is not None and not path.exists():
        raise EnvironmentFailedError(f"{path}: ledger not found; run the study, or `status --rebuild` to rebuild it")
    # optuna-dashboard takes a journal as a path, and everything else as a URL.
    target = str(path) if path is not None and url.startswith("journal:") else url
    # Loopback only: the dashboard has no login.
    _check_port_is_free(port)
    code = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, target, "--host", "127.0.0.1", "--port", str(port)]
    exit_on_sigterm()  # it would end this process alone, and leave the server with the port
    with subprocess.Popen(command) as server:
        try:
            server.wait()
        finally:
            server.terminate()


def _check_port_is_free(port: int) -> None:
    """Raise EnvironmentFailedError where another process listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: a port just closed is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            rule = f"port {port} of 127.0.0.1: {error.strerror}; --port takes another one"
            raise EnvironmentFailedError(rule) from error

"""Processes with a mount namespace of their own: no other process sees what they mount."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNSHARE_COMMAND = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")


def _has_user_namespaces() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE_COMMAND, "true"], check=False, capture_output=True).returncode == 0


def run_in_namespace(script: str, arguments: Path, *values: object) -> str:
    """Run a Python script with a mount namespace of its own; return its output. It must end without an error.

    `sys.argv[1]` of the script is the path `arguments`, which holds the pickled tuple of `values`.
    """
    arguments.write_bytes(pickle.dumps(values))
    command = [*UNSHARE_COMMAND, sys.executable, "-c", script, str(arguments)]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


requires_user_namespaces = pytest.mark.skipif(not _has_user_namespaces(), reason="this system has no user namespaces")

"""Processes with a view of the disk of their own: what they mount, nobody else sees."""

from __future__ import annotations

import shutil
import subprocess

import pytest

UNSHARE_COMMAND = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")


def _possible() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE_COMMAND, "true"], check=False, capture_output=True).returncode == 0


requires_user_namespaces = pytest.mark.skipif(not _possible(), reason="this system has no user namespaces")

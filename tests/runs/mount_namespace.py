"""Processes with a mount namespace of their own: no other process sees what they mount."""

from __future__ import annotations

import shutil
import subprocess

import pytest

UNSHARE_COMMAND = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")


def _has_user_namespaces() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE_COMMAND, "true"], check=False, capture_output=True).returncode == 0


requires_user_namespaces = pytest.mark.skipif(not _has_user_namespaces(), reason="this system has no user namespaces")

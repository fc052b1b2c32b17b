"""Where and how a study was run: versions, git, host, command line."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_LIBRARIES = ("vgg_ablate", "torch", "torchvision", "optuna", "numpy", "scikit-learn", "fvcore")


def collect_provenance() -> dict[str, Any]:
    """What can be said of this machine and this checkout, now."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [os.path.basename(sys.argv[0]), *map(mask_password, sys.argv[1:])],
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {name: found for name in _LIBRARIES if (found := _version(name))},
        "git": _git(),
    }


def mask_password(text: str) -> str:
    """`postgresql://ann:secret@host` -> `postgresql://ann:***@host`."""
    return re.sub(r"(://[^:/@\s]+):[^@\s]*@", r"\1:***@", text)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, str]:
    """The commit that is checked out, and a hash of what differs from it ("" where nothing does)."""
    commit = _said("rev-parse", "HEAD").strip()
    if not commit:
        return {}
    difference = _said("diff", "HEAD", "--", ".", ":(exclude)results")
    return {"commit": commit, "dirty": hashlib.sha256(difference.encode()).hexdigest()[:16] if difference else ""}


def _said(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, errors="replace")
    except OSError:  # no git here
        return ""
    return done.stdout if done.returncode == 0 else ""

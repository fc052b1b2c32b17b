"""The provenance of a study: versions, git commit, host, command line."""

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

_SECRET_PARAMETER = re.compile(r"([?&][^=&\s]*(?:pass|pwd|secret|token|key)[^=&\s]*)=[^&\s]*", re.IGNORECASE)


def collect_provenance() -> dict[str, Any]:
    """Return the facts about this machine, this process and this checkout that a manifest records."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        # Without the folder of the program and without passwords: results folders are published.
        "command": [os.path.basename(sys.argv[0]), *map(mask_password, sys.argv[1:])],
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {name: number for name in _LIBRARIES if (number := _get_version(name))},
        "git": _describe_checkout(),
    }


def mask_password(text: str) -> str:
    """Return a URL without its password: `postgresql://ann:***@host` for `postgresql://ann:secret@host`.

    Parameters such as `?password=secret` are replaced, too.
    """
    # Up to the last @, where SQLAlchemy ends a password at the first: one that contains @ would be shown in part.
    text = re.sub(r"(://[^:/@\s]*):.*@", r"\1:***@", text, flags=re.DOTALL)
    return _SECRET_PARAMETER.sub(r"\1=***", text)


def _get_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _describe_checkout() -> dict[str, str]:
    """Return the commit and a hash of the uncommitted changes (empty if there are none); nothing outside git."""
    commit = _run_git("rev-parse", "HEAD").strip()
    if not commit:
        return {}
    # results/ changes with every run and is no code.
    changes = _run_git("diff", "HEAD", "--", ".", ":(exclude)results")
    return {"commit": commit, "dirty": hashlib.sha256(changes.encode()).hexdigest()[:16] if changes else ""}


def _run_git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, errors="replace")
    except OSError:  # git is not installed
        return ""
    return done.stdout if done.returncode == 0 else ""

"""Leases: a kernel's lock on a file, dropped however its holder dies. No heartbeats, no grace periods, none stale."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from vgg_ablate.errors import StorageFailed, StudyHeld

_PAUSE = 0.05  # seconds between two tries at a lock that another process holds


@contextlib.contextmanager
def study_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a results folder for as long as the block runs. Raises StudyHeld: who holds it, and since when."""
    path = folder / "study.lock"
    handle = _opened(path)
    try:
        while not _locked(handle, path):
            if not wait:
                raise StudyHeld(f"{folder}: {_holder(path)} is running this study; --wait waits for it")
            time.sleep(_PAUSE)
        _sign(handle, path)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def holder(folder: Path) -> str | None:
    """Who is running the study of this folder, or None. A lock left by the dead is no lock."""
    path = folder / "study.lock"
    if not path.exists():
        return None
    handle = _opened(path)
    try:
        return None if _locked(handle, path) else _holder(path)
    finally:
        os.close(handle)


@contextlib.contextmanager
def run_lease(path: Path) -> Iterator[None]:
    """Hold a run, waiting for a holder that is about to end. The file is gone afterwards."""
    while True:
        handle = _opened(path)
        try:
            while not _locked(handle, path):
                time.sleep(_PAUSE)
            if _still(handle, path):
                yield
                path.unlink(missing_ok=True)
                return
        finally:
            os.close(handle)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror}") from error


def _locked(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror}: this file system has no locks") from error
    return True


def _still(handle: int, path: Path) -> bool:
    """Is the locked file the one that has this name? A former holder may have removed it in between."""
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _sign(handle: int, path: Path) -> None:
    about = {"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(about).encode(), 0)
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror}") from error


def _holder(path: Path) -> str:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']}, since {about['since']},"
    except (ValueError, KeyError, OSError):  # it has the lock, and has not signed yet
        return "another process"

"""Leases: a kernel's lock on a file, dropped however its holder dies. No grace periods, none stale.

A holder that neither dies nor answers has its lease broken: the file's name goes to the next holder, and whoever wakes
up with the old one finds that it is held no more.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from vgg_ablate.errors import StorageError, StudyLockedError

_PAUSE = 0.05  # seconds between two tries at a lock that another process holds


@contextlib.contextmanager
def hold_study_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a results folder for as long as the block runs. Raises StudyHeld: who holds it, and since when."""
    path = folder / "study.lock"
    handle = _opened(path)
    try:
        while not _locked(handle, path):
            if not wait:
                raise StudyLockedError(f"{folder}: {_holder(path)} is running this study; --wait waits for it")
            time.sleep(_PAUSE)
        _sign(handle, path)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def read_lock_holder(folder: Path) -> str | None:
    """Who is running the study of this folder, or None. A lock left by the dead is no lock."""
    path = folder / "study.lock"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a folder that cannot be written can be looked at
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    try:
        return None if _locked(handle, path, fcntl.LOCK_SH) else _holder(path)
    finally:
        os.close(handle)


class LeaseLostError(Exception):
    """The run was given to another while this process was silent; what it has trained since is nobody's."""


def read_driver_signature(folder: Path) -> str:
    """What the driver that runs this folder's study has signed there; on a machine that does not see it, nothing."""
    try:
        return (folder / "study.lock").read_text(encoding="utf-8")
    except OSError:
        return ""


@contextlib.contextmanager
def hold_run_lease(path: Path, patience: float) -> Iterator[Callable[[], None]]:
    """Hold a run, waiting for a holder that is about to end, or breaking its lease after `patience` seconds.

    Only the worker of a driver that is gone can be found here: it ends in a moment, unless it hangs.

    What is yielded raises Superseded where the lease was broken.
    """
    handle = _taken(path, patience)
    try:
        yield lambda: _check(handle, path)
        if _still(handle, path):
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def break_lease(path: Path) -> None:
    """Take a run from a holder that has fallen silent. Raises StorageFailed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _taken(path: Path, patience: float) -> int:
    """The open file of a lease that is held, and that still has its name."""
    end = time.monotonic() + patience
    while True:
        handle = _opened(path)
        held = _locked(handle, path)
        if held and _still(handle, path):
            return handle
        os.close(handle)
        if not held:
            if time.monotonic() > end:
                break_lease(path)
            time.sleep(_PAUSE)


def _check(handle: int, path: Path) -> None:
    if not _still(handle, path):
        raise LeaseLostError(f"{path.name} was given to another worker: this one was silent for too long")


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _locked(handle: int, path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: this file system has no locks") from error
    return True


def _still(handle: int, path: Path) -> bool:
    """Is the opened file the one that has this name? Another may have removed it in between."""
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ESTALE:  # removed on a network file system, by another machine
            return False
        raise StorageError(f"{path}: {error.strerror}") from error


def _sign(handle: int, path: Path) -> None:
    about = {"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(about).encode(), 0)
        os.fsync(handle)  # so that other machines read it too
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _holder(path: Path) -> str:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']}, since {about['since']},"
    except (ValueError, KeyError, OSError):  # it has the lock, and has not signed yet
        return "another process"

"""The lock of a study and the leases of its runs: locks on files, which the kernel drops when their holder ends.

Contract: at most one process holds the lock of a results folder; at most one worker may write the record of a run. No
lock is left behind and no grace period is needed, because the kernel drops the lock of a process that has ended.

Some network and FUSE file systems grant every lock. There the signature in the lock file decides between two drivers:
one that finds the signature of a living process of its own machine is refused; a process of another machine cannot be
asked, so the driver that signed last goes on, and the one before it ends before it asks for another run.

The lease of a holder that hangs is broken: the file is deleted, and the next holder locks a new file of the same
name. When the old holder runs again, its open file no longer has that name, and it raises LeaseLostError
before it writes anything. (The leases are ours and not filelock's because filelock cannot break a lock.)
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from vgg_ablate.errors import StorageError, StudyLockedError
from vgg_ablate.files import open_lock_file, try_lock

_RETRY_INTERVAL_S = 0.05  # between two attempts at a lock that another process holds


class LeaseLostError(Exception):
    """A lease that was broken because its holder sent no heartbeat. The holder must not write a record."""


@contextlib.contextmanager
def hold_study_lock(folder: Path, *, wait: bool = False) -> Iterator[Callable[[], None]]:
    """Lock a results folder while the block runs; yield a function that raises StudyLockedError once another holds it.

    Raises StudyLockedError, with the process that holds the lock and since when, unless `wait` is set, and
    StorageError where the folder is a file.
    """
    path = folder / "study.lock"
    if folder.is_file():
        raise StorageError(f"{folder}: is a file; --out takes a folder")
    handle = open_lock_file(path)
    try:
        while not _try_lock(handle, path) or _is_signer_alive(path):
            if not wait:
                raise StudyLockedError(f"{folder}: {_describe_holder(path)} is running this study; --wait waits for it")
            time.sleep(_RETRY_INTERVAL_S)
        signature = _write_signature(handle, path)
        yield lambda: _check_signature(folder, signature)
        # Emptied and not deleted: a process that waits has this file open, and would lock one that nobody else sees.
        if read_driver_signature(folder) == signature:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def read_lock_holder(folder: Path) -> str | None:
    """Return a description of the process that runs the study of this folder, or None. Raises StorageError."""
    path = folder / "study.lock"
    try:
        handle = os.open(path, os.O_RDONLY)  # not open_lock_file: `status` must work in a folder that is read-only
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    try:
        # The file alone proves nothing, since a killed driver leaves it. A shared lock fails only if a driver is
        # running, and two readers do not exclude each other.
        return None if _try_lock(handle, path, shared=True) else _describe_holder(path)
    finally:
        os.close(handle)


def read_driver_signature(folder: Path) -> str:
    """Return what the driver of this folder has written to its lock file; an empty text if the file is not visible.

    A worker on another machine compares it with the driver's own to find out whether both use the same folder.
    """
    try:
        return (folder / "study.lock").read_text(encoding="utf-8")
    except OSError:
        return ""


@contextlib.contextmanager
def hold_run_lease(path: Path, timeout_s: float) -> Iterator[Callable[[], None]]:
    """Hold the lease of a run while the block runs; yield a function that raises LeaseLostError once it is broken.

    If another process holds the lease, wait, and break it after `timeout_s` seconds. Only a worker whose driver has
    died can hold it at this point, and it ends within moments unless it hangs.
    """
    handle = _acquire_lease(path, timeout_s)
    try:
        yield lambda: _check_lease(handle, path)
        # If the lease was broken, the file at this path is the next holder's.
        if _is_file_at(handle, path):
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def break_lease(path: Path) -> None:
    """Break the lease of a run whose holder hangs. Raises StorageError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _acquire_lease(path: Path, timeout_s: float) -> int:
    """Return the handle of a lease file that is locked and still has its name."""
    end = time.monotonic() + timeout_s
    while True:
        # Polled: a blocking lock would go on waiting for a file that was deleted meanwhile, and miss the new one.
        handle = open_lock_file(path)
        locked = _try_lock(handle, path)
        # Between opening and locking, the previous holder may have deleted the file: its lock would exclude nobody.
        if locked and _is_file_at(handle, path):
            return handle
        os.close(handle)
        if not locked:
            if time.monotonic() > end:
                break_lease(path)
            time.sleep(_RETRY_INTERVAL_S)


def _check_lease(handle: int, path: Path) -> None:
    if not _is_file_at(handle, path):
        raise LeaseLostError(f"{path.name} was given to another worker: this one sent no heartbeat for too long")


def _try_lock(handle: int, path: Path, *, shared: bool = False) -> bool:
    try:
        return try_lock(handle, shared=shared)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: this file system has no locks") from error


def _is_file_at(handle: int, path: Path) -> bool:
    """Return whether the open file is the one at `path`, which another process may have deleted or replaced."""
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ESTALE:  # another machine has deleted the file on a network file system
            return False
        raise StorageError(f"{path}: {error.strerror}") from error


def _write_signature(handle: int, path: Path) -> str:
    """Write which process holds the lock into the file that is locked, and return what was written."""
    holder = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    signature = json.dumps(holder)
    try:
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, signature.encode())
        os.fsync(handle)  # other machines read it through a network file system
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    return signature


def _check_signature(folder: Path, signature: str) -> None:
    if read_driver_signature(folder) not in ("", signature):  # empty: not visible, or just being written
        holder = _describe_holder(folder / "study.lock")
        raise StudyLockedError(
            f"{folder}: {holder} has taken this study over; this process ends, and keeps its records"
        )


def _is_signer_alive(path: Path) -> bool:
    """Return whether another living process of this machine has signed the lock file.

    Where locks work, a process that has the lock finds no such signature: that of a dead process, whose number a
    younger process may have by now, counts for nothing.
    """
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        pid, since = int(holder["pid"]), datetime.fromisoformat(holder["since"]).timestamp()
        if holder["host"] != socket.gethostname() or pid == os.getpid():
            return False
    except (ValueError, TypeError, KeyError, OSError):
        return False
    import psutil  # not at import time: `status` needs it only here

    try:
        return bool(psutil.Process(pid).create_time() < since + 1)  # `since` is in whole seconds
    except psutil.Error:
        return False


def _describe_holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']},"
    except (ValueError, KeyError, OSError):  # the holder has the lock and has not written its signature yet
        return "another process"

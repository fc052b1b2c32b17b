"""Files that survive a kill, and locks that end with their process.

Both writers write a temporary file beside the target, sync it, and give it its name in one step: a reader sees the old
content, the new content, or no file, whenever the writer dies. Temporary files are named `.*.aside`; `clean` deletes
those that a killed process has left.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from vgg_ablate.errors import StorageError

# On Windows a lock keeps others from reading the locked bytes. This byte lies behind the end of every lock file, so
# that its content, which names the process that holds it, stays readable.
_WINDOWS_LOCK_OFFSET = 1 << 30


def replace_file(path: Path, content: str | bytes) -> None:
    """Write text (as UTF-8) or bytes to `path`, and replace what is there in one step. Raises StorageError."""
    with _write_temporary_file(path, content) as temporary:
        os.replace(temporary, path)


def read_regular_file(path: Path) -> bytes:
    """Return the bytes of a file. Raises OSError, also where it is a pipe or a device, which could be read forever."""
    # Without waiting: a pipe that nobody writes to would not even open.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read()


def write_once(path: Path, content: str | bytes) -> bool:
    """Write `content` to `path` unless the file exists, and return whether it was written. Raises StorageError.

    Of several processes that write one path at the same time, exactly one succeeds.
    """
    with _write_temporary_file(path, content) as temporary:
        try:
            os.link(temporary, path)  # os.rename would replace the file of another process
        except FileExistsError:
            return False
    return True


@contextlib.contextmanager
def _write_temporary_file(path: Path, content: str | bytes) -> Iterator[str]:
    """Write `content` to a synced file in the folder of `path`, and delete it at the end unless it was renamed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = os.path.join(path.parent, f".{uuid.uuid4().hex}.aside")
        # Not mkstemp, which gives mode 0600: a team shares a results folder, and the umask decides who may read it.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())  # the name must never stand for a file whose blocks a power cut has lost
            yield temporary
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def open_lock_file(path: Path) -> int:
    """Open a file to lock it, and create it and its folder where they do not exist. Raises StorageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # less the umask
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def try_lock(handle: int, *, shared: bool = False) -> bool:
    """Lock an open file and return True, or return False where another process holds its lock.

    The kernel drops the lock when the file is closed or the process dies, however it dies: a lock never goes stale.
    `shared` locks exclude only exclusive ones (on Windows all locks are exclusive). Raises OSError where the file
    system has no locks.
    """
    # Imported here: fcntl does not exist on Windows, msvcrt exists only there, and the package must import on both.
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, _WINDOWS_LOCK_OFFSET, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

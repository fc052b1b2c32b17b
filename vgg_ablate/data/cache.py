"""The folders of a data set and of the cache, and the cache's locks. Imports no torch.

Contract: entries of the cache are named by their content and written whole (made aside, then renamed), so that a
reader needs no lock. The lock only keeps several processes from decoding the same files at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from vgg_ablate.config.training import Data
from vgg_ablate.errors import StorageError

# Errors of flock on a file system without locks: some NFS, Lustre and FUSE mounts.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


def get_cache_dir() -> Path:
    """Return $VGG_ABLATE_CACHE, or `vgg_ablate` in the user's cache folder (Linux: $XDG_CACHE_HOME or ~/.cache)."""
    if cache_dir := os.environ.get("VGG_ABLATE_CACHE"):
        return Path(cache_dir)
    return platformdirs.user_cache_path("vgg_ablate", appauthor=False)


def find_data_root(data: Data) -> Path:
    """Return the folder that holds the data set's files, or would hold them after a download.

    This is `data.root`, relative to $VGG_ABLATE_DATA where that is set; without `data.root` it is $VGG_ABLATE_DATA,
    and without both `data` in the cache folder.
    """
    parent = os.environ.get("VGG_ABLATE_DATA")
    if data.root is None:
        return Path(parent).expanduser() if parent else get_cache_dir() / "data"
    root = Path(data.root).expanduser()
    return Path(parent).expanduser() / root if parent else root


@contextlib.contextmanager
def hold_cache_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder of the cache, which need not exist yet. Raises StorageError.

    On a file system without locks every process enters, and the first to finish provides the entry.
    """
    import filelock  # imports the system's lock calls (fcntl, msvcrt), which only decoding needs

    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Soft locks are files that a killed process leaves behind: without flock, work twice rather than wait.
            stack.enter_context(filelock.FileLock(path.parent / f".{path.name}.lock", fallback_to_soft=False))
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise StorageError(_describe_failure(path, error)) from error
        yield


@contextlib.contextmanager
def make_scratch_dir(parent: Path) -> Iterator[Path]:
    """Make a folder inside `parent` and remove it at the end.

    Raises StorageError where the folder cannot be made, and for every OSError inside the block.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(".aside", ".", parent, ignore_cleanup_errors=True) as scratch_dir:
            yield Path(scratch_dir)
    except OSError as error:
        raise StorageError(_describe_failure(parent, error)) from error


def move_into_place(scratch_dir: Path, folder: Path) -> None:
    """Rename a finished folder to its name in the cache; leave it where another process already made that entry."""
    try:
        scratch_dir.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _describe_failure(path: Path, error: OSError) -> str:
    return f"{path}: {error.strerror or error}; $VGG_ABLATE_CACHE names another folder"

"""Where data lie: the root that a study names, $VGG_ABLATE_DATA, or a cache folder; and the cache itself. No torch."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vgg_ablate.config.training import Data
from vgg_ablate.errors import StorageError


def get_cache_dir() -> Path:
    """$VGG_ABLATE_CACHE, or vgg_ablate in the user's cache folder."""
    if given := os.environ.get("VGG_ABLATE_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vgg_ablate"


def find_data_root(data: Data) -> Path:
    """The folder that holds the data set's files, or would.

    `data.root`, which may lie below $VGG_ABLATE_DATA; or $VGG_ABLATE_DATA itself; or `data` in the cache folder.
    """
    around = os.environ.get("VGG_ABLATE_DATA")
    if data.root is None:
        return Path(around).expanduser() if around else get_cache_dir() / "data"
    given = Path(data.root).expanduser()
    return Path(around).expanduser() / given if around else given


@contextlib.contextmanager
def hold_cache_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder of the cache, which need not exist yet: one process at a time is inside.

    Where the disk knows no locks all are inside at once, and the first to end stays. Raises StorageFailed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = (path.parent / f".{path.name}.lock").open("a")
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; $VGG_ABLATE_CACHE names another folder") from error
    with lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def make_scratch_dir(parent: Path) -> Iterator[Path]:
    """Make a folder inside `parent` that is gone at the end. Raises StorageFailed, also for what is written inside."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(".aside", ".", parent, ignore_cleanup_errors=True) as aside:
            yield Path(aside)
    except OSError as error:
        raise StorageError(f"{parent}: {error.strerror or error}; $VGG_ABLATE_CACHE names another folder") from error


def move_into_place(aside: Path, folder: Path) -> None:
    """Rename a finished folder to its name in the cache, where no other process was first with the same content."""
    try:
        aside.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise

"""Where data lie: the root that a study names, $VGG_ABLATE_DATA, or a cache folder; and the cache itself. No torch."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from vgg_ablate.errors import StorageFailed
from vgg_ablate.spec.recipe import Data


def cache_folder() -> Path:
    """$VGG_ABLATE_CACHE, or vgg_ablate in the user's cache folder."""
    if given := os.environ.get("VGG_ABLATE_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vgg_ablate"


def root(data: Data) -> Path:
    """The folder that holds the data set's files, or would.

    `data.root`, which may lie below $VGG_ABLATE_DATA; or $VGG_ABLATE_DATA itself; or `data` in the cache folder.
    """
    around = os.environ.get("VGG_ABLATE_DATA")
    if data.root is None:
        return Path(around).expanduser() if around else cache_folder() / "data"
    given = Path(data.root).expanduser()
    return Path(around).expanduser() / given if around else given


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, filled by `make` where it is not there yet: by one process, for which others wait.

    Made aside and renamed into place, so that it is whole. Raises StorageFailed where the disk does not take it.
    """
    if folder.is_dir():
        return folder
    with _alone(folder):
        if not folder.is_dir():
            _made(folder, make)
    return folder


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time is inside. Where the disk knows no locks all are, and the first to end stays."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = (folder.parent / f".{folder.name}.lock").open("a")
    except OSError as error:
        raise StorageFailed(f"{folder}: {error.strerror}; $VGG_ABLATE_CACHE names another folder") from error
    with lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _made(folder: Path, make: Callable[[Path], None]) -> None:
    try:
        with tempfile.TemporaryDirectory(".aside", ".", folder.parent, ignore_cleanup_errors=True) as aside:
            make(Path(aside))
            _renamed(Path(aside), folder)
    except OSError as error:
        raise StorageFailed(f"{folder}: {error.strerror}") from error


def _renamed(aside: Path, folder: Path) -> None:
    try:
        aside.rename(folder)
    except OSError:
        if not folder.is_dir():  # a folder that is there was made by another process, from the same content
            raise

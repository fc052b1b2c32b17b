"""Where data lie: the root that a study names, $VGG_ABLATE_DATA, or a cache folder; and the cache itself. No torch."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
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
    """`folder`, filled by `make` where it is not there yet.

    Made aside and renamed into place: when two processes start at once both make it and the first one stays.
    Raises StorageFailed where the disk does not take it.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".", suffix=".aside", dir=folder.parent))
    except OSError as error:
        raise StorageFailed(f"{folder}: {error.strerror}; $VGG_ABLATE_CACHE names another folder") from error
    try:
        make(aside)
        _renamed(aside, folder)
    except OSError as error:
        raise StorageFailed(f"{folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _renamed(aside: Path, folder: Path) -> None:
    try:
        aside.rename(folder)
    except OSError:
        if not folder.is_dir():  # a folder that is there was made by another process, from the same content
            raise

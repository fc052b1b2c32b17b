"""What lies in a results folder and is asked for by nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vgg_ablate.errors import StorageFailed
from vgg_ablate.records import Manifest, Store


def strays(folder: Path) -> Iterator[Path]:
    """Records that the manifest does not plan, those set aside, half-written files, checkpoints of recorded runs,
    predictions of runs that are not planned."""
    store = Store(folder / "records")
    manifest, recorded = Manifest.read(folder), store.keys()
    planned = {cell.key for cell in manifest.planned} | {run.key for run in manifest.tuning}
    unfinished = {cell.training_key or cell.key for cell in manifest.planned if cell.key not in recorded}
    unfinished |= {run.key for run in manifest.tuning if run.key not in recorded}
    yield from (store.path(key) for key in sorted(recorded - planned))
    yield from sorted((folder / "records" / "aside").glob("*.json"))
    yield from sorted(folder.glob("**/.*.aside"))
    yield from (path for path in sorted(folder.glob("checkpoints/*")) if path.name not in unfinished)
    yield from (path for path in sorted(folder.glob("predictions/*.npz")) if path.stem not in planned)


def removed(path: Path) -> Path:
    """The same path, with nothing there."""
    try:
        path.unlink()
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror}") from error
    return path

"""Orphans of a results folder: files that no study needs any more.

Records are never deleted: they move to `records/aside/`, from where they can be moved back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vgg_ablate.config.study import load
from vgg_ablate.errors import SpecError, StorageError
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.ledger.ledger import open_study_ledger
from vgg_ablate.runs.recorded import set_aside_records

# Seconds after which a temporary file belongs to no living process: a worker renames its file within moments.
_TEMPORARY_FILE_AGE_S = 600.0


@dataclass(frozen=True)
class Orphans:
    """The files of a results folder that no study needs."""

    folder: Path
    records: tuple[str, ...] = ()  # keys
    files: tuple[Path, ...] = ()  # temporary files, checkpoints of recorded runs, predictions of runs without a record
    aside: tuple[Path, ...] = ()  # records that were set aside before

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of all files, those of records first."""
        store = RecordStore(self.folder / "records")
        return (*map(store.get_path, self.records), *self.files, *self.aside)


def find_orphans(folder: Path, *, aside: bool = False) -> Orphans:
    """Return the orphans of a results folder; with `aside`, also the records that were set aside before.

    Hold the folder's lock during this call and `remove_orphans`. A record is kept if the manifest of this study or of
    one in a neighbouring folder lists it, if the ledger of a search lists it, or if it is newer than the manifest: a
    search that was killed may have written it since. Raises StorageError if the folder holds no study.
    """
    manifest, store = Manifest.read(folder), RecordStore(folder / "records")
    manifest_time = (folder / "manifest.json").stat().st_mtime
    wanted = manifest.list_keys() | _list_ledger_keys(folder)
    for path in folder.parent.glob("*/manifest.json"):
        if path.parent != folder:
            wanted |= _list_neighbour_keys(path.parent)
    recorded = store.keys()
    unwanted = sorted(key for key in recorded - wanted if store.get_path(key).stat().st_mtime < manifest_time)
    now = time.time()
    files = [path for path in sorted(folder.glob("**/.*.aside")) if now - path.stat().st_mtime > _TEMPORARY_FILE_AGE_S]
    files += _find_finished_checkpoints(folder, manifest, recorded)
    # A worker stores the predictions of a run before its record, so young ones may still get their record.
    files += [
        path
        for path in sorted(folder.glob("predictions/*.npz"))
        if path.stem not in recorded - set(unwanted) and now - path.stat().st_mtime > _TEMPORARY_FILE_AGE_S
    ]
    set_aside = sorted((store.folder / "aside").glob("*.json")) if aside else []
    return Orphans(folder, tuple(unwanted), tuple(files), tuple(set_aside))


def remove_orphans(orphans: Orphans) -> Iterator[str]:
    """Set records aside and delete the other files; yield one line of text per file. Raises StorageError."""
    store = RecordStore(orphans.folder / "records")
    for key in orphans.records:
        set_aside_records(store, [key])
        yield f"moved {store.get_path(key)} to {store.folder / 'aside'}"
    for path in (*orphans.files, *orphans.aside):
        _delete(path)
        yield f"deleted {path}"


def delete_finished_checkpoints(folder: Path) -> None:
    """Delete the checkpoints that no missing run needs, such as that of a worker that was killed after its last record.

    Hold the folder's lock. Raises StorageError.
    """
    if any((folder / "checkpoints").glob("*")):  # else neither the manifest nor the records need to be read
        for path in _find_finished_checkpoints(folder, Manifest.read(folder), RecordStore(folder / "records").keys()):
            _delete(path, missing_ok=True)  # a worker on another machine may delete it at the same time


def _find_finished_checkpoints(folder: Path, manifest: Manifest, recorded: set[str]) -> list[Path]:
    """Return the checkpoints of recorded trainings, sorted.

    Several runs may share a training: its checkpoint is needed until the last of them has its record.
    """
    unfinished, recorded_trainings = set[str](), set(recorded)
    for cell in manifest.planned:
        (recorded_trainings if cell.key in recorded else unfinished).add(cell.training_key or cell.key)
    finished = recorded_trainings - unfinished
    return [path for path in sorted(folder.glob("checkpoints/*")) if path.name in finished]


def _delete(path: Path, *, missing_ok: bool = False) -> None:
    try:
        path.unlink(missing_ok=missing_ok)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _list_neighbour_keys(folder: Path) -> set[str]:
    """Return the keys that a neighbouring study plans; none if its manifest cannot be read."""
    try:
        return Manifest.read(folder).list_keys()
    except StorageError:
        return set()


def _list_ledger_keys(folder: Path) -> set[str]:
    """Return the keys in the ledger of a search: its manifest is written only every few seconds."""
    try:
        study = load(folder / "study.yaml")
    except SpecError:
        return set()
    if not study.design.proposes_variants or not (folder / "study.db").exists():
        return set()
    with closing(open_study_ledger(study, folder)) as ledger:
        return ledger.list_keys()

"""Files of a results folder that no study asks for: find them, and set records aside.

A record is never deleted here: it moves to `records/aside/`, from where it can be taken back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vgg_ablate.config.search import Search
from vgg_ablate.config.study import load
from vgg_ablate.errors import SpecError, StorageError
from vgg_ablate.records import Manifest, RecordStore
from vgg_ablate.runs.driver import open_ledger
from vgg_ablate.runs.ledger.storage import build_default_url
from vgg_ablate.runs.recorded import set_aside_records

_SETTLED = 600.0  # seconds after which a half-written file is nobody's: a worker links its record within moments


@dataclass(frozen=True)
class Orphans:
    """What lies in a results folder and is asked for by no study."""

    folder: Path
    records: tuple[str, ...] = ()  # keys
    files: tuple[Path, ...] = ()  # half-written files, checkpoints of runs with records, predictions of runs without
    aside: tuple[Path, ...] = ()  # records that were set aside before

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file, records first."""
        store = RecordStore(self.folder / "records")
        return (*map(store.path, self.records), *self.files, *self.aside)


def find_orphans(folder: Path, *, aside: bool = False) -> Orphans:
    """Return what nobody asks for; with `aside`, the records that were set aside too.

    Hold the folder's lock while it is called and acted upon. A record is kept if the manifest of this or of a
    neighbouring study plans it, if the ledger of a search knows it, or if it is younger than the manifest: a search
    that was killed may have written it since. Raises StorageFailed where the folder holds no study.
    """
    manifest, store = Manifest.read(folder), RecordStore(folder / "records")
    written = (folder / "manifest.json").stat().st_mtime
    wanted = _planned(manifest) | _searched(folder)
    for path in folder.parent.glob("*/manifest.json"):
        if path.parent != folder:
            wanted |= _planned_by_neighbour(path.parent)
    recorded = store.keys()
    lost = sorted(key for key in recorded - wanted if store.path(key).stat().st_mtime < written)
    now = time.time()
    files = [path for path in sorted(folder.glob("**/.*.aside")) if now - path.stat().st_mtime > _SETTLED]
    unfinished, ended = _trainings(manifest, recorded)
    files += [path for path in sorted(folder.glob("checkpoints/*")) if path.name in ended - unfinished]
    files += [
        path
        for path in sorted(folder.glob("predictions/*.npz"))
        if path.stem not in recorded - set(lost) and now - path.stat().st_mtime > _SETTLED
    ]
    set_aside = sorted((store.folder / "aside").glob("*.json")) if aside else []
    return Orphans(folder, tuple(lost), tuple(files), tuple(set_aside))


def remove_orphans(orphans: Orphans) -> Iterator[str]:
    """Set records aside and delete the other files; yield a line for each. Raises StorageFailed."""
    store = RecordStore(orphans.folder / "records")
    for key in orphans.records:
        set_aside_records(store, [key])
        yield f"moved {store.path(key)} to {store.folder / 'aside'}"
    for path in (*orphans.files, *orphans.aside):
        try:
            path.unlink()
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        yield f"deleted {path}"


def _trainings(manifest: Manifest, recorded: set[str]) -> tuple[set[str], set[str]]:
    """The trainings, as checkpoints are named, of which a run is missing; and those of which one is recorded."""
    unfinished, ended = set[str](), set(recorded)
    for cell in manifest.planned:
        (ended if cell.key in recorded else unfinished).add(cell.training_key or cell.key)
    return unfinished, ended


def _planned(manifest: Manifest) -> set[str]:
    return {cell.key for cell in manifest.planned} | {run.key for run in manifest.tuning}


def _planned_by_neighbour(folder: Path) -> set[str]:
    """What a study beside this one plans; nothing where its manifest cannot be read."""
    try:
        return _planned(Manifest.read(folder))
    except StorageError:
        return set()


def _searched(folder: Path) -> set[str]:
    """The keys of runs that the ledger of a search knows: its manifest is written only now and then."""
    try:
        study = load(folder / "study.yaml")
    except SpecError:
        return set()
    design: object = study.design
    if not isinstance(design, Search) or not (folder / "study.db").exists():
        return set()
    with closing(open_ledger(study.name, folder, build_default_url(folder), design)) as ledger:
        return ledger.list_keys()

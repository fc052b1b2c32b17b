"""What became of the runs of a plan, read off their records without reading them whole into models."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from vgg_ablate.errors import StorageError
from vgg_ablate.records import Outcome, RecordStore, build_predictions_path

_WRITTEN = re.compile(rb'^ "outcome": "([a-z_]+)"', re.MULTILINE)  # as Store.put writes it; ten times as quick as JSON


def read_outcomes(store: RecordStore, keys: Iterable[str]) -> dict[str, Outcome]:
    """Key -> outcome of those keys that have a record. Raises StorageFailed where one is torn."""
    recorded = store.keys()
    return {key: _outcome(store.path(key)) for key in keys if key in recorded}


def set_aside_records(store: RecordStore, keys: Iterable[str]) -> None:
    """Take records out of the store, so that their runs are missing; they are kept in `records/aside/`."""
    folder = store.folder / "aside"
    for key in keys:
        try:
            folder.mkdir(exist_ok=True)
            count = sum(name.startswith(key) for name in os.listdir(folder))
            store.path(key).rename(folder / f"{key}.{count}.json")
        except OSError as error:
            raise StorageError(f"{store.path(key)}: {error.strerror}") from error


def reuse_sibling_records(store: RecordStore, keys: Iterable[str]) -> int:
    """Link in the finished records of these keys that other studies beside this one have; how many there were.

    Kept predictions come with them, first: a record never waits for its predictions.
    """
    found = find_sibling_records(store, keys)
    for key, path in found.items():
        if (there := locate_predictions(path, key)).exists():
            _link(there, locate_predictions(store.path(key), key))
    return sum(_link(path, store.path(key)) for key, path in found.items())


def locate_predictions(record: Path, key: str) -> Path:
    """Return where the predictions of a run are kept, from the file of its record."""
    return build_predictions_path(record.parent.parent / "predictions", key)


def find_sibling_records(store: RecordStore, keys: Iterable[str]) -> dict[str, Path]:
    """Key -> file of the finished records of these keys that other studies beside this one have."""
    wanted, found = set(keys), dict[str, Path]()
    for records in sorted(store.folder.parent.parent.glob("*/records")):
        other = RecordStore(records)
        if records == store.folder:
            continue
        for key in sorted((wanted - found.keys()) & other.keys()):
            if _outcome(other.path(key)) is Outcome.FINISHED and other.get(key).key == key:
                found[key] = other.path(key)
    return found


def _link(there: Path, here: Path) -> bool:
    try:
        here.parent.mkdir(parents=True, exist_ok=True)
        os.link(there, here)
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(f"{here}: {error.strerror}") from error
    return True


def _outcome(path: Path) -> Outcome:
    try:
        text = path.read_bytes()
        found = _WRITTEN.search(text) if text.endswith(b"}\n") else None
        return Outcome(found[1].decode() if found else json.loads(text)["outcome"])
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path}: is not a record: {error}; without the file, its run is trained again") from error

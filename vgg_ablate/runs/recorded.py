"""Outcomes of recorded runs, records that are set aside, and records that other studies have already."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from vgg_ablate.errors import StorageError
from vgg_ablate.files import read_regular_file
from vgg_ablate.records import Outcome, RecordStore, build_predictions_path


class RecordOutcome(BaseModel):
    """The one field of a record that scheduling needs.

    Reading 10,000 records of 9 kB with this model takes 0.35 s; with the whole Record it would take many times longer,
    since that checks every epoch.
    """

    outcome: Outcome


def read_outcomes(store: RecordStore, keys: Iterable[str]) -> dict[str, Outcome]:
    """Return the outcome per key, for those keys that have a record. Raises StorageError if a record is damaged."""
    recorded = store.keys()
    return {key: _read_outcome(store.get_path(key)) for key in keys if key in recorded}


def set_aside_records(store: RecordStore, keys: Iterable[str]) -> None:
    """Move records to `records/aside/`: their runs count as missing, and nothing is lost. Raises StorageError."""
    folder = store.folder / "aside"
    for key in keys:
        try:
            folder.mkdir(exist_ok=True)
            # Numbered, because a run may be set aside several times, and none of its records is deleted.
            count = sum(name.startswith(key) for name in os.listdir(folder))
            store.get_path(key).rename(folder / f"{key}.{count}.json")
        except OSError as error:
            raise StorageError(f"{store.get_path(key)}: {error.strerror}") from error


def reuse_sibling_records(store: RecordStore, keys: Iterable[str]) -> int:
    """Link the finished records of neighbouring studies with these keys into the store; return their number."""
    siblings = find_sibling_records(store, keys)
    for key, path in siblings.items():
        # Predictions first: a process that finds a record may read its predictions at once.
        if (kept := locate_predictions(path, key)).exists():
            _link(kept, locate_predictions(store.get_path(key), key))
    return sum(_link(path, store.get_path(key)) for key, path in siblings.items())


def locate_predictions(record: Path, key: str) -> Path:
    """Return the path of a run's stored predictions, from the path of its record."""
    return build_predictions_path(record.parent.parent / "predictions", key)


def find_sibling_records(store: RecordStore, keys: Iterable[str]) -> dict[str, Path]:
    """Return the record file by key, for the keys of which a neighbouring study has a finished record.

    What is damaged there is left out, with a warning on stderr.
    """
    wanted, paths = set(keys), dict[str, Path]()
    for records in sorted(store.folder.parent.parent.glob("*/records")):
        sibling = RecordStore(records)
        if records == store.folder:
            continue
        try:
            shared = (wanted - paths.keys()) & sibling.keys()
        except StorageError as error:
            print(f"warning: left out: {error}", file=sys.stderr)
            continue
        for key in sorted(shared):
            try:
                # `get` validates the whole record: a damaged one must not spread to other studies.
                if _read_outcome(sibling.get_path(key)) is Outcome.FINISHED and sibling.get(key).key == key:
                    paths[key] = sibling.get_path(key)
            except StorageError as error:
                print(f"warning: left out: {error}", file=sys.stderr)
    return paths


def _link(source: Path, target: Path) -> bool:
    """Create a hard link, and return False where `target` exists: records are immutable, so both share the disk."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror}") from error
    return True


def _read_outcome(path: Path) -> Outcome:
    try:
        return RecordOutcome.model_validate_json(read_regular_file(path)).outcome
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        rule = f"{field}: {problem['msg']}" if field else problem["msg"]
        raise StorageError(f"{path}: not a record: {rule}; delete the file to train its run again") from error

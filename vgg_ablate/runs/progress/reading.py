"""Fingerprint the data of a study before its runs are planned, and report where that takes long."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from vgg_ablate.config.training import Data
from vgg_ablate.data import sources
from vgg_ablate.errors import DatasetError
from vgg_ablate.formatting.text import count_noun, join_first
from vgg_ablate.records import RecordStore

_UNKNOWN_FINGERPRINT = "0" * 16  # no run is stored with it

_PATIENCE_S = 2.0
_MAX_SKIPPED = 3  # files in one line


def compute_fingerprint_with_notice(data: Data) -> str:
    """Return the fingerprint of a data set; print to stderr that its images take long to read, and which are skipped.

    Raises DatasetError.
    """
    fingerprint = sources.compute_data_fingerprint(data, ReadingNotice(data.name))
    if skipped := sources.list_skipped_files(data, fingerprint):
        count = count_noun(f"{len(skipped):,}", "files")
        print(
            f"{data.root or data.name}: {count} skipped as unreadable: {join_first(skipped, _MAX_SKIPPED, '; ')}",
            file=sys.stderr,
        )
    return fingerprint


class DeclaredFingerprints:
    """Fingerprints for `plan` and `status`, which work without the images and never download them.

    Where a data set cannot be read, its fingerprint is the one that the records in `folder` have for it, so that
    recorded runs count; else it is a placeholder. Either way a warning is printed to stderr, once per data set.
    """

    def __init__(self, folder: Path) -> None:
        self.missing: dict[tuple[str, str | None], str] = {}  # name and root of a data set that cannot be read
        self._folder = folder

    def __call__(self, data: Data) -> str:
        """Return the fingerprint of a data set. Raises StorageError if a record is damaged."""
        location = (data.name, data.root)
        if location in self.missing:
            return self.missing[location]
        try:
            return compute_fingerprint_with_notice(data.model_copy(update={"download": False}))
        except DatasetError as error:
            recorded = self._find_recorded(data)
            source = f"its records in {self._folder}" if recorded else "what the study declares"
            print(f"warning: {error}; planned from {source}", file=sys.stderr)
            self.missing[location] = recorded or _UNKNOWN_FINGERPRINT
            return self.missing[location]

    def _find_recorded(self, data: Data) -> str | None:
        """Return the fingerprint in the records of this data set; None if there is none, or more than one."""
        runs = [record.run for record in RecordStore(self._folder / "records") if record.run.data.name == data.name]
        here = [run for run in runs if run.data.root == data.root] or runs  # the folder may have another path here
        fingerprints = {run.fingerprint for run in here}
        return fingerprints.pop() if len(fingerprints) == 1 else None


class ReadingNotice:
    """A progress callback that prints one line, once the images have taken more than `patience_s` seconds."""

    def __init__(self, name: str, patience_s: float = _PATIENCE_S) -> None:
        self._name = name
        self._due = time.monotonic() + patience_s
        self._printed = False

    def __call__(self, done: int, total: int) -> None:
        """Print the line if it is due, after `done` of `total` images."""
        if not self._printed and done < total and time.monotonic() >= self._due:
            print(f"reading {total:,} images of {self._name} ...", file=sys.stderr)
            self._printed = True

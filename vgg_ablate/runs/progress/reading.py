"""Fingerprint the data of a study before its runs are planned, and report where that takes long."""

from __future__ import annotations

import sys
import time

from vgg_ablate.config.training import Data
from vgg_ablate.data import sources

_PATIENCE_S = 2.0


def fingerprint_with_notice(data: Data) -> str:
    """Return the fingerprint of a data set, with a line on stderr where its images take long to read.

    Raises DatasetError.
    """
    return sources.compute_data_fingerprint(data, ReadingNotice(data.name))


class ReadingNotice:
    """A progress callback that prints one line, once the images have taken more than `patience_s` seconds."""

    def __init__(self, name: str, patience_s: float = _PATIENCE_S) -> None:
        self._name = name
        self._due = time.monotonic() + patience_s
        self._printed = False

    def __call__(self, done: int, total: int) -> None:
        """Take note that `done` of `total` images have been read."""
        if not self._printed and done < total and time.monotonic() >= self._due:
            print(f"reading {total:,} images of {self._name} ...", file=sys.stderr)
            self._printed = True

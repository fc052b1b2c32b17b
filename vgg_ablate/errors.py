"""The failures that a user can cause, drawn once.

    VggAblateError
    ├── CheckFailed         exit 1   a check said no
    ├── SpecError           exit 2   the study or the command line is wrong; carries every Problem found
    ├── RunsFailed          exit 3   some runs failed
    └── EnvironmentFailed   exit 4   what is around the study is not as it must be
        ├── DataMissing              a data set's files are not there, or not as declared
        ├── DeviceMissing            no such device
        ├── StorageFailed            disk, results folder, ledger
        └── StudyHeld                another process is running this study

Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class VggAblateError(Exception):
    """Root of every failure that a user can cause; caught once, in the command line."""

    exit_status = 1


class CheckFailedError(VggAblateError):
    """A check that was asked for said no."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, which rule, what was given, and what was probably meant."""

    rule: str
    path: str = ""
    place: str = ""  # file:line:col, or "command line"
    got: object = None
    nearest: str | None = None

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.place, self.path) if part)
        given = "" if self.got is None else f", got {_shown(self.got)}"
        meant = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"{where}: {self.rule}{given}{meant}" if where else f"{self.rule}{given}{meant}"


class SpecError(VggAblateError):
    """The study, or the command line, says something that cannot be. `problems` holds all of them."""

    exit_status = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RunsFailedError(VggAblateError):
    """The study ended, and some of its runs have no finished record."""

    exit_status = 3


class EnvironmentFailedError(VggAblateError):
    """The study is right; the machine, its disk, its data or its storage is not."""

    exit_status = 4


class DatasetError(EnvironmentFailedError):
    """The files of a data set are not where the study says, or not what it says."""


class DeviceNotFoundError(EnvironmentFailedError):
    """The device asked for is not on this machine."""


class StorageError(EnvironmentFailedError):
    """A results folder, a record or the ledger cannot be read or written."""


class StudyLockedError(EnvironmentFailedError):
    """Another process is running this study in this results folder."""


def find_nearest(word: str, words: Iterable[str]) -> str | None:
    """The known word closest to `word`, or None where none is close."""
    known = {known.lower(): known for known in words}
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[close[0]] if close else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

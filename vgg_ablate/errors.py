"""The exceptions that a user can cause, and their exit statuses.

    VggAblateError
    ├── CheckFailedError             exit 1   a check failed
    ├── SpecError                    exit 2   the study or the command line is invalid; carries every Problem found
    ├── RunsFailedError              exit 3   some runs failed
    └── EnvironmentFailedError       exit 4   the machine, its data or its storage prevents the run
        ├── DatasetError                      the files of a data set are missing, or not as declared
        ├── DeviceNotFoundError               no such device
        ├── StorageError                      a disk, results folder or ledger cannot be read or written
        └── StudyLockedError                  another process is running this study

Any other exception that reaches the user is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice

from vgg_ablate.formatting.text import truncate

MAX_PROBLEMS = 50  # that are printed; searches for problems may end at this number
_MAX_PATH, _MAX_RULE = 160, 300  # characters
_MAX_CANDIDATES, _MAX_WORD = 1_000, 100  # of a comparison whose time grows with both


class VggAblateError(Exception):
    """Base class of the exceptions that a study, its data or the environment can cause."""

    exit_status = 1


class CheckFailedError(VggAblateError):
    """A requested check failed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error of a study or command line: its location, path, rule, value, and the nearest valid word.

    `str(problem)` is one line: `study.yaml:4:1: sedes: unknown key, got 'sedes'; did you mean 'seeds'?`.
    """

    rule: str
    path: str = ""
    location: str = ""  # file:line:col, or "command line"
    got: object = None
    nearest: str | None = None
    involves_others: bool = False  # whether the rule involves other values than the one at `path`

    def __str__(self) -> str:
        path = truncate(self.path, _MAX_PATH)  # a key of the file may have any length, and so may what a rule quotes
        where = ": ".join(part for part in (self.location, path) if part)
        rule = truncate(self.rule, _MAX_RULE)
        got = "" if self.got is None else f", got {_shorten_repr(self.got)}"
        meant = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"{where}: {rule}{got}{meant}" if where else f"{rule}{got}{meant}"


class SpecError(VggAblateError):
    """An invalid study file or command line. `problems` holds all errors that were found, not only the first."""

    exit_status = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__(format_problems(self.problems))


class RunsFailedError(VggAblateError):
    """A study has ended, and some of its runs have no finished record."""

    exit_status = 3


class EnvironmentFailedError(VggAblateError):
    """The study is valid, but the machine, its disk, its data or its storage prevents the run."""

    exit_status = 4


class DatasetError(EnvironmentFailedError):
    """The files of a data set are missing, or their content is not what the study declares."""


class DeviceNotFoundError(EnvironmentFailedError):
    """The requested device does not exist on this machine."""


class StorageError(EnvironmentFailedError):
    """A results folder, a record or the ledger cannot be read or written."""


class StudyLockedError(EnvironmentFailedError):
    """A results folder whose lock another process holds: it is running the study."""


def format_problems(problems: Sequence[object]) -> str:
    """Return one line per problem, and behind the first MAX_PROBLEMS one with the number of the others."""
    lines = [str(problem) for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"and {len(problems) - MAX_PROBLEMS} more problems")
    return "\n".join(lines)


def find_nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the word of `words` that is most similar to `word`, ignoring case; None where none is similar.

    Of words that end in it, such as `test_accuracy` and `val_accuracy`, the first in alphabetical order is meant.
    """
    if len(word) > _MAX_WORD:
        return None
    candidates = islice((word for word in words if len(word) <= _MAX_WORD), _MAX_CANDIDATES)
    originals = {candidate.lower(): candidate for candidate in candidates}
    if longer := sorted(candidate for candidate in originals if candidate.endswith(f"_{word.lower()}")):
        return originals[longer[0]]
    # 0.6 is difflib's own default: it accepts one wrong letter in a word of three, and no unrelated words.
    matches = difflib.get_close_matches(word.lower(), originals, n=1, cutoff=0.6)
    return originals[matches[0]] if matches else None


def find_missing_package(package: str, extra: str) -> str | None:
    """Return how to install a package that is missing, by an extra of ours; None where it is installed."""
    return None if find_spec(package) else f"{package} is not installed: pip install 'vgg_ablate[{extra}]'"


def _shorten_repr(value: object) -> str:
    return truncate(repr(value), 80)

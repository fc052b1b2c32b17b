"""The largest study that is read: far above what a person writes, low enough that a bad file is refused in seconds.

The reference of the study file lists these limits.
"""

from __future__ import annotations

from vgg_ablate.config.types import InvalidValueError

MAX_FILE_BYTES = 4_000_000
MAX_VALUES = 50_000  # keys and values of one file; an alias counts as what it stands for
MAX_NESTING = 40  # mappings and lists within each other
MAX_EXTENDED_FILES = 20  # in one chain of `extends`
MAX_INTEGER = 2**63 - 1  # what 64 bits hold, as the ledger and torch store integers
MAX_VARIANTS = 10_000  # also of proposals of a search and of points of a grid
MAX_SEEDS = 1_000
MAX_CLAIMS = 1_000
MAX_RUNS = 50_000  # variants x seeds x levels of horizons
MAX_CONVS = 1_000  # in one net
MAX_ALL_CONVS = 200_000  # in all nets of a study together, ensembles and levels of horizons included


def check_count(count: float, limit: int, noun: str, *, field: str = "") -> None:
    """Raise InvalidValueError if there are more than `limit` of what `noun` names."""
    if count > limit:
        raise InvalidValueError(f"must be at most {limit:,} {noun}", field=field, got=count)

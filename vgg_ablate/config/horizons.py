"""`horizons: {train.epochs: [20, 40]}`: every variant at several levels of one number.

Claims are judged at the last level; the lower levels show whether the verdict changes with the training length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from vgg_ablate.config.overrides import split_path
from vgg_ablate.config.types import InvalidValueError, Number, Whole, check_increasing

HorizonLevel = int | float
CHANGEABLE_KEYS = ("arch", "data", "train")  # the first part of every path that a change or horizons may name


def _check_one_increasing_path(
    horizons: dict[str, tuple[HorizonLevel, ...]],
) -> dict[str, tuple[HorizonLevel, ...]]:
    if len(horizons) != 1:
        raise InvalidValueError("must have exactly one path, such as train.epochs", got=list(horizons))
    for path, levels in horizons.items():
        if split_path(path)[0] not in CHANGEABLE_KEYS or len(split_path(path)) < 2:
            rule = "the path must start with arch, data or train, such as train.epochs"
            raise InvalidValueError(rule, field=path)
        check_increasing(levels, field=path)
    return horizons


Horizons = Annotated[
    dict[str, Annotated[tuple[Whole | Number, ...], Field(min_length=2)]],
    Field(json_schema_extra={"minProperties": 1, "maxProperties": 1}),
    AfterValidator(_check_one_increasing_path),
]


def split_horizons(horizons: Mapping[str, tuple[HorizonLevel, ...]] | None) -> tuple[str, tuple[HorizonLevel, ...]]:
    """Return the path and its levels, the lowest first; an empty path and no levels without horizons."""
    return next(iter(horizons.items())) if horizons else ("", ())


def format_level_name(name: str, level: HorizonLevel) -> str:
    """Return the name of a variant at a lower level, such as `D@20`."""
    return f"{name}@{level}"  # users cannot write "@" in a name, so these names never clash with theirs


def get_full_name(name: str) -> str:
    """Return the name of a variant at the last level: `D` for `D@20`."""
    return name.partition("@")[0]


def paths_overlap(first: str, second: str) -> bool:
    """Return whether the paths are equal or one contains the other; False for what is no path, reported elsewhere."""
    try:
        first_parts, second_parts = split_path(first), split_path(second)
    except InvalidValueError:
        return False
    return first_parts[: len(second_parts)] == second_parts[: len(first_parts)]

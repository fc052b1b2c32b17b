"""`horizons: {train.epochs: [20, 40]}`: every variant at every level of one number; the last level decides."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from vgg_ablate.config.overrides import PathParts, split_path
from vgg_ablate.config.types import InvalidValueError, Number, Whole

HorizonLevel = int | float
CHANGEABLE_KEYS = ("arch", "data", "train")  # where the path of a change, or of the horizons, begins


def _one_path_of_growing_levels(given: dict[str, tuple[HorizonLevel, ...]]) -> dict[str, tuple[HorizonLevel, ...]]:
    if len(given) != 1:
        raise InvalidValueError("names one path, such as train.epochs", got=list(given))
    for path, levels in given.items():
        if split_path(path)[0] not in CHANGEABLE_KEYS or len(split_path(path)) < 2:
            raise InvalidValueError("the path begins with arch, data or train, such as train.epochs", field=path)
        if any(one >= other for one, other in pairwise(levels)):
            raise InvalidValueError("each level must be greater than the one before", field=path, got=list(levels))
    return given


Horizons = Annotated[
    dict[str, Annotated[tuple[Whole | Number, ...], Field(min_length=2)]],
    Field(json_schema_extra={"minProperties": 1, "maxProperties": 1}),
    AfterValidator(_one_path_of_growing_levels),
]


def split_horizons(horizons: Mapping[str, tuple[HorizonLevel, ...]] | None) -> tuple[str, tuple[HorizonLevel, ...]]:
    """The path and its levels, the lowest first; an empty path and no levels where there are no horizons."""
    return next(iter(horizons.items())) if horizons else ("", ())


def format_level_name(name: str, level: HorizonLevel) -> str:
    """The name of a variant at a lower level: `D@20`."""
    return f"{name}@{level}"


def paths_overlap(one: PathParts, other: PathParts) -> bool:
    """Is one path the other, or around it?"""
    return one[: len(other)] == other[: len(one)]

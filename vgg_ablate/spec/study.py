"""A study: one question. `load(path)` reads it; `study.variants` are what it compares."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from vgg_ablate.spec.arch import Arch
from vgg_ablate.spec.recipe import Data, Train
from vgg_ablate.spec.values import Count, Frozen, Name, Whole


class Expect(Frozen):
    """What the study should take and find, written before it ran."""

    minutes: float | None = None
    device: str | None = None
    finds: str | None = None


class Looks(Frozen):
    """Seeds looked at in steps: after 5, then after 10."""

    looks: tuple[Count, ...] = Field(min_length=2)


Seeds = Annotated[tuple[Whole, ...] | Looks, BeforeValidator(lambda v: list(range(v)) if isinstance(v, int) else v)]


class Variant(Frozen):
    """Base + changes, with a name."""

    name: Name
    arch: Arch  # as written: knobs, a match, shapes left to the data
    data: Data
    train: Train
    changes: dict[str, Any] = Field(default_factory=dict)  # path -> new value

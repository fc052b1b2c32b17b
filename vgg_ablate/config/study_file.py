"""The keys of a study file, each with its type and its default."""

from __future__ import annotations

import contextlib
import re
from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.claims import Claim
from vgg_ablate.config.designs import Design, ListedVariants
from vgg_ablate.config.ensembles import expand_ensemble
from vgg_ablate.config.horizons import Horizons
from vgg_ablate.config.search import FIRST_SEARCH_SEED
from vgg_ablate.config.training import Data, Train
from vgg_ablate.config.tuning import Tune, TuningWinner
from vgg_ablate.config.types import Count, FrozenModel, InvalidValueError, Name, NonNegative, Positive, Whole


class Expectation(FrozenModel):
    """The expected cost and result of a study, written before it ran."""

    minutes: Positive | None = None
    device: str | None = None
    finds: str | None = None


ReportColumn = Literal[
    "group",
    "variant",
    "changes",
    "n",
    "error",
    "difference",
    "percent",
    "train_error",
    "val_error",
    "params_ratio",
    "macs_ratio",
    "params",
    "macs",
    "images_per_second",
    "train_seconds",
]


def _check_distinct_items(items: tuple[str, ...]) -> tuple[str, ...]:
    for item in items:
        if items.count(item) > 1:
            raise InvalidValueError("duplicate entry", got=item)
    return items


class ReportSettings(FrozenModel):
    """What a report shows first; everything is judged and recorded, whatever is shown."""

    # Columns of the comparison, in order; empty: all that apply.
    columns: Annotated[tuple[ReportColumn, ...], AfterValidator(_check_distinct_items)] = ()
    # Claims of the first table, in order; empty: all.
    claims: Annotated[tuple[Name, ...], AfterValidator(_check_distinct_items)] = ()
    label: Annotated[str, Field(pattern=r"^[A-Za-z0-9:._-]+$", max_length=80)] | None = (
        None  # in LaTeX, of the comparison
    )


class Looks(FrozenModel):
    """Seeds that are analysed in steps, such as after 5 and after 10; the error rate is split over the looks."""

    looks: tuple[Annotated[Count, Field(le=FIRST_SEARCH_SEED)], ...] = Field(min_length=1)

    @field_validator("looks")
    @classmethod
    def _check_increasing(cls, looks: tuple[int, ...]) -> tuple[int, ...]:
        if any(fewer >= more for fewer, more in pairwise(looks)):
            raise InvalidValueError("must be strictly increasing", got=list(looks))
        return looks


def _expand_seed_count(value: Any) -> Any:
    """Expand `5` to `[0, 1, 2, 3, 4]`."""
    if isinstance(value, list | tuple | dict | Looks):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValueError("must be a number of seeds, a list of seeds, or looks", got=value)
    if not 1 <= value <= FIRST_SEARCH_SEED:
        raise InvalidValueError(f"must be from 1 to {FIRST_SEARCH_SEED}", got=value)
    return list(range(value))


def _check_distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise InvalidValueError(f"duplicate seed {seed}")
    return seeds


# The tags look like types, so that yaml_loader removes them from the paths of errors.
Seeds = Annotated[
    Annotated[
        tuple[Annotated[Whole, Field(lt=FIRST_SEARCH_SEED)], ...],
        Field(min_length=1, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_check_distinct),
        Tag("tuple[int]"),
    ]
    | Annotated[Looks, Tag("Looks[int]")],
    Discriminator(lambda value: "Looks[int]" if isinstance(value, dict | Looks) else "tuple[int]"),
    BeforeValidator(_expand_seed_count),
]


def _parse_date(value: Any) -> date:
    """Return the date of `2026-11-25`, which is text in a file, and a date in a study that was validated before."""
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(value)
    if type(value) is date:
        return value
    raise InvalidValueError("must be a date such as 2026-11-25", got=value)


_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
RegistrationDate = Annotated[date, BeforeValidator(_parse_date)]


class StudyFile(FrozenModel):
    """The keys of a study file."""

    version: Literal[1]
    name: Name
    question: str
    expect: Expectation = Expectation()
    registered: RegistrationDate | None = None  # when the claims were fixed, before the first training
    smallest_effect: NonNegative | None = None  # of claims on errors and accuracies, in percentage points
    seeds: Seeds = (0, 1, 2, 3, 4)
    horizons: Horizons | None = None  # {path: levels}; claims are judged at the last level
    data: Data
    arch: Arch
    train: Train = Train()
    tune: Tune | None = None
    tuned: dict[Name, TuningWinner] = Field(default_factory=dict)  # variant -> winner; written by `run`
    design: Design = ListedVariants(kind="list")
    variants: dict[Name, dict[str, Any]] = Field(default_factory=dict)  # name -> {path: new value}
    claims: tuple[Claim, ...] = ()
    answer: str | None = None  # the author's answer, written after reading the report
    report: ReportSettings = ReportSettings()
    on_error: Literal["continue", "stop"] = "continue"

    @model_validator(mode="before")
    @classmethod
    def _expand_ensemble(cls, value: Any) -> Any:
        return expand_ensemble(value)

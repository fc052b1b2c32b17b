"""The keys of a study file, each with its type and its default."""

from __future__ import annotations

import contextlib
import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.claims import Claim
from vgg_ablate.config.designs import Design, ListedVariants
from vgg_ablate.config.ensembles import expand_ensemble
from vgg_ablate.config.horizons import Horizons
from vgg_ablate.config.limits import MAX_CLAIMS, MAX_SEEDS
from vgg_ablate.config.search import FIRST_SEARCH_SEED
from vgg_ablate.config.training import Data, Train
from vgg_ablate.config.tuning import Tune, TuningWinner
from vgg_ablate.config.types import (
    Count,
    FrozenModel,
    InvalidValueError,
    Name,
    NonNegative,
    Positive,
    Whole,
    check_distinct,
    check_increasing,
)

_FEWEST_AT_LOOK = 2


class Expectation(FrozenModel):
    """The expected cost and result of a study, written before it ran."""

    minutes: Positive | None = None
    """Expected duration of the whole study. Unit: minutes. Example: 6"""
    device: str | None = None
    """Machine that `minutes` refers to. Example: two CPU cores"""
    finds: str | None = None
    """Expected result, such as that of the paper. Example: The paper found 5x5 worse than two 3x3."""


class Stop(FrozenModel):
    """The rule by which a study ends before its last look."""

    rule: Literal["decided"]
    """The study ends when every claim is decided, or no open claim is likely to be. Example: decided"""
    order: Literal["planned", "cheapest"] = "planned"
    """Order of the runs within a look: as planned, or first those of the claim that is most likely to be decided per
    predicted cost. Example: cheapest"""


def _expand_stop_rule(value: Any) -> Any:
    """Expand `decided` to `{rule: decided}`."""
    if isinstance(value, dict | Stop) or value is None:
        return value
    if value != "decided":
        raise InvalidValueError("must be decided, or a mapping such as {rule: decided, order: cheapest}", got=value)
    return {"rule": value}


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
    check_distinct(items, "entry")
    return items


class ReportSettings(FrozenModel):
    """The parts of a report that come first; everything is judged and recorded, whatever is shown."""

    columns: Annotated[tuple[ReportColumn, ...], AfterValidator(_check_distinct_items)] = ()
    """Columns of the comparison, in order. Default: all that apply. Example: [variant, error, difference]"""
    claims: Annotated[tuple[Name, ...], Field(max_length=MAX_CLAIMS), AfterValidator(_check_distinct_items)] = ()
    """Ids of the claims in the first table and the forest plot, in order. Default: all. Example: [small-kernels]"""
    label: Annotated[str, Field(pattern=r"^[A-Za-z0-9:._-]+$", max_length=80)] | None = None
    """LaTeX label of the comparison. Default: tab:comparison. Example: tab:kernels"""


class Looks(FrozenModel):
    """Seeds that are analysed in steps, such as after 5 and after 10; the error rate is spent over the looks."""

    looks: tuple[Annotated[Count, Field(le=MAX_SEEDS)], ...] = Field(min_length=1)
    """Increasing numbers of seeds after which the claims are judged. Unit: seeds. Example: [3, 5, 8, 12]"""
    stop: Annotated[Stop | None, BeforeValidator(_expand_stop_rule)] = None
    """Rule that ends the study before its last look. Default: every seed is trained. Example: decided"""

    @field_validator("looks")
    @classmethod
    def _check_increasing(cls, looks: tuple[int, ...]) -> tuple[int, ...]:
        check_increasing(looks)
        if len(looks) > 1 and looks[0] < _FEWEST_AT_LOOK:
            rule = f"must begin with {_FEWEST_AT_LOOK} seeds or more: one difference has no spread"
            raise InvalidValueError(rule, got=list(looks))
        return looks


def _expand_seed_count(value: Any) -> Any:
    """Expand `5` to `[0, 1, 2, 3, 4]`."""
    if isinstance(value, list | tuple | dict | Looks):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValueError("must be a number of seeds, a list of seeds, or looks", got=value)
    if not 1 <= value <= MAX_SEEDS:
        raise InvalidValueError(f"must be from 1 to {MAX_SEEDS:,}", got=value)
    return list(range(value))


def _check_distinct_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    check_distinct(seeds, "seed")
    return seeds


# The tags look like types, so that validation_problems removes them from the paths of errors.
Seeds = Annotated[
    Annotated[
        tuple[Annotated[Whole, Field(lt=FIRST_SEARCH_SEED)], ...],
        Field(min_length=1, max_length=MAX_SEEDS, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_check_distinct_seeds),
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
    """Version of the file format. Example: 1"""
    name: Name
    """Name of the study, and of its folder below results/. Example: kernels"""
    question: str
    """The question that the study answers; the title of its report.

    Example: Does batch normalisation help a small VGG?
    """
    expect: Expectation = Expectation()
    """What the author expects the study to cost and to find; printed beside what it did cost.

    Example: {minutes: 6, device: two CPU cores}
    """
    registered: RegistrationDate | None = None
    """Date on which the claims were fixed, before the first training; the report says if they changed afterwards.

    Example: 2026-11-25
    """
    smallest_effect: NonNegative | None = None
    """Smallest difference that matters, for all claims on errors and accuracies.

    Unit: percentage points. Example: 0.5
    """
    seeds: Seeds = (0, 1, 2, 3, 4)
    """Seeds of every variant: a number of seeds, a list of seeds, or looks. One seed drives split, order, augmentation
    and initialisation.

    Example: 5
    """
    horizons: Horizons | None = None
    """Path of one number, with at least two increasing levels: every variant is trained at each level, and claims are
    judged at the last.

    Example: {train.epochs: [20, 40]}
    """
    data: Data
    """The data set, its splits, augmentation and evaluation. Example: {name: digits, image_size: 16}"""
    arch: Arch
    """The base: the net from which all variants start, or the name of a preset. Example: {preset: D, width: 0.25}"""
    train: Train = Train()
    """The training recipe of the base, or the name of a recipe. Example: {epochs: 20, optimizer: sgd, lr: 0.05}"""
    tune: Tune | None = None
    """Search for the best training settings of every variant before its runs, with one budget for all.

    Example: {space: {train.lr: {low: 0.01, high: 0.4, log: true}}, epochs: [2, 6]}
    """
    tuned: dict[Name, TuningWinner] = Field(default_factory=dict)
    """Variant and the winner of its tuning. Written by `run` into the results folder; not for study files.

    Example: {base: {trial: 3, values: {train.lr: 0.1}}}
    """
    design: Design = ListedVariants(kind="list")
    """How the variants are laid out; without it they are those under `variants`.

    Example: {kind: factorial, factors: {arch.norm: [none, batch], arch.kernel: [3, 5]}}
    """
    variants: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Name of a variant and its changes of the base: paths with new values. Example: {five: {arch.kernel: 5}}"""
    claims: Annotated[tuple[Claim, ...], Field(max_length=MAX_CLAIMS)] = ()
    """Statements about differences between variants; the report gives a verdict for each.

    Example: [{id: norm-helps, text: it lowers the error, kind: better, a: normalised, b: base}]
    """
    answer: str | None = None
    """The author's answer, written after reading the report, which prints it below its own; it is flagged where a
    verdict has changed since.

    Example: Two 3x3 are worth their extra layer, by a third of a point.
    """
    report: ReportSettings = ReportSettings()
    """What the report shows first. Example: {columns: [variant, error, difference], label: tab:kernels}"""
    on_error: Literal["continue", "stop"] = "continue"
    """Whether the other runs go on after one has failed. Example: stop"""

    @model_validator(mode="before")
    @classmethod
    def _expand_ensemble(cls, value: Any) -> Any:
        return expand_ensemble(value)

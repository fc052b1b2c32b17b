"""A study: one question, written as one YAML file. `load(path)` reads it; `study.variants` are what it compares.

A study is built in stages: the file is validated as written, the horizons' last level is set, the changes of each
variant are applied and validated again, and the winners of a tuning are added. Every stage reports all of its problems,
with locations, as one SpecError.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from vgg_ablate.config import yaml_loader
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.claims import PER_MILLION_METRICS, PERCENTAGE_SUFFIXES, Claim, TrendQuantities
from vgg_ablate.config.designs import Design, DesignCell, ListedVariants
from vgg_ablate.config.ensembles import expand_ensemble
from vgg_ablate.config.horizons import (
    CHANGEABLE_KEYS,
    HorizonLevel,
    Horizons,
    format_level_name,
    paths_overlap,
    split_horizons,
)
from vgg_ablate.config.overrides import PathParts, get_at_path, join_path, set_at_path, split_path
from vgg_ablate.config.search import COSTS, FIRST_SEARCH_SEED, Search
from vgg_ablate.config.training import Data, Train
from vgg_ablate.config.tuning import Tune, TuningWinner
from vgg_ablate.config.types import Count, FrozenModel, InvalidValueError, Name, NonNegative, Positive, Whole
from vgg_ablate.errors import Problem, SpecError, find_nearest

BASE_NAME = "base"
_VARIANT_KEYS = (*CHANGEABLE_KEYS, "tune")
_STUDY_ONLY_KEYS = ("variants", "claims", "design", "horizons", "tuned")


class Expectation(FrozenModel):
    """The expected cost and result of a study, written before it ran."""

    minutes: Positive | None = None
    device: str | None = None
    finds: str | None = None


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
# `@` marks a variant at a lower level of the horizons. types.Name, for names in study files, does not allow it.
VariantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+=-]*(@[0-9.e+-]+)?$", max_length=110)]


class Variant(FrozenModel):
    """The base with named changes. At a lower level of the study's horizons its name is `name@level`."""

    name: VariantName
    arch: Arch  # as written, with knobs, match, and shapes left to the data
    data: Data
    train: Train
    changes: dict[str, Any] = Field(default_factory=dict)  # path -> new value
    levels: dict[str, str] = Field(default_factory=dict)  # factor -> level, for designs with factors
    horizon: HorizonLevel | None = None  # level of the horizons; None: the study has no horizons
    tune: Tune | None = None  # the search for its settings before its runs
    tuned: TuningWinner | None = None  # the winner, whose values arch, data and train contain


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
    on_error: Literal["continue", "stop"] = "continue"

    @model_validator(mode="before")
    @classmethod
    def _expand_ensemble(cls, value: Any) -> Any:
        return expand_ensemble(value)


class Study(FrozenModel):
    """A validated study: its variants, seeds and claims.

    Two studies are equal if their values are; the document that they were read from is not compared.
    """

    name: Name
    question: str
    expect: Expectation
    registered: RegistrationDate | None = None
    smallest_effect: NonNegative | None = None
    seeds: Seeds
    horizons: Horizons | None = None
    design: Design
    variants: tuple[Variant, ...]  # the base first; at the last level of the horizons
    horizon_variants: tuple[Variant, ...] = ()  # the same variants at each lower level, the lowest first
    claims: tuple[Claim, ...]
    on_error: Literal["continue", "stop"]
    tune: Tune | None
    tuned: dict[Name, TuningWinner]
    _document: yaml_loader.Document = PrivateAttr(default_factory=lambda: yaml_loader.Document({}))

    @property
    def seed_list(self) -> tuple[int, ...]:
        """All seeds of the study."""
        return tuple(range(self.seeds.looks[-1])) if isinstance(self.seeds, Looks) else self.seeds

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of seeds after which the claims are judged; one number for a study without looks."""
        return self.seeds.looks if isinstance(self.seeds, Looks) else (len(self.seeds),)

    @property
    def base(self) -> Variant:
        """The variant that the changes of the others apply to."""
        return self.variants[0]

    @property
    def all_variants(self) -> tuple[Variant, ...]:
        """The variants, followed by those at the lower levels of the horizons."""
        return self.variants + self.horizon_variants

    @property
    def variants_by_horizon(self) -> tuple[tuple[Variant, ...], ...]:
        """The variants of each level of the horizons, the lowest first; one group without horizons."""
        count = len(self.variants)
        starts = range(0, len(self.horizon_variants), count)
        return (*(self.horizon_variants[start : start + count] for start in starts), self.variants)

    @property
    def horizon_path(self) -> str:
        """The path that the horizons change, such as `train.epochs`; empty without horizons."""
        return split_horizons(self.horizons)[0]

    @property
    def horizon_levels(self) -> tuple[HorizonLevel, ...]:
        """The levels of the horizons, the lowest first; empty without horizons."""
        return split_horizons(self.horizons)[1]

    @property
    def levels(self) -> dict[str, Mapping[str, str]]:
        """Variant -> factor -> level. Variants at lower levels of the horizons have none, and are part of no mean."""
        levels: dict[str, Mapping[str, str]] = {variant.name: variant.levels for variant in self.variants}
        return levels | {variant.name: {} for variant in self.horizon_variants}

    def quantities(self, costs: Mapping[str, Mapping[str, int]] | None = None) -> TrendQuantities:
        """Return quantity -> variant -> number for the trends of all claims.

        Costs are included if `costs` (variant -> cost -> number) is given; params, MACs and activations in millions.
        """
        quantities = _collect_quantities(self.claims, self.all_variants)
        trend_costs = {claim.trend.over for claim in self.claims if claim.trend is not None} & set(COSTS)
        if costs is not None:
            for cost in trend_costs:
                unit = 1e6 if cost in PER_MILLION_METRICS else 1.0  # a slope per parameter would be lost in rounding
                quantities[cost] = {name: numbers[cost] / unit for name, numbers in costs.items()}
        return quantities

    def find_trend_problems(self, costs: Mapping[str, Mapping[str, int]]) -> list[Problem]:
        """Return the problems of trends over costs, such as a cost that is equal in all variants.

        `costs` is variant -> cost -> number.
        """
        quantities, problems = self.quantities(costs), list[Problem]()
        for index, claim in enumerate(self.claims):
            if claim.trend is not None:
                problems += [
                    _build_problem(error, path, self.locate_path(path))
                    for error in claim.problems(self.levels, quantities)
                    for path in [f"claims[{index}].{error.field}"]
                ]
        return problems

    def as_written(self, key: str) -> Any:
        """Return the value of a top-level key of the study file, as plain data; None if the key is missing."""
        return self._document.data.get(key)

    def variant(self, name: str, changes: dict[str, Any]) -> Variant:
        """Return the base with the changes that a search proposes. Raises SpecError if they are invalid."""
        problems: list[Problem] = []
        cell, shared = DesignCell(name, changes, {}), _select_shared_keys(self._document)
        variant = _build_variant(cell, self._document, shared, ("design",), problems)
        if variant is None:
            raise SpecError(problems)
        return variant

    def with_winners(self, tuned: Mapping[str, TuningWinner]) -> Self:
        """Return the study with these winners of the tuning applied to their variants."""
        data = {name: winner.model_dump(mode="json", exclude_none=True) for name, winner in tuned.items()}
        return type(self).of(yaml_loader.Document({**self._document.data, "tuned": data}, self._document.places))

    def without_winners(self) -> Self:
        """Return the study as it was before its tuning."""
        return self.with_winners({}) if self.tuned else self

    def as_yaml(self) -> str:
        """Return the study as YAML, with `extends` merged and overrides applied. `load` reads back an equal study."""
        text = io.StringIO()
        yaml_loader.write_yaml(self._document.data, text)
        return text.getvalue()

    @property
    def source(self) -> Path | None:
        """The file of the study; None if it was built in memory."""
        place = self._document.place(())
        return Path(place) if place else None

    def locate_path(self, path: str) -> str:
        """Return `file:line:column` of a path such as `variants.five: arch.kernel`, or of what contains it."""
        return self._document.place(split_path(path.partition(":")[0])) if path else ""

    def with_locations(self, error: SpecError) -> SpecError:
        """Return the error with a location for every problem that has none."""
        return SpecError(
            replace(problem, place=problem.place or self.locate_path(problem.path)) for problem in error.problems
        )

    @classmethod
    def of(cls, document: yaml_loader.Document) -> Self:
        """Build the study that a document describes. Raises SpecError with all problems of the document."""
        try:
            file = StudyFile.model_validate(document.data)
        except ValidationError as error:
            raise SpecError(yaml_loader.build_problems(error, StudyFile, document)) from error
        last_file, last_document = _set_last_level(file, document)
        variants = _build_variants(last_file, last_document)
        tuned = _apply_winners(last_file, variants, last_document)
        lower = _build_lower_levels(last_file, last_document, tuned)
        # Duplicates are searched before the winners are applied: a tuning may give two variants the same settings.
        problems = [
            *_find_claim_problems(file, variants, lower, document),
            *_find_duplicates(variants, document),
            *_find_search_problems(file, document),
            *_find_tuning_problems(variants, file.horizons, document),
        ]
        if problems:
            raise SpecError(problems)
        fields = {name: getattr(file, name) for name in cls.model_fields if name in StudyFile.model_fields}
        claims = tuple(_set_smallest_effect(claim, file.smallest_effect) for claim in file.claims)
        study = cls(**{**fields, "variants": tuned, "horizon_variants": lower, "claims": claims})
        study._document = document  # not compared by ==, see Document
        return study


def load(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file and apply `path=value` overrides. Raises SpecError with all problems of file and overrides."""
    document = yaml_loader.read_document(Path(path))
    problems: list[Problem] = []
    for override in overrides:
        try:
            document = _apply_override(document, override)
        except InvalidValueError as error:
            problems.append(Problem(str(error), override.split("=")[0], "command line", error.got, error.nearest))
    if problems:
        raise SpecError(problems)
    return Study.of(document)


def _apply_override(document: yaml_loader.Document, override: str) -> yaml_loader.Document:
    path, equals, text = override.partition("=")
    if not equals:
        raise InvalidValueError("must have the form path=value", got=override)
    key = str(split_path(path)[0])
    if key not in StudyFile.model_fields:
        raise InvalidValueError("unknown key", got=path, nearest=find_nearest(key, StudyFile.model_fields))
    data = set_at_path(document.data, path, yaml_loader.parse_scalar(text))
    return yaml_loader.Document(data, {**document.places, split_path(path): "command line"})


def _build_problem(error: InvalidValueError, path: str, place: str) -> Problem:
    return Problem(str(error), path, place, error.got, error.nearest)


def _set_last_level(file: StudyFile, document: yaml_loader.Document) -> tuple[StudyFile, yaml_loader.Document]:
    """Return the study with the last level of its horizons; unchanged without horizons. Raises SpecError."""
    path, levels = split_horizons(file.horizons)
    if not path:
        return file, document
    place, value = document.place(("horizons", path)), get_at_path(document.data, path)
    if value is not None and value != levels[-1]:
        rule = f"set by horizons: remove it, or set it to their last level, {levels[-1]}"
        raise SpecError(Problem(rule, path, document.place(split_path(path)), value))
    try:
        data = set_at_path(document.data, path, levels[-1])
    except InvalidValueError as error:
        raise SpecError(_build_problem(error, f"horizons.{path}", place)) from error
    # An error of the changed study is located at the horizons that caused it.
    places = dict.fromkeys(_select_parts_around(split_path(path), document.places), place)
    changed_document = yaml_loader.Document(data, {**document.places, **places})
    try:
        return StudyFile.model_validate(data), changed_document
    except ValidationError as error:
        raise SpecError(yaml_loader.build_problems(error, StudyFile, changed_document)) from error


def _build_lower_levels(
    file: StudyFile, document: yaml_loader.Document, variants: Sequence[Variant]
) -> tuple[Variant, ...]:
    """Return the variants at every level of the horizons but the last, the lowest first. Raises SpecError."""
    path, levels = split_horizons(file.horizons)
    names, shared = {variant.name for variant in variants}, _select_shared_keys(document)
    lower, problems = list[Variant](), list[Problem]()
    for level in levels[:-1]:
        for variant in variants:
            winner = variant.tuned.values if variant.tuned is not None else {}
            cell = DesignCell(variant.name, {**variant.changes, **winner, path: level}, {})
            at_level = _build_variant(cell, document, shared, ("horizons",), problems)
            if at_level is None:
                continue
            name = format_level_name(variant.name, level)
            update: dict[str, Any] = {"name": name, "horizon": level, "tuned": variant.tuned}
            update["changes"] = {**variant.changes, path: level}
            match = at_level.arch.match
            if match is not None and match.target in names:  # the budget is that of the same level
                match = match.model_copy(update={match.cost: format_level_name(str(match.target), level)})
                update["arch"] = at_level.arch.model_copy(update={"match": match})
            lower.append(at_level.model_copy(update=update))
    if problems:  # an invalid level is invalid in every variant, and is reported once
        raise SpecError({str(problem): problem for problem in problems}.values())
    return tuple(lower)


def _set_smallest_effect(claim: Claim, default: float | None) -> Claim:
    """Return the claim with the smallest effect of the study if it has none of its own and is in percentage points."""
    in_points = claim.metric.endswith(PERCENTAGE_SUFFIXES) and claim.trend is None
    if claim.smallest_effect is not None or default is None or not in_points:
        return claim
    return claim.model_copy(update={"smallest_effect": default})


def _collect_quantities(claims: Sequence[Claim], variants: Sequence[Variant]) -> dict[str, dict[str, float]]:
    """Return quantity -> variant -> number for trends over a path or a factor, without variants that have no number."""
    quantities: dict[str, dict[str, float]] = {}
    for trend in (claim.trend for claim in claims if claim.trend is not None and claim.trend.over not in COSTS):
        numbers = quantities.setdefault(trend.over, {})
        for variant in variants:
            if variant.name in trend.variants and (number := _get_number(variant, trend.over)) is not None:
                numbers[variant.name] = number
    return quantities


def _get_number(variant: Variant, over: str) -> float | None:
    """Return a variant's number at a path, or its level of a factor if that is a number; None otherwise."""
    with contextlib.suppress(InvalidValueError):  # the name of a factor need not be a path
        value = get_at_path(variant.model_dump(mode="json", include=set(CHANGEABLE_KEYS)), over)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    for factor, level in variant.levels.items():
        with contextlib.suppress(ValueError):
            if over in (factor, factor.rsplit(".", 1)[-1]) and isfinite(number := float(level)):
                return number
    return None


def _build_variants(file: StudyFile, document: yaml_loader.Document) -> tuple[Variant, ...]:
    """Return the base, the cells of the design, and the listed variants. Raises SpecError.

    A cell that equals the base is not a variant of its own: its levels become those of the base.
    """
    horizon_path, horizon_levels = split_horizons(file.horizons)
    horizon = horizon_levels[-1] if horizon_levels else None
    base = Variant(name=BASE_NAME, arch=file.arch, data=file.data, train=file.train, tune=file.tune, horizon=horizon)
    listed = [DesignCell(name, changes, {}) for name, changes in file.variants.items()]
    variants, problems, shared = [base], list[Problem](), _select_shared_keys(document)
    for cell in [*file.design.cells(), *listed]:
        where = ("variants", cell.name) if cell.name in file.variants else ("design",)
        conflicts = [path for path in cell.changes if horizon_path and _overlap(path, horizon_path)]
        if conflicts:
            rule, path = f"horizons set {horizon_path} for every variant", conflicts[0]
            place = document.place((*where, path))
            problems.append(Problem(rule, f"{join_path(where)}.{path}", place, cell.changes[path]))
            continue
        variant = _build_variant(cell, document, shared, where, problems)
        if variant is None:
            continue
        # The base can be one level per factor. A second level that equals it is a duplicate, reported later.
        is_new_level = cell.levels and not cell.levels.keys() & base.levels.keys()
        if is_new_level and _get_content(variant) == _get_content(base):
            variants[0] = base = base.model_copy(update={"levels": {**base.levels, **cell.levels}})
        else:
            variants.append(variant.model_copy(update={"horizon": horizon}))
    if problems:
        raise SpecError(problems)
    return tuple(variants)


def _overlap(first: str, second: str) -> bool:
    return paths_overlap(split_path(first), split_path(second))


def _build_variant(
    cell: DesignCell,
    document: yaml_loader.Document,
    shared: yaml_loader.Document,
    where: tuple[str, ...],
    problems: list[Problem],
) -> Variant | None:
    """Return the variant of a cell; None, with its problems added to `problems`, if its changes are invalid.

    `shared` is the document without the keys that only a study has, `where` the path of the cell in the document.
    """
    data, places = shared.data, dict(shared.places)
    for path, value in cell.changes.items():
        place = document.place((*where, path))
        try:
            if split_path(path)[0] not in _VARIANT_KEYS:
                nearest = find_nearest(path, _VARIANT_KEYS)
                raise InvalidValueError("a change must start with arch, data, train or tune", nearest=nearest)
            data = set_at_path(data, path, value)
        except InvalidValueError as error:
            problems.append(_build_problem(error, f"{join_path(where)}.{path}", place))
            return None
        places |= dict.fromkeys(_select_parts_around(split_path(path), places), place)
    try:
        # The whole study is validated again: a change can break a rule that involves other fields.
        changed = StudyFile.model_validate(data)
        return Variant(
            name=cell.name,
            arch=changed.arch,
            data=changed.data,
            train=changed.train,
            changes=cell.changes,
            levels=cell.levels,
            tune=changed.tune,
        )
    except ValidationError as error:
        found = yaml_loader.build_problems(error, StudyFile, yaml_loader.Document(data, places))
        problems.extend(replace(problem, path=f"{join_path(where)}: {problem.path}") for problem in found)
        return None


def _apply_winners(
    file: StudyFile, variants: tuple[Variant, ...], document: yaml_loader.Document
) -> tuple[Variant, ...]:
    """Return the variants with the winners of their tuning. Raises SpecError if a winner cannot be applied."""
    problems, tuned, shared = list[Problem](), list[Variant](), _select_shared_keys(document)
    for variant in variants:
        winner = file.tuned.get(variant.name)
        if winner is None:
            tuned.append(variant)
            continue
        cell = DesignCell(variant.name, {**variant.changes, **winner.values}, variant.levels)
        changed = _build_variant(cell, document, shared, ("tuned", variant.name), problems)
        # `changes` stay those of the study: the values of the winner are a result, found under `tuned`.
        # An invalid winner leaves the variant as it was, so that the problems of all winners are reported together.
        update = {"changes": variant.changes, "horizon": variant.horizon, "tuned": winner}
        tuned.append((changed or variant).model_copy(update=update))
    names = {variant.name for variant in variants}
    problems += [
        Problem("unknown variant", f"tuned.{name}", document.place(("tuned", name)), name, find_nearest(name, names))
        for name in file.tuned
        if name not in names
    ]
    if problems:
        raise SpecError(problems)
    return tuple(tuned)


def _find_tuning_problems(
    variants: Sequence[Variant], horizons: Horizons | None, document: yaml_loader.Document
) -> list[Problem]:
    """Return the settings that are both tuned and set, and the variants with another budget than the base."""
    problems, base, horizon_path = list[Problem](), variants[0], split_horizons(horizons)[0]
    for variant in variants:
        name, place = f"variants.{variant.name}", document.place(("variants", variant.name))
        if (variant.tune is None) != (base.tune is None):
            problems.append(Problem("tune must be given for all variants or for none", f"{name}: tune", place))
        if variant.tune is None or base.tune is None:
            continue
        if variant.tune.budget != base.tune.budget:
            rule = "trials, epochs, pruner and seeds must equal those of the base: all variants have the same budget"
            problems.append(Problem(rule, f"{name}: tune", place))
        has_own_space = variant is base or variant.tune != base.tune
        conflicts = [path for path in variant.tune.space if horizon_path and _overlap(path, horizon_path)]
        if has_own_space and conflicts:
            path = f"tune.space.{conflicts[0]}"
            place = document.place(("tune", "space", conflicts[0]))
            problems.append(Problem("horizons set this path for every variant", path, place))
        problems += [
            Problem(f"tune.space contains {tuned_path}, which this variant sets", f"{name}.{path}", place)
            for path in variant.changes
            for tuned_path in variant.tune.space
            if path != "tune" and not path.startswith("tune.") and f"{tuned_path}.".startswith(f"{path}.")
        ]
    return problems


def _select_shared_keys(document: yaml_loader.Document) -> yaml_loader.Document:
    """Return the document without the keys that a variant does not have.

    `set_at_path` copies the document for each change, and a list of a thousand variants must not be copied with it.
    """
    data = {key: value for key, value in document.data.items() if key not in _STUDY_ONLY_KEYS}
    places = {parts: place for parts, place in document.places.items() if not parts or parts[0] not in _STUDY_ONLY_KEYS}
    return yaml_loader.Document(data, places)


def _select_parts_around(parts: PathParts, places: yaml_loader.SourceLocations) -> set[PathParts]:
    """Return the changed part, all parts below it and all above it but the root: their errors are due to the change."""
    below = {place for place in places if place[: len(parts)] == parts}
    above = {parts[:length] for length in range(1, len(parts) + 1)}
    return below | above


def _get_content(variant: Variant) -> tuple[object, ...]:
    """Return what is trained, independent of its spelling: `depth: 2` changes nothing where there are two."""
    arch = _normalize_arch(variant.arch.with_shape(variant.data.shape))
    tune = None if variant.tune is None else variant.tune.model_dump_json()  # its space is a dict, without a hash
    return arch, variant.data, variant.train, tune


@lru_cache(maxsize=1024)  # every variant is compared with the base
def _normalize_arch(arch: Arch) -> Arch:
    """Return the normal form; the arch itself if it has a match, or an error that is reported when it is resolved."""
    if arch.match is not None:
        return arch
    with contextlib.suppress(ValueError):
        return arch.to_normal_form()
    return arch


def _find_duplicates(variants: Sequence[Variant], document: yaml_loader.Document) -> list[Problem]:
    """Return the variants that have the name or the content of an earlier one."""
    problems, names, first_by_content = list[Problem](), set[str](), dict[Any, Variant]()
    for variant in variants:
        path, parts = f"variants.{variant.name}", ("variants", variant.name)
        place = document.place(parts if parts in document.places else ("design",))
        if variant.name in names:
            problems.append(Problem("duplicate variant name", path, place))
        names.add(variant.name)
        first = first_by_content.setdefault(_get_content(variant), variant)
        if first is not variant:
            problems.append(Problem(f"identical to {first.name!r}: its changes have no effect", path, place))
    return problems


def _find_search_problems(file: StudyFile, document: yaml_loader.Document) -> list[Problem]:
    """Return the keys that a search does not support. Listed variants beside a search may be ensembles."""
    if not isinstance(file.design, Search):
        return []
    if file.horizons:
        return [Problem("cannot be combined with a search", "horizons", document.place(("horizons",)))]
    rule = "a search proposes single nets: list an ensemble under variants instead"
    ensembles: list[tuple[str, ...]] = [("train", "ensemble")] if file.train.ensemble else []
    ensembles += [
        ("design", "space", name)
        for name, dimension in file.design.space.items()
        if any(path.startswith("train.ensemble") for path in (name, *_list_label_paths(dimension)))
    ]
    return [Problem(rule, join_path(parts), document.place(parts)) for parts in ensembles]


def _list_label_paths(dimension: Any) -> set[str]:
    """Return the paths that the labels of a search dimension change; none for ranges and choices of values."""
    labels = dimension.values() if isinstance(dimension, dict) else ()
    return {path for changes in labels for path in changes}


def _find_claim_problems(
    file: StudyFile, variants: Sequence[Variant], lower: Sequence[Variant], document: yaml_loader.Document
) -> list[Problem]:
    levels: dict[str, Mapping[str, str]] = {variant.name: variant.levels for variant in variants}
    levels |= {variant.name: {} for variant in lower}
    if isinstance(file.design, Search):
        levels |= {name: {} for name in file.design.winner_names}
    quantities = _collect_quantities(file.claims, [*variants, *lower])
    ids, problems = set[str](), list[Problem]()
    for index, claim in enumerate(file.claims):
        path, place = f"claims[{index}]", document.place(("claims", index))
        if claim.id in ids:
            problems.append(Problem("duplicate claim id", f"{path}.id", place, claim.id))
        ids.add(claim.id)
        for error in claim.problems(levels, quantities):
            field_place = document.place(("claims", index, *split_path(error.field)))
            problems.append(_build_problem(error, f"{path}.{error.field}", field_place))
    return problems

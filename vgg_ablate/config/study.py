"""A study: one question, one YAML file. `load(path)` reads it; `study.variants` are what it compares."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping, Sequence
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
from vgg_ablate.config.overrides import get_at_path, join_path, set_at_path, split_path
from vgg_ablate.config.search import COSTS, FIRST_SEARCH_SEED, Search
from vgg_ablate.config.training import Data, Train
from vgg_ablate.config.tuning import Tune, TuningWinner
from vgg_ablate.config.types import Count, FrozenModel, InvalidValueError, Name, NonNegative, Positive, Whole
from vgg_ablate.errors import Problem, SpecError, find_nearest

BASE_NAME = "base"
_CHANGEABLE = (*CHANGEABLE_KEYS, "tune")
_LISTED = ("variants", "claims", "design", "horizons", "tuned")  # what a variant does not have


class Expectation(FrozenModel):
    """What the study should cost and find, written before it ran."""

    minutes: Positive | None = None
    device: str | None = None
    finds: str | None = None


class Looks(FrozenModel):
    """Seeds that are looked at in steps: after 5, then after 10 (the error rate is spent over the looks)."""

    looks: tuple[Annotated[Count, Field(le=FIRST_SEARCH_SEED)], ...] = Field(min_length=1)

    @field_validator("looks")
    @classmethod
    def _growing(cls, looks: tuple[int, ...]) -> tuple[int, ...]:
        if any(one >= other for one, other in pairwise(looks)):
            raise InvalidValueError("each look takes more seeds than the one before", got=list(looks))
        return looks


def _counted(value: Any) -> Any:
    """`5` is short for `[0, 1, 2, 3, 4]`."""
    if isinstance(value, list | tuple | dict | Looks):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValueError("must be how many, or a list of seeds, or looks", got=value)
    if not 1 <= value <= FIRST_SEARCH_SEED:
        raise InvalidValueError(f"must be from 1 to {FIRST_SEARCH_SEED}", got=value)
    return list(range(value))


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise InvalidValueError("is one run however often it is listed", got=seed)
    return seeds


Seeds = Annotated[
    Annotated[
        tuple[Annotated[Whole, Field(lt=FIRST_SEARCH_SEED)], ...],
        Field(min_length=1, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_distinct),
        Tag("tuple[int]"),
    ]
    | Annotated[Looks, Tag("Looks[int]")],
    Discriminator(lambda value: "Looks[int]" if isinstance(value, dict | Looks) else "tuple[int]"),
    BeforeValidator(_counted),
]


def _as_date(value: Any) -> date:
    """`2026-11-25`, whether YAML made a date of it or left it as text."""
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(value)
    if type(value) is date:
        return value
    raise InvalidValueError("must be a date such as 2026-11-25", got=value)


_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
RegistrationDate = Annotated[date, BeforeValidator(_as_date)]
VariantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+=-]*(@[0-9.e+-]+)?$", max_length=110)]


class Variant(FrozenModel):
    """Base + changes, with a name; at a lower level of the study's horizons, `name@level`."""

    name: VariantName
    arch: Arch  # as written: knobs, a match, shapes left to the data
    data: Data
    train: Train
    changes: dict[str, Any] = Field(default_factory=dict)  # path -> new value
    levels: dict[str, str] = Field(default_factory=dict)  # factor -> level, in a design with factors
    horizon: HorizonLevel | None = None  # its level of the study's horizons; None: the study has none
    tune: Tune | None = None  # how its settings are searched for before its runs
    tuned: TuningWinner | None = None  # what that search found; its values are in arch, data and train already


class StudyFile(FrozenModel):
    """The keys of a study file."""

    version: Literal[1]
    name: Name
    question: str
    expect: Expectation = Expectation()
    registered: RegistrationDate | None = None  # when the claims were fixed, before anything was trained
    smallest_effect: NonNegative | None = None  # of claims on errors and accuracies, in percentage points
    seeds: Seeds = (0, 1, 2, 3, 4)
    horizons: Horizons | None = None  # {path: levels}; the last level decides
    data: Data
    arch: Arch
    train: Train = Train()
    tune: Tune | None = None
    tuned: dict[Name, TuningWinner] = Field(default_factory=dict)  # variant -> its winner; written by `run`
    design: Design = ListedVariants(kind="list")
    variants: dict[Name, dict[str, Any]] = Field(default_factory=dict)  # name -> {path: new value}
    claims: tuple[Claim, ...] = ()
    on_error: Literal["continue", "stop"] = "continue"

    @model_validator(mode="before")
    @classmethod
    def _nets_in_full(cls, given: Any) -> Any:
        return expand_ensemble(given)


class Study(FrozenModel):
    """One question: what is compared, over which seeds, and what is claimed."""

    name: Name
    question: str
    expect: Expectation
    registered: RegistrationDate | None = None
    smallest_effect: NonNegative | None = None
    seeds: Seeds
    horizons: Horizons | None = None
    design: Design
    variants: tuple[Variant, ...]  # the base first; with horizons, at the last level
    horizon_variants: tuple[Variant, ...] = ()  # the same at every lower level, the lowest first
    claims: tuple[Claim, ...]
    on_error: Literal["continue", "stop"]
    tune: Tune | None
    tuned: dict[Name, TuningWinner]
    _document: yaml_loader.Document = PrivateAttr(default_factory=lambda: yaml_loader.Document({}))

    @property
    def seed_list(self) -> tuple[int, ...]:
        """Every seed that is asked for."""
        return tuple(range(self.seeds.looks[-1])) if isinstance(self.seeds, Looks) else self.seeds

    @property
    def looks(self) -> tuple[int, ...]:
        """After how many seeds the study is looked at; one number: once, at the end."""
        return self.seeds.looks if isinstance(self.seeds, Looks) else (len(self.seeds),)

    @property
    def base(self) -> Variant:
        """The variant from which the others start."""
        return self.variants[0]

    @property
    def all_variants(self) -> tuple[Variant, ...]:
        """Those that are compared, then the same at the lower levels of the horizons."""
        return self.variants + self.horizon_variants

    @property
    def variants_by_horizon(self) -> tuple[tuple[Variant, ...], ...]:
        """The variants of every level of the horizons, the lowest first; all in one where there are none."""
        count = len(self.variants)
        lower = (self.horizon_variants[start : start + count] for start in range(0, len(self.horizon_variants), count))
        return (*lower, self.variants)

    @property
    def horizon_path(self) -> str:
        """The path that the horizons change, such as `train.epochs`; empty where there are none."""
        return split_horizons(self.horizons)[0]

    @property
    def horizon_levels(self) -> tuple[HorizonLevel, ...]:
        """The levels of the horizons, the lowest first; none where there are none."""
        return split_horizons(self.horizons)[1]

    @property
    def levels(self) -> dict[str, Mapping[str, str]]:
        """Variant -> factor -> level; variants at lower levels of the horizons belong to no factor's mean."""
        levels: dict[str, Mapping[str, str]] = {one.name: one.levels for one in self.variants}
        return levels | {one.name: {} for one in self.horizon_variants}

    def quantities(self, costs: Mapping[str, Mapping[str, int]] | None = None) -> TrendQuantities:
        """What the claims' trends are over -> variant -> its number; `costs` of the variants where they are known.

        Params, MACs and activations are in millions: a slope for each of them would be lost in rounding.
        """
        found = _quantities(self.claims, self.all_variants)
        wanted = {claim.trend.over for claim in self.claims if claim.trend is not None} & set(COSTS)
        if costs is not None:
            steps = {cost: 1e6 if cost in PER_MILLION_METRICS else 1.0 for cost in wanted}
            found |= {cost: {name: its[cost] / step for name, its in costs.items()} for cost, step in steps.items()}
        return found

    def find_trend_problems(self, costs: Mapping[str, Mapping[str, int]]) -> list[Problem]:
        """Claims whose trend is over a cost that does not vary, or is not known; `costs`: variant -> cost -> number."""
        quantities, problems = self.quantities(costs), list[Problem]()
        for index, claim in enumerate(self.claims):
            if claim.trend is not None:
                problems += [
                    Problem(str(wrong), path, self.locate_path(path), wrong.got, wrong.nearest)
                    for wrong in claim.problems(self.levels, quantities)
                    for path in [f"claims[{index}].{wrong.field}"]
                ]
        return problems

    def as_written(self, key: str) -> Any:
        """What the study file says at a top-level key, as plain data; None where it says nothing."""
        return self._document.data.get(key)

    def variant(self, name: str, changes: dict[str, Any]) -> Variant:
        """The base with these changes: what a search proposes. Raises SpecError where it cannot be."""
        problems: list[Problem] = []
        made = _variant(DesignCell(name, changes, {}), self._document, _core(self._document), ("design",), problems)
        if made is None:
            raise SpecError(problems)
        return made

    def with_winners(self, tuned: Mapping[str, TuningWinner]) -> Self:
        """Return the study with these winners of the tuning applied to their variants."""
        written = {name: winner.model_dump(mode="json", exclude_none=True) for name, winner in tuned.items()}
        return type(self).of(yaml_loader.Document({**self._document.data, "tuned": written}, self._document.places))

    def without_winners(self) -> Self:
        """Return the study as it was before its tuning."""
        return self.with_winners({}) if self.tuned else self

    def as_yaml(self) -> str:
        """The study as it is run: `extends` merged, overrides applied. `load` reads it back."""
        text = io.StringIO()
        yaml_loader.write_yaml(self._document.data, text)
        return text.getvalue()

    @property
    def source(self) -> Path | None:
        """The file that the study was read from; None where it was made in memory."""
        place = self._document.place(())
        return Path(place) if place else None

    def locate_path(self, path: str) -> str:
        """`file:line:col` of a path such as `variants.five: arch.kernel`, or of the nearest thing around it."""
        return self._document.place(split_path(path.partition(":")[0])) if path else ""

    def with_locations(self, error: SpecError) -> SpecError:
        """The same problems, with the places where the study was written."""
        return SpecError(
            Problem(one.rule, one.path, one.place or self.locate_path(one.path), one.got, one.nearest)
            for one in error.problems
        )

    @classmethod
    def of(cls, document: yaml_loader.Document) -> Self:
        """The study that a document describes. Raises SpecError with every problem in it."""
        try:
            written = StudyFile.model_validate(document.data)
        except ValidationError as error:
            raise SpecError(yaml_loader.build_problems(error, StudyFile, document)) from error
        at_last, shown = _at_last_level(written, document)
        variants = _variants(at_last, shown)
        tuned = _tuned(at_last, variants, shown)
        lower = _lower_levels(at_last, shown, tuned)
        problems = [
            *_claim_problems(written, variants, lower, document),
            *_twins(variants, document),
            *_unsearchable(written, document),
            *_untunable(variants, written.horizons, document),
        ]
        if problems:
            raise SpecError(problems)
        given = {name: getattr(written, name) for name in cls.model_fields if name in StudyFile.model_fields}
        claims = tuple(_with_smallest_effect(claim, written.smallest_effect) for claim in written.claims)
        study = cls(**{**given, "variants": tuned, "horizon_variants": lower, "claims": claims})
        study._document = document
        return study


def load(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file, with `path=value` overrides on top. Raises SpecError with every problem found."""
    document = yaml_loader.read_document(Path(path))
    problems: list[Problem] = []
    for override in overrides:
        try:
            document = _overridden(document, override)
        except InvalidValueError as wrong:
            problems.append(Problem(str(wrong), override.split("=")[0], "command line", wrong.got, wrong.nearest))
    if problems:
        raise SpecError(problems)
    return Study.of(document)


def _overridden(document: yaml_loader.Document, override: str) -> yaml_loader.Document:
    path, equals, text = override.partition("=")
    if not equals:
        raise InvalidValueError("an override is path=value", got=override)
    if split_path(path)[0] not in StudyFile.model_fields:
        raise InvalidValueError(
            "unknown key", got=path, nearest=find_nearest(str(split_path(path)[0]), StudyFile.model_fields)
        )
    data = set_at_path(document.data, path, yaml_loader.parse_scalar(text))
    return yaml_loader.Document(data, {**document.places, split_path(path): "command line"})


def _at_last_level(written: StudyFile, document: yaml_loader.Document) -> tuple[StudyFile, yaml_loader.Document]:
    """The study with the last level of its horizons; as it is without any. Raises SpecError."""
    path, levels = split_horizons(written.horizons)
    if not path:
        return written, document
    place, given = document.place(("horizons", path)), get_at_path(document.data, path)
    if given is not None and given != levels[-1]:
        rule = f"the horizons set this: leave it out, or let it be their last level, {levels[-1]}"
        raise SpecError(Problem(rule, path, document.place(split_path(path)), given))
    try:
        data = set_at_path(document.data, path, levels[-1])
    except InvalidValueError as wrong:
        raise SpecError(Problem(str(wrong), f"horizons.{path}", place, wrong.got, wrong.nearest)) from wrong
    around = dict.fromkeys(_around(split_path(path), document.places), place)
    shown = yaml_loader.Document(data, {**document.places, **around})
    try:
        return StudyFile.model_validate(data), shown
    except ValidationError as error:
        raise SpecError(yaml_loader.build_problems(error, StudyFile, shown)) from error


def _lower_levels(
    written: StudyFile, document: yaml_loader.Document, variants: Sequence[Variant]
) -> tuple[Variant, ...]:
    """The variants at every level of the horizons but the last, the lowest first. Raises SpecError."""
    path, levels = split_horizons(written.horizons)
    names, core = {variant.name for variant in variants}, _core(document)
    lower, problems = list[Variant](), list[Problem]()
    for level in levels[:-1]:
        for variant in variants:
            found = variant.tuned.values if variant.tuned is not None else {}
            cell = DesignCell(variant.name, {**variant.changes, **found, path: level}, {})
            made = _variant(cell, document, core, ("horizons",), problems)
            if made is None:
                continue
            changed: dict[str, Any] = {
                "name": format_level_name(variant.name, level),
                "horizon": level,
                "tuned": variant.tuned,
            }
            changed["changes"] = {**variant.changes, path: level}
            match = made.arch.match
            if match is not None and match.target in names:  # the budget is that of the same level
                match = match.model_copy(update={match.cost: format_level_name(str(match.target), level)})
                changed["arch"] = made.arch.model_copy(update={"match": match})
            lower.append(made.model_copy(update=changed))
    if problems:  # a level that cannot be is wrong in every variant, and said once
        raise SpecError({str(problem): problem for problem in problems}.values())
    return tuple(lower)


def _with_smallest_effect(claim: Claim, of_study: float | None) -> Claim:
    """With the study's where the claim has none and is in the study's unit: an error's or accuracy's points."""
    in_points = claim.metric.endswith(PERCENTAGE_SUFFIXES) and claim.trend is None
    if claim.smallest_effect is not None or of_study is None or not in_points:
        return claim
    return claim.model_copy(update={"smallest_effect": of_study})


def _quantities(claims: Sequence[Claim], variants: Sequence[Variant]) -> dict[str, dict[str, float]]:
    """Of trends over a path or a factor: what they are over -> variant -> its number, where it has one."""
    found: dict[str, dict[str, float]] = {}
    for trend in (claim.trend for claim in claims if claim.trend is not None and claim.trend.over not in COSTS):
        listed = [variant for variant in variants if variant.name in trend.variants]
        numbers = {variant.name: _number_of(variant, trend.over) for variant in listed}
        found.setdefault(trend.over, {}).update(
            {name: number for name, number in numbers.items() if number is not None}
        )
    return found


def _number_of(variant: Variant, over: str) -> float | None:
    """A variant's number at a path, or its level of a factor where that is a number; None where there is neither."""
    with contextlib.suppress(InvalidValueError):
        given = get_at_path(variant.model_dump(mode="json", include=set(CHANGEABLE_KEYS)), over)
        if isinstance(given, int | float) and not isinstance(given, bool):
            return float(given)
    for factor, level in variant.levels.items():
        with contextlib.suppress(ValueError):
            if over in (factor, factor.rsplit(".", 1)[-1]) and isfinite(number := float(level)):
                return number
    return None


def _variants(written: StudyFile, document: yaml_loader.Document) -> tuple[Variant, ...]:
    """The base, then the design's cells, then the list; a cell that equals the base is the base."""
    path, horizons = split_horizons(written.horizons)
    last = horizons[-1] if horizons else None
    base = Variant(
        name=BASE_NAME, arch=written.arch, data=written.data, train=written.train, tune=written.tune, horizon=last
    )
    listed = [DesignCell(name, changes, {}) for name, changes in written.variants.items()]
    variants, problems, core = [base], list[Problem](), _core(document)
    for cell in [*written.design.cells(), *listed]:
        where = ("variants", cell.name) if cell.name in written.variants else ("design",)
        if path and (twice := [one for one in cell.changes if paths_overlap(split_path(one), split_path(path))]):
            rule = f"the horizons set {path} for every variant"
            place = document.place((*where, twice[0]))
            problems.append(Problem(rule, f"{join_path(where)}.{twice[0]}", place, cell.changes[twice[0]]))
            continue
        variant = _variant(cell, document, core, where, problems)
        if variant is None:
            continue
        if cell.levels and not cell.levels.keys() & base.levels.keys() and _content(variant) == _content(base):
            variants[0] = base = base.model_copy(update={"levels": {**base.levels, **cell.levels}})
        else:
            variants.append(variant.model_copy(update={"horizon": last}))
    if problems:
        raise SpecError(problems)
    return tuple(variants)


def _variant(
    cell: DesignCell,
    document: yaml_loader.Document,
    core: yaml_loader.Document,
    where: tuple[str, ...],
    problems: list[Problem],
) -> Variant | None:
    data, places = core.data, dict(core.places)
    for path, value in cell.changes.items():
        place = document.place((*where, path))
        try:
            if split_path(path)[0] not in _CHANGEABLE:
                raise InvalidValueError(
                    "a change begins with arch, data or train", nearest=find_nearest(path, _CHANGEABLE)
                )
            data = set_at_path(data, path, value)
        except InvalidValueError as wrong:
            problems.append(Problem(str(wrong), f"{join_path(where)}.{path}", place, wrong.got, wrong.nearest))
            return None
        places |= dict.fromkeys(_around(split_path(path), places), place)
    try:
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
        changed_document = yaml_loader.Document(data, places)
        problems.extend(
            Problem(one.rule, f"{join_path(where)}: {one.path}", one.place, one.got, one.nearest)
            for one in yaml_loader.build_problems(error, StudyFile, changed_document)
        )
        return None


def _tuned(written: StudyFile, variants: tuple[Variant, ...], document: yaml_loader.Document) -> tuple[Variant, ...]:
    """The variants with the winners of their tuning. Raises SpecError where a winner cannot be applied."""
    problems, made, core = list[Problem](), list[Variant](), _core(document)
    for variant in variants:
        winner = written.tuned.get(variant.name)
        if winner is None:
            made.append(variant)
            continue
        cell = DesignCell(variant.name, {**variant.changes, **winner.values}, variant.levels)
        changed = _variant(cell, document, core, ("tuned", variant.name), problems)
        same = {"changes": variant.changes, "horizon": variant.horizon, "tuned": winner}
        made.append((changed or variant).model_copy(update=same))
    known = {variant.name for variant in variants}
    problems += [
        Problem("no such variant", f"tuned.{name}", document.place(("tuned", name)), name, find_nearest(name, known))
        for name in written.tuned
        if name not in known
    ]
    if problems:
        raise SpecError(problems)
    return tuple(made)


def _untunable(variants: Sequence[Variant], horizons: Horizons | None, document: yaml_loader.Document) -> list[Problem]:
    """A setting is either searched for or given; and what is searched for gets one budget in all variants."""
    problems, base, level = list[Problem](), variants[0], split_horizons(horizons)[0]
    for variant in variants:
        place = document.place(("variants", variant.name))
        if (variant.tune is None) != (base.tune is None):
            problems.append(Problem("all variants are tuned, or none", f"variants.{variant.name}: tune", place))
        if variant.tune is None or base.tune is None:
            continue
        if variant.tune.budget != base.tune.budget:
            rule = "trials, epochs, pruner and seeds of tune must be those of the base: every variant gets one budget"
            problems.append(Problem(rule, f"variants.{variant.name}: tune", place))
        own = variant is base or variant.tune != base.tune
        if (
            own
            and level
            and (twice := [path for path in variant.tune.space if paths_overlap(split_path(path), split_path(level))])
        ):
            place = document.place(("tune", "space", twice[0]))
            problems.append(Problem("the horizons set this for every variant", f"tune.space.{twice[0]}", place))
        problems += [
            Problem(
                f"tune.space searches {searched}, which this variant sets", f"variants.{variant.name}.{path}", place
            )
            for path in variant.changes
            for searched in variant.tune.space
            if path != "tune" and not path.startswith("tune.") and f"{searched}.".startswith(f"{path}.")
        ]
    return problems


def _core(document: yaml_loader.Document) -> yaml_loader.Document:
    """What every variant shares; a list of a thousand variants is not copied a thousand times."""
    data = {key: value for key, value in document.data.items() if key not in _LISTED}
    places = {parts: place for parts, place in document.places.items() if not parts or parts[0] not in _LISTED}
    return yaml_loader.Document(data, places)


def _around(parts: tuple[str | int, ...], places: yaml_loader.SourceLocations) -> set[tuple[str | int, ...]]:
    """The changed part, all that lies below it, and what is above it but for the top: where its errors show."""
    below = {place for place in places if place[: len(parts)] == parts}
    above = {parts[:length] for length in range(1, len(parts) + 1)}
    return below | above


def _content(variant: Variant) -> tuple[object, ...]:
    """What is trained, however it was written: `depth: 2` where there are two is no change."""
    arch = _spelled_out(variant.arch.with_shape(variant.data.shape))
    tune = None if variant.tune is None else variant.tune.model_dump_json()  # its space is a dict, without a hash
    return arch, variant.data, variant.train, tune


@lru_cache(maxsize=1024)
def _spelled_out(arch: Arch) -> Arch:
    """As plain stages; as it is where that must wait (for a budget) or cannot be (which is said elsewhere)."""
    if arch.match is not None:
        return arch
    with contextlib.suppress(ValueError):
        return arch.to_normal_form()
    return arch


def _twins(variants: Sequence[Variant], document: yaml_loader.Document) -> list[Problem]:
    """Two variants of one name, or (but for a match) of one content, cannot be told apart in a table."""
    problems, names, known = list[Problem](), set[str](), dict[Any, Variant]()
    for variant in variants:
        listed = ("variants", variant.name)
        place = document.place(listed if listed in document.places else ("design",))
        if variant.name in names:
            problems.append(Problem("two variants have this name", f"variants.{variant.name}", place))
        names.add(variant.name)
        twin = known.setdefault(_content(variant), variant)
        if twin is not variant:
            rule = f"is the same as {twin.name!r}: no change tells them apart"
            problems.append(Problem(rule, f"variants.{variant.name}", place))
    return problems


def _unsearchable(written: StudyFile, document: yaml_loader.Document) -> list[Problem]:
    """A search weighs one net a proposal; variants beside it may be ensembles."""
    if not isinstance(written.design, Search):
        return []
    if written.horizons:
        return [Problem("a search has no horizons", "horizons", document.place(("horizons",)))]
    rule = "a search proposes one net at a time: an ensemble is a variant of its own"
    found: list[tuple[str, ...]] = [("train", "ensemble")] if written.train.ensemble else []
    found += [
        ("design", "space", name)
        for name, dimension in written.design.space.items()
        if any(path.startswith("train.ensemble") for path in (name, *_changed(dimension)))
    ]
    return [Problem(rule, join_path(parts), document.place(parts)) for parts in found]


def _changed(dimension: Any) -> set[str]:
    """The paths that the labels of a search's dimension stand for."""
    labelled = dimension.values() if isinstance(dimension, dict) else ()
    return {path for changes in labelled for path in changes}


def _claim_problems(
    written: StudyFile, variants: Sequence[Variant], lower: Sequence[Variant], document: yaml_loader.Document
) -> list[Problem]:
    levels: dict[str, Mapping[str, str]] = {variant.name: variant.levels for variant in variants}
    levels |= {variant.name: {} for variant in lower}
    ids, problems = set[str](), list[Problem]()
    if isinstance(written.design, Search):
        levels |= {name: {} for name in written.design.winner_names}
    quantities = _quantities(written.claims, [*variants, *lower])
    for index, claim in enumerate(written.claims):
        if claim.id in ids:
            problems.append(
                Problem("two claims have this id", f"claims[{index}].id", document.place(("claims", index)), claim.id)
            )
        ids.add(claim.id)
        for wrong in claim.problems(levels, quantities):
            place = document.place(("claims", index, *split_path(wrong.field)))
            problems.append(Problem(str(wrong), f"claims[{index}].{wrong.field}", place, wrong.got, wrong.nearest))
    return problems

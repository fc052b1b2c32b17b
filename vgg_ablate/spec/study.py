"""A study: one question, one YAML file. `load(path)` reads it; `study.variants` are what it compares."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
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

from vgg_ablate.errors import Problem, SpecError, nearest
from vgg_ablate.spec import reading
from vgg_ablate.spec.arch import Arch
from vgg_ablate.spec.claims import Claim
from vgg_ablate.spec.designs import AsListed, Cell, Design
from vgg_ablate.spec.ensembles import unfolded
from vgg_ablate.spec.paths import assigned, joined, split
from vgg_ablate.spec.recipe import Data, Train
from vgg_ablate.spec.search import FIRST_SEED, Search
from vgg_ablate.spec.tuning import Tune, Tuned
from vgg_ablate.spec.values import Count, Frozen, Name, Positive, Whole, Wrong

BASE = "base"
_CHANGEABLE = ("arch", "data", "train", "tune")
_LISTED = ("variants", "claims", "design", "tuned")  # what a variant does not have


class Expect(Frozen):
    """What the study should cost and find, written before it ran."""

    minutes: Positive | None = None
    device: str | None = None
    finds: str | None = None


class Looks(Frozen):
    """Seeds that are looked at in steps: after 5, then after 10 (the error rate is spent over the looks)."""

    looks: tuple[Annotated[Count, Field(le=FIRST_SEED)], ...] = Field(min_length=1)

    @field_validator("looks")
    @classmethod
    def _growing(cls, looks: tuple[int, ...]) -> tuple[int, ...]:
        if any(one >= other for one, other in pairwise(looks)):
            raise Wrong("each look takes more seeds than the one before", got=list(looks))
        return looks


def _counted(value: Any) -> Any:
    """`5` is short for `[0, 1, 2, 3, 4]`."""
    if isinstance(value, list | tuple | dict | Looks):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise Wrong("must be how many, or a list of seeds, or looks", got=value)
    if not 1 <= value <= FIRST_SEED:
        raise Wrong(f"must be from 1 to {FIRST_SEED}", got=value)
    return list(range(value))


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise Wrong("is one run however often it is listed", got=seed)
    return seeds


Seeds = Annotated[
    Annotated[
        tuple[Annotated[Whole, Field(lt=FIRST_SEED)], ...],
        Field(min_length=1, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_distinct),
        Tag("tuple[int]"),
    ]
    | Annotated[Looks, Tag("Looks[int]")],
    Discriminator(lambda value: "Looks[int]" if isinstance(value, dict | Looks) else "tuple[int]"),
    BeforeValidator(_counted),
]


class Variant(Frozen):
    """Base + changes, with a name."""

    name: Name
    arch: Arch  # as written: knobs, a match, shapes left to the data
    data: Data
    train: Train
    changes: dict[str, Any] = Field(default_factory=dict)  # path -> new value
    levels: dict[str, str] = Field(default_factory=dict)  # factor -> level, in a design with factors
    tune: Tune | None = None  # how its settings are searched for before its runs
    tuned: Tuned | None = None  # what that search found; its values are in arch, data and train already


class Written(Frozen):
    """The keys of a study file."""

    version: Literal[1]
    name: Name
    question: str
    expect: Expect = Expect()
    seeds: Seeds = (0, 1, 2, 3, 4)
    data: Data
    arch: Arch
    train: Train = Train()
    tune: Tune | None = None
    tuned: dict[Name, Tuned] = Field(default_factory=dict)  # variant -> its winner; written by `run`
    design: Design = AsListed(kind="list")
    variants: dict[Name, dict[str, Any]] = Field(default_factory=dict)  # name -> {path: new value}
    claims: tuple[Claim, ...] = ()
    on_error: Literal["continue", "stop"] = "continue"

    @model_validator(mode="before")
    @classmethod
    def _nets_in_full(cls, given: Any) -> Any:
        return unfolded(given)


class Study(Frozen):
    """One question: what is compared, over which seeds, and what is claimed."""

    name: Name
    question: str
    expect: Expect
    seeds: Seeds
    design: Design
    variants: tuple[Variant, ...]  # the base first
    claims: tuple[Claim, ...]
    on_error: Literal["continue", "stop"]
    tune: Tune | None
    tuned: dict[Name, Tuned]
    _document: reading.Document = PrivateAttr(default_factory=lambda: reading.Document({}))

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

    def variant(self, name: str, changes: dict[str, Any]) -> Variant:
        """The base with these changes: what a search proposes. Raises SpecError where it cannot be."""
        problems: list[Problem] = []
        made = _variant(Cell(name, changes, {}), self._document, _core(self._document), ("design",), problems)
        if made is None:
            raise SpecError(problems)
        return made

    def with_winners(self, tuned: Mapping[str, Tuned]) -> Self:
        """Return the study with these winners of the tuning applied to their variants."""
        written = {name: winner.model_dump(mode="json", exclude_none=True) for name, winner in tuned.items()}
        return type(self).of(reading.Document({**self._document.data, "tuned": written}, self._document.places))

    def without_winners(self) -> Self:
        """Return the study as it was before its tuning."""
        return self.with_winners({}) if self.tuned else self

    def as_yaml(self) -> str:
        """The study as it is run: `extends` merged, overrides applied. `load` reads it back."""
        text = io.StringIO()
        reading.write(self._document.data, text)
        return text.getvalue()

    def place_of(self, path: str) -> str:
        """`file:line:col` of a path such as `variants.five: arch.kernel`, or of the nearest thing around it."""
        return self._document.place(split(path.partition(":")[0])) if path else ""

    def located(self, error: SpecError) -> SpecError:
        """The same problems, with the places where the study was written."""
        return SpecError(
            Problem(one.rule, one.path, one.place or self.place_of(one.path), one.got, one.nearest)
            for one in error.problems
        )

    @classmethod
    def of(cls, document: reading.Document) -> Self:
        """The study that a document describes. Raises SpecError with every problem in it."""
        try:
            written = Written.model_validate(document.data)
        except ValidationError as error:
            raise SpecError(reading.problems(error, Written, document)) from error
        variants = _variants(written, document)
        problems = [
            *_claim_problems(written, variants, document),
            *_twins(variants, document),
            *_unsearchable(written, document),
            *_untunable(variants, document),
        ]
        if problems:
            raise SpecError(problems)
        variants = _tuned(written, variants, document)
        study = cls(
            **{name: getattr(written, name) for name in cls.model_fields if name != "variants"}, variants=variants
        )
        study._document = document
        return study


def load(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file, with `path=value` overrides on top. Raises SpecError with every problem found."""
    document = reading.read(Path(path))
    problems: list[Problem] = []
    for override in overrides:
        try:
            document = _overridden(document, override)
        except Wrong as wrong:
            problems.append(Problem(str(wrong), override.split("=")[0], "command line", wrong.got, wrong.nearest))
    if problems:
        raise SpecError(problems)
    return Study.of(document)


def _overridden(document: reading.Document, override: str) -> reading.Document:
    path, equals, text = override.partition("=")
    if not equals:
        raise Wrong("an override is path=value", got=override)
    if split(path)[0] not in Written.model_fields:
        raise Wrong("unknown key", got=path, nearest=nearest(str(split(path)[0]), Written.model_fields))
    data = assigned(document.data, path, reading.scalar(text))
    return reading.Document(data, {**document.places, split(path): "command line"})


def _variants(written: Written, document: reading.Document) -> tuple[Variant, ...]:
    """The base, then the design's cells, then the list; a cell that equals the base is the base."""
    base = Variant(name=BASE, arch=written.arch, data=written.data, train=written.train, tune=written.tune)
    listed = [Cell(name, changes, {}) for name, changes in written.variants.items()]
    variants, problems, core = [base], list[Problem](), _core(document)
    for cell in [*written.design.cells(), *listed]:
        where = ("variants", cell.name) if cell.name in written.variants else ("design",)
        variant = _variant(cell, document, core, where, problems)
        if variant is None:
            continue
        if cell.levels and not cell.levels.keys() & base.levels.keys() and _content(variant) == _content(base):
            variants[0] = base = base.model_copy(update={"levels": {**base.levels, **cell.levels}})
        else:
            variants.append(variant)
    if problems:
        raise SpecError(problems)
    return tuple(variants)


def _variant(
    cell: Cell, document: reading.Document, core: reading.Document, where: tuple[str, ...], problems: list[Problem]
) -> Variant | None:
    data, places = core.data, dict(core.places)
    for path, value in cell.changes.items():
        place = document.place((*where, path))
        try:
            if split(path)[0] not in _CHANGEABLE:
                raise Wrong("a change begins with arch, data or train", nearest=nearest(path, _CHANGEABLE))
            data = assigned(data, path, value)
        except Wrong as wrong:
            problems.append(Problem(str(wrong), f"{joined(where)}.{path}", place, wrong.got, wrong.nearest))
            return None
        places |= dict.fromkeys(_around(split(path), places), place)
    try:
        changed = Written.model_validate(data)
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
        changed_document = reading.Document(data, places)
        problems.extend(
            Problem(one.rule, f"{joined(where)}: {one.path}", one.place, one.got, one.nearest)
            for one in reading.problems(error, Written, changed_document)
        )
        return None


def _tuned(written: Written, variants: tuple[Variant, ...], document: reading.Document) -> tuple[Variant, ...]:
    """The variants with the winners of their tuning. Raises SpecError where a winner cannot be applied."""
    problems, made, core = list[Problem](), list[Variant](), _core(document)
    for variant in variants:
        winner = written.tuned.get(variant.name)
        if winner is None:
            made.append(variant)
            continue
        cell = Cell(variant.name, {**variant.changes, **winner.values}, variant.levels)
        changed = _variant(cell, document, core, ("tuned", variant.name), problems)
        made.append((changed or variant).model_copy(update={"changes": variant.changes, "tuned": winner}))
    known = {variant.name for variant in variants}
    problems += [
        Problem("no such variant", f"tuned.{name}", document.place(("tuned", name)), name, nearest(name, known))
        for name in written.tuned
        if name not in known
    ]
    if problems:
        raise SpecError(problems)
    return tuple(made)


def _untunable(variants: Sequence[Variant], document: reading.Document) -> list[Problem]:
    """A setting is either searched for or given; and what is searched for gets one budget in all variants."""
    problems, base = list[Problem](), variants[0]
    for variant in variants:
        place = document.place(("variants", variant.name))
        if (variant.tune is None) != (base.tune is None):
            problems.append(Problem("all variants are tuned, or none", f"variants.{variant.name}: tune", place))
        if variant.tune is None or base.tune is None:
            continue
        if variant.tune.budget != base.tune.budget:
            rule = "trials, epochs, pruner and seeds of tune must be those of the base: every variant gets one budget"
            problems.append(Problem(rule, f"variants.{variant.name}: tune", place))
        problems += [
            Problem(
                f"tune.space searches {searched}, which this variant sets", f"variants.{variant.name}.{path}", place
            )
            for path in variant.changes
            for searched in variant.tune.space
            if path != "tune" and not path.startswith("tune.") and f"{searched}.".startswith(f"{path}.")
        ]
    return problems


def _core(document: reading.Document) -> reading.Document:
    """What every variant shares; a list of a thousand variants is not copied a thousand times."""
    data = {key: value for key, value in document.data.items() if key not in _LISTED}
    places = {parts: place for parts, place in document.places.items() if not parts or parts[0] not in _LISTED}
    return reading.Document(data, places)


def _around(parts: tuple[str | int, ...], places: reading.Places) -> set[tuple[str | int, ...]]:
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
        return arch.spelled_out()
    return arch


def _twins(variants: Sequence[Variant], document: reading.Document) -> list[Problem]:
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


def _unsearchable(written: Written, document: reading.Document) -> list[Problem]:
    """A search weighs one net a proposal; variants beside it may be ensembles."""
    if not isinstance(written.design, Search):
        return []
    rule = "a search proposes one net at a time: an ensemble is a variant of its own"
    found: list[tuple[str, ...]] = [("train", "ensemble")] if written.train.ensemble else []
    found += [
        ("design", "space", name)
        for name, dimension in written.design.space.items()
        if any(path.startswith("train.ensemble") for path in (name, *_changed(dimension)))
    ]
    return [Problem(rule, joined(parts), document.place(parts)) for parts in found]


def _changed(dimension: Any) -> set[str]:
    """The paths that the labels of a search's dimension stand for."""
    labelled = dimension.values() if isinstance(dimension, dict) else ()
    return {path for changes in labelled for path in changes}


def _claim_problems(written: Written, variants: Sequence[Variant], document: reading.Document) -> list[Problem]:
    levels, ids, problems = {variant.name: variant.levels for variant in variants}, set[str](), list[Problem]()
    if isinstance(written.design, Search):
        levels |= {name: {} for name in written.design.promised}
    for index, claim in enumerate(written.claims):
        if claim.id in ids:
            problems.append(
                Problem("two claims have this id", f"claims[{index}].id", document.place(("claims", index)), claim.id)
            )
        ids.add(claim.id)
        for wrong in claim.problems(levels):
            place = document.place(("claims", index, wrong.field))
            problems.append(Problem(str(wrong), f"claims[{index}].{wrong.field}", place, wrong.got, wrong.nearest))
    return problems

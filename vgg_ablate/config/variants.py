"""The variants of a study: the base, and the base with the changes of each cell of the design.

A variant is validated as a whole study with its changes applied, because a change can break a rule that involves other
fields. Every stage (the last level of the horizons, the cells, the winners of a tuning, the lower levels) collects all
of its problems and raises them as one SpecError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, NoReturn

from pydantic import Field, ValidationError

from vgg_ablate.config import yaml_loader
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.base_design import DesignCell
from vgg_ablate.config.horizons import (
    CHANGEABLE_KEYS,
    HorizonLevel,
    format_level_name,
    paths_overlap,
    split_horizons,
)
from vgg_ablate.config.limits import MAX_ALL_CONVS, MAX_RUNS, MAX_VARIANTS
from vgg_ablate.config.overrides import PathParts, get_at_path, join_path, set_at_path, split_path
from vgg_ablate.config.study_file import Looks, StudyFile
from vgg_ablate.config.training import Data, Train
from vgg_ablate.config.tuning import Tune, TuningWinner
from vgg_ablate.config.types import FrozenModel, InvalidValueError
from vgg_ablate.config.validation_problems import build_problems
from vgg_ablate.config.yaml_text import SourceLocations
from vgg_ablate.errors import MAX_PROBLEMS, Problem, SpecError, find_nearest

BASE_NAME = "base"
_VARIANT_KEYS = (*CHANGEABLE_KEYS, "tune")
_SECTIONS: Mapping[str, type[FrozenModel]] = {"arch": Arch, "data": Data, "train": Train}
_STUDY_ONLY_KEYS = ("variants", "claims", "design", "horizons", "tuned")
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


def set_last_level(file: StudyFile, document: yaml_loader.Document) -> tuple[StudyFile, yaml_loader.Document]:
    """Return the study with the last level of its horizons; unchanged without horizons. Raises SpecError."""
    path, levels = split_horizons(file.horizons)
    if not path:
        return file, document
    location, value = document.locate(("horizons", path)), get_at_path(document.data, path)
    if value is not None and value != levels[-1]:
        rule = f"set by horizons: remove it, or set it to their last level, {levels[-1]}"
        raise SpecError(Problem(rule, path, document.locate(split_path(path)), value))
    try:
        data = set_at_path(document.data, path, levels[-1])
    except InvalidValueError as error:
        raise SpecError(error.build_problem(f"horizons.{path}", location)) from error
    # An error of the changed study is located at the horizons that caused it.
    locations = dict.fromkeys(_select_parts_around(split_path(path), document.locations), location)
    changed_document = yaml_loader.Document(data, {**document.locations, **locations})
    try:
        return StudyFile.model_validate(data), changed_document
    except ValidationError as error:
        raise SpecError(build_problems(error, StudyFile, changed_document)) from error


def build_lower_levels(
    file: StudyFile, document: yaml_loader.Document, variants: Sequence[Variant]
) -> tuple[Variant, ...]:
    """Return the variants at every level of the horizons but the last, the lowest first. Raises SpecError."""
    path, levels = split_horizons(file.horizons)
    names, shared = {variant.name for variant in variants}, select_shared_keys(document)
    lower, problems = list[Variant](), list[Problem]()
    for level in levels[:-1]:
        for variant in variants:
            winner = variant.tuned.values if variant.tuned is not None else {}
            cell = DesignCell(variant.name, {**variant.changes, **winner, path: level}, {})
            at_level = build_variant(cell, document, shared, ("horizons",), problems)
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


def build_variants(file: StudyFile, document: yaml_loader.Document) -> tuple[Variant, ...]:
    """Return the base, the cells of the design, and the listed variants. Raises SpecError.

    A cell that equals the base is not a variant of its own: its levels become those of the base.
    """
    horizon_path, horizon_levels = split_horizons(file.horizons)
    horizon = horizon_levels[-1] if horizon_levels else None
    base = Variant(name=BASE_NAME, arch=file.arch, data=file.data, train=file.train, tune=file.tune, horizon=horizon)
    listed = [DesignCell(name, changes, {}) for name, changes in file.variants.items()]
    variants, problems, shared = [base], list[Problem](), select_shared_keys(document)
    cells = [*file.design.list_cells(), *listed]
    level_count, convs = max(1, len(horizon_levels)), _count_convs(base)
    _check_size(file, len(cells), level_count, document)
    for cell in cells:
        if len(problems) >= MAX_PROBLEMS:
            break
        if convs * level_count > MAX_ALL_CONVS:
            _raise_count(f"must give nets with at most {MAX_ALL_CONVS:,} convolutions together", document)
        where = ("variants", cell.name) if cell.name in file.variants else ("design",)
        if (conflict := _find_horizon_conflict(cell, horizon_path, where, document)) is not None:
            problems.append(conflict)
            continue
        variant = build_variant(cell, document, shared, where, problems)
        if variant is None:
            continue
        convs += _count_convs(variant)
        # The base can be one level per factor. A second level that equals it is a duplicate, reported later.
        is_new_level = cell.levels and not cell.levels.keys() & base.levels.keys()
        if is_new_level and get_content(variant) == get_content(base):
            variants[0] = base = base.model_copy(update={"levels": {**base.levels, **cell.levels}})
        else:
            variants.append(variant.model_copy(update={"horizon": horizon}))
    if problems:
        raise SpecError(problems)
    return tuple(variants)


def _find_horizon_conflict(
    cell: DesignCell, horizon_path: str, where: tuple[str, ...], document: yaml_loader.Document
) -> Problem | None:
    """Return the problem of a cell that changes what the horizons set; None without one."""
    for path, value in cell.changes.items():
        if horizon_path and paths_overlap(path, horizon_path):
            rule = f"horizons set {horizon_path} for every variant"
            return Problem(rule, f"{join_path(where)}.{path}", document.locate((*where, path)), value)
    return None


def _check_size(file: StudyFile, cell_count: int, level_count: int, document: yaml_loader.Document) -> None:
    """Raise SpecError if a study has more variants or runs than the limits."""
    variants, seeds = cell_count * level_count, file.seeds
    if variants > MAX_VARIANTS:
        rule = f"must give at most {MAX_VARIANTS:,} variants beside the base, each at every level of horizons"
        _raise_count(rule, document, variants)
    runs = (cell_count + 1) * level_count * (seeds.looks[-1] if isinstance(seeds, Looks) else len(seeds))
    if runs > MAX_RUNS:
        _raise_count(f"must give at most {MAX_RUNS:,} runs: variants x seeds x levels of horizons", document, runs)


def _raise_count(rule: str, document: yaml_loader.Document, count: int | None = None) -> NoReturn:
    place = next(key for key in ("horizons", "design", "variants", "seeds") if key in document.data)
    raise SpecError(Problem(rule, place, document.locate((place,)), count))


def _count_convs(variant: Variant) -> int:
    """Return the convolutions of all nets of a variant."""
    pretrain = () if variant.train.pretrain is None else (variant.train.pretrain.arch,)
    return sum(arch.count_convs() for arch in (variant.arch, *variant.train.ensemble, *pretrain))


def build_variant(
    cell: DesignCell,
    document: yaml_loader.Document,
    shared: yaml_loader.Document,
    where: tuple[str, ...],
    problems: list[Problem],
) -> Variant | None:
    """Return the variant of a cell; None, with its problems added to `problems`, if its changes are invalid.

    `shared` is the document without the keys that only a study has, `where` the path of the cell in the document.
    """
    # Changes apply to the study as written, before presets unfold: `arch.preset: C` keeps the base's width.
    data, changed_at = shared.data, dict[str, str]()
    for path, value in cell.changes.items():
        location = document.locate((*where, path))
        try:
            data = _apply_change(data, path, value)
        except InvalidValueError as error:
            problems.append(error.build_problem(f"{join_path(where)}.{path}", location))
            return None
        changed_at[path] = location
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
        locations = dict(shared.locations)
        for path, location in changed_at.items():
            locations |= dict.fromkeys(_select_parts_around(split_path(path), locations), location)
        study_problems = build_problems(error, StudyFile, yaml_loader.Document(data, locations))
        problems.extend(replace(problem, path=f"{join_path(where)}: {problem.path}") for problem in study_problems)
        return None


def _apply_change(data: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of a study's data with one change. Raises InvalidValueError."""
    if split_path(path)[0] not in _VARIANT_KEYS:
        nearest = find_full_path(path) or find_nearest(path, _VARIANT_KEYS)
        raise InvalidValueError("a change must start with arch, data, train or tune", nearest=nearest)
    _check_section(data, path, value)
    return set_at_path(data, path, value)


def find_full_path(path: str) -> str | None:
    """Return `arch.kernel` for `kernel`: the path in the section that has this key, or one spelt like it."""
    key = str(split_path(path)[0])
    keys = {name: f"{section}.{name}" for section, model in _SECTIONS.items() for name in model.model_fields}
    nearest = key if key in keys else find_nearest(key, keys)
    return None if nearest is None else keys[nearest] + path.removeprefix(key)


def _check_section(data: Mapping[str, Any], path: str, value: Any) -> None:
    """Raise InvalidValueError for a change of a whole section that drops keys of the base, which is hardly intended."""
    section = data.get(path)
    if path not in _SECTIONS or not isinstance(section, dict) or not isinstance(value, dict):
        return
    dropped = section.keys() - value.keys()
    if dropped and not value.keys() & {"stages", "preset"}:  # an arch with stages of its own is a net of its own
        key = next(iter(value), "...")
        rule = (
            f"replaces the whole {path}, without {', '.join(sorted(dropped))}; to change one part, write {path}.{key}"
        )
        raise InvalidValueError(rule)


def apply_winners(
    file: StudyFile, variants: tuple[Variant, ...], document: yaml_loader.Document
) -> tuple[Variant, ...]:
    """Return the variants with the winners of their tuning. Raises SpecError if a winner cannot be applied."""
    problems, tuned, shared = list[Problem](), list[Variant](), select_shared_keys(document)
    # The winner's values come after the changes of the variant, so that they win where both name a path.
    for variant in variants:
        winner = file.tuned.get(variant.name)
        if winner is None:
            tuned.append(variant)
            continue
        cell = DesignCell(variant.name, {**variant.changes, **winner.values}, variant.levels)
        changed = build_variant(cell, document, shared, ("tuned", variant.name), problems)
        # `changes` stay those of the study: the values of the winner are a result, found under `tuned`.
        # An invalid winner leaves the variant as it was, so that the problems of all winners are reported together.
        update = {"changes": variant.changes, "horizon": variant.horizon, "tuned": winner}
        tuned.append((changed or variant).model_copy(update=update))
    names = {variant.name for variant in variants}
    problems += [
        Problem("unknown variant", f"tuned.{name}", document.locate(("tuned", name)), name, find_nearest(name, names))
        for name in file.tuned
        if name not in names
    ]
    if problems:
        raise SpecError(problems)
    return tuple(tuned)


def select_shared_keys(document: yaml_loader.Document) -> yaml_loader.Document:
    """Return the document without the keys that a variant does not have.

    `set_at_path` copies the document for each change, and a list of a thousand variants must not be copied with it.
    """
    data = {key: value for key, value in document.data.items() if key not in _STUDY_ONLY_KEYS}
    locations = {
        parts: location
        for parts, location in document.locations.items()
        if not parts or parts[0] not in _STUDY_ONLY_KEYS
    }
    return yaml_loader.Document(data, locations)


def _select_parts_around(parts: PathParts, locations: SourceLocations) -> set[PathParts]:
    """Return the changed part, all parts below it and all above it but the root: their errors are due to the change."""
    below = {other for other in locations if other[: len(parts)] == parts}
    above = {parts[:length] for length in range(1, len(parts) + 1)}
    return below | above


def get_content(variant: Variant) -> tuple[object, ...]:
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

"""YAML 1.2 -> plain data that remembers where everything was written; errors of a model -> Problems with places."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from vgg_ablate.config.overrides import PathParts, join_path
from vgg_ablate.config.types import InvalidValueError
from vgg_ablate.errors import Problem, SpecError, find_nearest

SourceLocations = dict[PathParts, str]

_BRANCH = re.compile(r"constrained-\w+|int|float|str|bool|[\w-]+\[.*")  # what pydantic calls the kinds of a union
_RULES = {  # in other words than pydantic's
    "too_short": "needs at least {min_length}",
    "too_long": "can have at most {max_length}",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
}


@dataclass(frozen=True)
class Document:
    """What a file says, as plain data, and the place (`file:line:col`) of every part of it.

    Two studies are equal by what they ask, not by how it was written: documents do not take part in `==`.
    """

    data: dict[str, Any] = field(compare=False)
    places: SourceLocations = field(default_factory=dict, compare=False)

    def place(self, parts: PathParts) -> str:
        """The place of the part, or of the nearest thing around it."""
        while parts and parts not in self.places:
            parts = parts[:-1]
        return self.places.get(parts, "")


def read_document(path: Path) -> Document:
    """Read a study file, over the one that it `extends:`. Raises SpecError."""
    return _read(path, ())


def parse_scalar(text: str) -> Any:
    """The value that YAML gives a text such as `3`, `1e-3`, `none` or `[64, 64]`. Raises Wrong."""
    try:
        return _plain(_yaml().load(text), (), "", {})
    except YAMLError as error:
        raise InvalidValueError("not a YAML value", got=text) from error


def write_yaml(data: Mapping[str, Any], stream: typing.TextIO) -> None:
    """Plain data as YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # keep the order that people wrote
    yaml.width = 120
    yaml.dump(data, stream)


class _TextForDates(RoundTripConstructor):
    """Reads `2026-11-25` as text: the core schema of YAML 1.2 has no dates, ruamel has."""


_TextForDates.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_yaml_str)


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.Constructor = _TextForDates
    yaml.version = (1, 2)
    return yaml


def _read(path: Path, below: tuple[Path, ...]) -> Document:
    if path in below:
        raise SpecError(Problem("extends itself", place=str(path)))
    try:
        loaded = _yaml().load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(Problem(f"cannot be read: {error.strerror}", place=str(path))) from error
    except UnicodeDecodeError as error:
        raise SpecError(Problem("is not UTF-8 text", place=str(path))) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise SpecError(Problem(str(error.problem).split("\n")[0], place=place)) from error
    if not isinstance(loaded, CommentedMap):
        raise SpecError(Problem("a study is a mapping of keys to values", place=str(path)))
    places: SourceLocations = {(): str(path)}
    data = _plain(loaded, (), str(path), places)
    extended = data.pop("extends", None)
    if extended is None:
        return Document(data, places)
    if not isinstance(extended, str) or "\0" in extended:
        raise SpecError(Problem("extends names one file", "extends", places[("extends",)], extended))
    under = _read(path.parent / extended, (*below, path))
    return Document(_merged(under.data, data), {**under.places, **places})


def _plain(node: Any, parts: PathParts, file: str, places: SourceLocations) -> Any:
    """Plain dicts, lists, strings, ints and floats; fills `places`."""
    if isinstance(node, CommentedMap):
        for key in node:
            places[(*parts, key)] = _mark(file, node.lc.key, key, places.get(parts, file))
        return {key: _plain(value, (*parts, key), file, places) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            places[(*parts, index)] = _mark(file, node.lc.item, index, places.get(parts, file))
        return [_plain(value, (*parts, index), file, places) for index, value in enumerate(node)]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _mark(file: str, where: Any, key: Any, around: str) -> str:
    try:
        line, column = where(key)
    except (KeyError, TypeError):  # a key that came in by a YAML merge has no place of its own
        return around
    return f"{file}:{line + 1}:{column + 1}"


def _merged(under: Any, over: Any) -> Any:
    """`over` on top of `under`: mappings key by key (null takes a key away), everything else replaced."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    merged = {key: value for key, value in under.items() if not ("preset" in over and key == "stages")}
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def build_problems(
    error: ValidationError, model: type[BaseModel], document: Document, below: PathParts = ()
) -> list[Problem]:
    """Every error of a model's check, as a Problem with its place in the document; one a path.

    Where a value may be one of several kinds, pydantic has an error for each: they are alternatives. And a list whose
    items are wrong is not too short as well.
    """
    details = [detail for detail in error.errors() if not _follows(detail, error)]
    found: dict[str, Problem] = {}
    for one in (_problem(detail, model, document, below) for detail in details):
        first = found.setdefault(one.path, one)
        if one.rule != first.rule:
            rule = f"{first.rule}, or {one.rule.removeprefix('must be ')}"
            found[one.path] = Problem(rule, one.path, one.place, first.got, first.nearest or one.nearest)
    return list(found.values())


def _follows(detail: Any, error: ValidationError) -> bool:
    """Is it said of a list only because an item of it is wrong?"""
    loc = detail["loc"]
    below = (one["loc"] for one in error.errors() if len(one["loc"]) > len(loc))
    return detail["type"] == "too_short" and any(one[: len(loc)] == loc for one in below)


def _problem(detail: Any, model: type[BaseModel], document: Document, below: PathParts) -> Problem:
    parts = (*below, *_written_parts(detail["loc"], document, below))
    rule, got, meant = _rule(detail), detail["input"], None
    expected = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    tags = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected_tags", "")))
    match detail["type"]:
        case "extra_forbidden":
            rule, got = "unknown key", detail["loc"][-1]
            meant = find_nearest(str(got), _field_names(model, detail["loc"][:-1]))
        case "missing":
            rule, got = "must be given", None
        case "union_tag_invalid":
            got = got.get("kind") if isinstance(got, dict) else got
            rule, meant = f"must be one of {', '.join(tags)}", find_nearest(str(got), tags)
        case "union_tag_not_found":
            rule = "must say which kind"
        case "literal_error":
            meant = find_nearest(str(got), expected)
        case "value_error":
            wrong = detail["ctx"]["error"]
            rule = str(wrong)
            if isinstance(wrong, InvalidValueError):
                parts = (*parts, wrong.field) if wrong.field else parts
                got, meant = wrong.got, wrong.nearest
            got = None if isinstance(got, dict) else got
    rule = rule.replace("Input should be", "must be").replace("Value error, ", "")
    return Problem(rule, join_path(parts), document.place(parts), got, meant)


def _rule(detail: Any) -> str:
    other = _RULES.get(detail["type"])
    return str(detail["msg"]) if other is None else other.format_map(detail.get("ctx", {}))


def _written_parts(loc: Iterable[str | int], document: Document, below: PathParts) -> PathParts:
    """pydantic's loc without the tags that it adds for unions: what is not in the document is kept only at the end."""
    node: Any = document.data
    for part in below:
        node = node.get(part, {}) if isinstance(node, dict) else {}
    kept: list[str | int] = []
    loc = tuple(loc)
    for index, part in enumerate(loc):
        inside = (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int))
        if inside:
            node = node[part] if isinstance(node, dict) or int(part) < len(node) else None
        if not inside and isinstance(part, str) and _BRANCH.fullmatch(part):
            continue
        if inside or index == len(loc) - 1 or isinstance(part, int) or not isinstance(node, dict):
            kept.append(part)
    return tuple(kept)


def _field_names(model: type[BaseModel], loc: Iterable[str | int]) -> set[str]:
    """The keys that could stand at `loc` of a model."""
    here = {model}
    for part in loc:
        tagged = {one for one in here if "kind" in one.model_fields and part in _literals(one)}
        below = {
            inner
            for one in here
            if part in one.model_fields
            for inner in _models(one.model_fields[str(part)].annotation)
        }
        here = below or tagged or here
    preset = {"preset"} if any("stages" in one.model_fields for one in here) else set()
    return {name for one in here for name in one.model_fields} | preset


def _literals(model: type[BaseModel]) -> tuple[Any, ...]:
    return typing.get_args(model.model_fields["kind"].annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)

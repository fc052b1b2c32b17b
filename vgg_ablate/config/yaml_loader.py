"""Read YAML 1.2 files together with the location of every value, and turn validation errors into Problems.

The locations (`file:line:column`) let every error point to the line that caused it, also across `extends`.
"""

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

# Names that pydantic puts into the loc of an error for the alternative of a union, such as `int` or `list[choice]`.
_UNION_TAG = re.compile(r"constrained-\w+|int|float|str|bool|[\w-]+\[.*")
_RULES = {  # replacements for pydantic's messages, which name Python types
    "too_short": "must have a length of at least {min_length}",
    "too_long": "must have a length of at most {max_length}",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
}


@dataclass(frozen=True)
class Document:
    """The content of a file as plain data, and the location (`file:line:column`) of every part.

    All documents are equal, because two studies are equal if their values are, no matter where they were written.
    """

    data: dict[str, Any] = field(compare=False)
    locations: SourceLocations = field(default_factory=dict, compare=False)

    def locate(self, parts: PathParts) -> str:
        """Return the location of a part, or of the nearest part that contains it."""
        while parts and parts not in self.locations:
            parts = parts[:-1]
        return self.locations.get(parts, "")


def read_document(path: Path) -> Document:
    """Read a study file, merged over the file that it `extends`. Raises SpecError."""
    return _read_merged(path, ())


def parse_scalar(text: str) -> Any:
    """Return the YAML value of a text such as `3`, `1e-3`, `none` or `[64, 64]`. Raises InvalidValueError."""
    try:
        return _convert(_build_parser().load(text), (), "", {})
    except YAMLError as error:
        raise InvalidValueError("not a valid YAML value", got=text) from error


def write_yaml(data: Mapping[str, Any], stream: typing.TextIO) -> None:
    """Write plain data as YAML to a stream."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None  # mappings and lists without nested ones on one line, as in the studies
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # keep the order of keys
    yaml.width = 120
    yaml.dump(data, stream)


class _TextForDates(RoundTripConstructor):
    """A constructor that reads `2026-11-25` as text: YAML 1.2 has no dates in its core schema, but ruamel.yaml does."""


_TextForDates.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_yaml_str)


def _build_parser() -> YAML:
    yaml = YAML(typ="rt", pure=True)  # only the round-trip loader records lines and columns
    yaml.Constructor = _TextForDates
    yaml.version = (1, 2)
    return yaml


def _read_merged(path: Path, extending: tuple[Path, ...]) -> Document:
    if path in extending:
        raise SpecError(Problem("the file extends itself", location=str(path)))
    try:
        loaded = _build_parser().load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(Problem(f"cannot be read: {error.strerror}", location=str(path))) from error
    except UnicodeDecodeError as error:
        raise SpecError(Problem("must be UTF-8 text", location=str(path))) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        location = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise SpecError(Problem(str(error.problem).split("\n")[0], location=location)) from error
    if not isinstance(loaded, CommentedMap):
        raise SpecError(Problem("a study file must be a mapping of keys to values", location=str(path)))
    locations: SourceLocations = {(): str(path)}
    data = _convert(loaded, (), str(path), locations)
    extended = data.pop("extends", None)
    if extended is None:
        return Document(data, locations)
    if not isinstance(extended, str) or "\0" in extended:  # open() raises ValueError for a NUL character
        raise SpecError(Problem("must be the path of a study file", "extends", locations[("extends",)], extended))
    parent = _read_merged(path.parent / extended, (*extending, path))
    return Document(_merge(parent.data, data), {**parent.locations, **locations})


def _convert(node: Any, parts: PathParts, file: str, locations: SourceLocations) -> Any:
    """Return plain dicts, lists and scalars for the classes of ruamel.yaml, and add their locations to `locations`."""
    if isinstance(node, CommentedMap):
        for key in node:
            locations[(*parts, key)] = _format_location(file, node.lc.key, key, locations.get(parts, file))
        return {key: _convert(value, (*parts, key), file, locations) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            locations[(*parts, index)] = _format_location(file, node.lc.item, index, locations.get(parts, file))
        return [_convert(value, (*parts, index), file, locations) for index, value in enumerate(node)]
    for scalar_type in (bool, int, float, str):  # bool first: it is a subclass of int
        if isinstance(node, scalar_type):
            return scalar_type(node)
    return node


def _format_location(file: str, get_position: Any, key: Any, parent_location: str) -> str:
    try:
        line, column = get_position(key)
    except (KeyError, TypeError):  # a key from a YAML merge (`<<:`) has no position
        return parent_location
    return f"{file}:{line + 1}:{column + 1}"


def _merge(under: Any, over: Any) -> Any:
    """Return `over` on top of `under`: mappings are merged by key, null removes a key, other values are replaced."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    # A preset in the extending file replaces the stages of the extended one, which would otherwise override it.
    merged = {key: value for key, value in under.items() if not ("preset" in over and key == "stages")}
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def build_problems(
    error: ValidationError, model: type[BaseModel], document: Document, below: PathParts = ()
) -> list[Problem]:
    """Return the errors of a failed validation as Problems with locations in the document, one per path.

    `below` is the path of the validated value in the document. For a union pydantic reports one error per alternative;
    they are joined by "or".
    """
    details = [detail for detail in error.errors() if not _follows_from_item(detail, error)]
    problems: dict[str, Problem] = {}
    for problem in (_build_problem(detail, model, document, below) for detail in details):
        first = problems.setdefault(problem.path, problem)
        if problem.rule != first.rule:
            rule = f"{first.rule}, or {problem.rule.removeprefix('must be ')}"
            nearest = first.nearest or problem.nearest
            problems[problem.path] = Problem(rule, problem.path, problem.location, first.got, nearest)
    return list(problems.values())


def _follows_from_item(detail: Any, error: ValidationError) -> bool:
    """Return whether a list counts as too short only because pydantic does not count its invalid items."""
    loc = detail["loc"]
    inner_locs = (other["loc"] for other in error.errors() if len(other["loc"]) > len(loc))
    return detail["type"] == "too_short" and any(inner[: len(loc)] == loc for inner in inner_locs)


def _build_problem(detail: Any, model: type[BaseModel], document: Document, below: PathParts) -> Problem:
    parts = (*below, *_strip_union_tags(detail["loc"], document, below))
    rule, got, nearest = _format_rule(detail), detail["input"], None
    expected = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    tags = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected_tags", "")))
    match detail["type"]:
        case "extra_forbidden":
            rule, got = "unknown key", detail["loc"][-1]
            nearest = find_nearest(str(got), _list_field_names(model, detail["loc"][:-1]))
        case "missing":
            rule, got = "must be given", None
        case "union_tag_invalid":
            got = got.get("kind") if isinstance(got, dict) else got
            rule, nearest = f"must be one of {', '.join(tags)}", find_nearest(str(got), tags)
        case "union_tag_not_found":
            rule = "must have a kind"
        case "literal_error":
            nearest = find_nearest(str(got), expected)
        case "value_error":
            cause = detail["ctx"]["error"]
            rule = str(cause)
            if isinstance(cause, InvalidValueError):
                parts = (*parts, cause.field) if cause.field else parts
                got, nearest = cause.got, cause.nearest
            got = None if isinstance(got, dict) else got  # a whole mapping would hide the message
    rule = rule.replace("Input should be", "must be").replace("Value error, ", "")
    return Problem(rule, join_path(parts), document.locate(parts), got, nearest)


def _format_rule(detail: Any) -> str:
    rule = _RULES.get(detail["type"])
    return str(detail["msg"]) if rule is None else rule.format_map(detail.get("ctx", {}))


def _strip_union_tags(loc: Iterable[str | int], document: Document, below: PathParts) -> PathParts:
    """Return pydantic's loc without the tags of unions, which are no part of the document.

    A part that is missing in the document is kept at the end, where it is the name of a missing or unknown key.
    """
    node: Any = document.data
    for part in below:
        node = node.get(part, {}) if isinstance(node, dict) else {}
    parts: list[str | int] = []
    loc = tuple(loc)
    for index, part in enumerate(loc):
        inside = (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int))
        if inside:
            node = node[part] if isinstance(node, dict) or int(part) < len(node) else None
        if not inside and isinstance(part, str) and _UNION_TAG.fullmatch(part):
            continue
        if inside or index == len(loc) - 1 or isinstance(part, int) or not isinstance(node, dict):
            parts.append(part)
    return tuple(parts)


def _list_field_names(model: type[BaseModel], loc: Iterable[str | int]) -> set[str]:
    """Return the keys that are valid at `loc` of a model, over all alternatives of unions on the way."""
    models = {model}
    for part in loc:
        tagged = {inner for inner in models if "kind" in inner.model_fields and part in _list_kinds(inner)}
        fields = [inner.model_fields[str(part)] for inner in models if part in inner.model_fields]
        below = {inner for field in fields for inner in _find_models(field.annotation)}
        models = below or tagged or models
    preset = {"preset"} if any("stages" in inner.model_fields for inner in models) else set()
    return {name for inner in models for name in inner.model_fields} | preset


def _list_kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    return typing.get_args(model.model_fields["kind"].annotation)


def _find_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _find_models(inner)

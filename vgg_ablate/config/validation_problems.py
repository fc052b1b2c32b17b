"""Turn the validation errors of pydantic into Problems of a study file, with rules in its terms and locations."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from vgg_ablate.config.overrides import PathParts, join_path
from vgg_ablate.config.types import NAME_PATTERN, InvalidValueError, OneOf
from vgg_ablate.config.yaml_loader import Document
from vgg_ablate.errors import MAX_PROBLEMS, Problem, find_nearest

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


def build_problems(
    error: ValidationError, model: type[BaseModel], document: Document, below: PathParts = ()
) -> list[Problem]:
    """Return the errors of a failed validation as Problems with locations in the document, one per path.

    `below` is the path of the validated value in the document. For a union pydantic reports one error per alternative;
    they are joined by "or".
    """
    every = error.errors()
    details = [detail for detail in every[:MAX_PROBLEMS] if not _follows_from_item(detail, every)]
    problems: dict[str, Problem] = {}
    for problem in (_build_problem(detail, model, document, below) for detail in details):
        first = problems.setdefault(problem.path, problem)
        if problem.rule != first.rule:
            rule = f"{first.rule}, or {problem.rule.removeprefix('must be ')}"
            nearest = first.nearest or problem.nearest
            problems[problem.path] = Problem(rule, problem.path, problem.location, first.got, nearest)
    return list(problems.values())


def _follows_from_item(detail: Any, every: Sequence[Any]) -> bool:
    """Return whether a list counts as too short only because pydantic does not count its invalid items."""
    if detail["type"] != "too_short":
        return False
    loc = detail["loc"]
    inner_locs = (other["loc"] for other in every if len(other["loc"]) > len(loc))
    return any(inner[: len(loc)] == loc for inner in inner_locs)


def _build_problem(detail: Any, model: type[BaseModel], document: Document, below: PathParts) -> Problem:
    parts = (*below, *_strip_union_tags(detail["loc"], document, below))
    rule, got, nearest = _format_rule(detail), detail["input"], None
    match detail["type"]:
        case "extra_forbidden":
            rule, got = "unknown key", detail["loc"][-1]
            nearest = find_nearest(str(got), _list_field_names(model, detail["loc"][:-1]))
        case "missing":
            rule, got = "must be given", None
        case "union_tag_invalid":
            got = got.get("kind") if isinstance(got, dict) else got
            tags = _find_quoted(detail["ctx"]["expected_tags"])
            rule, nearest = f"must be one of {', '.join(tags)}", find_nearest(str(got), tags)
        case "union_tag_not_found":
            rule = "must have a kind"
        case "string_pattern_mismatch" if detail["ctx"]["pattern"] == NAME_PATTERN:
            rule = "must have only letters, digits and . _ + = -, and start with a letter or a digit"
            nearest = re.sub(r"[^A-Za-z0-9._+=-]+", "-", got).strip("-._+=") or None
        case "model_attributes_type" | "model_type":
            rule = _describe_models(_list_models(model, detail["loc"]), got)
        case "literal_error":
            nearest = find_nearest(str(got), _find_quoted(detail["ctx"]["expected"]))
        case "value_error":
            cause = detail["ctx"]["error"]
            rule = str(cause)
            if isinstance(cause, InvalidValueError):
                parts = (*parts, cause.field) if cause.field else parts
                got, nearest = cause.got, cause.nearest
            got = None if isinstance(got, dict) else got  # a whole mapping would hide the message
    rule = rule.replace("Input should be", "must be").replace("Value error, ", "")
    return Problem(rule, join_path(parts), document.locate(parts), got, nearest, detail["type"] == "value_error")


def _find_quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _describe_models(models: Sequence[type[BaseModel]], got: Any) -> str:
    """Return the rule for a place that holds one of these models, and not `got`."""
    kinds = [kind for model in models for kind in _list_kinds(model)]
    if kinds:
        return f"must be one of {', '.join(kinds)}"
    names = [name for model in models for name in model.model_fields]
    return f"must be a mapping such as {{{got if got in names else names[0]}: ...}}"


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
    models = _list_models(model, loc)
    preset = {"preset"} if any("stages" in inner.model_fields for inner in models) else set()
    return {name for inner in models for name in inner.model_fields} | preset


def _list_models(model: type[BaseModel], loc: Iterable[str | int]) -> list[type[BaseModel]]:
    """Return the models that may be at `loc` of a model, over all alternatives of unions on the way."""
    models = [model]
    for part in loc:
        tagged = [inner for inner in models if part in _list_kinds(inner)]
        fields = [inner.model_fields[str(part)] for inner in models if part in inner.model_fields]
        below = dict.fromkeys(inner for field in fields for inner in _find_field_models(field))
        models = list(below) or tagged or models
    return models


def _list_kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    kind = model.model_fields.get("kind")
    return () if kind is None else typing.get_args(kind.annotation)


def _find_field_models(field: FieldInfo) -> Iterator[type[BaseModel]]:
    for entry in field.metadata:
        if isinstance(entry, OneOf):
            yield from entry.models
    yield from _find_models(field.annotation)


def _find_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _find_models(inner)

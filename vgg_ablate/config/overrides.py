"""Paths such as `arch.stages[2].depth`: one path, one thing to change."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from vgg_ablate.config.arch import apply_preset
from vgg_ablate.config.notation import parse_stages
from vgg_ablate.config.types import InvalidValueError

PathParts = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_PART = re.compile(r"(?:^|\.)([^.\[\]]+)|\[(\d+)\]")


def split_path(path: str) -> PathParts:
    """`arch.stages[2].depth` -> ("arch", "stages", 2, "depth"). Raises Wrong where it is not a path."""
    parts: list[str | int] = []
    end = 0
    for match in _PART.finditer(path):
        if match.start() != end:
            break
        parts.append(match[1] if match[2] is None else int(match[2]))
        end = match.end()
    if end != len(path) or not parts:
        raise InvalidValueError("a path is names and [numbers], such as arch.stages[2].depth", got=path)
    return tuple(parts)


def join_path(parts: PathParts) -> str:
    """("arch", "stages", 2, "depth") -> `arch.stages[2].depth`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def set_at_path(document: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A study as written, with `value` at `path`; the document given is left as it is.

    A path goes through what is short: into a preset's fields, a stage of the compact notation, `norm: batch`.
    Items of a list are found by number, or by their `id` or `name`. Raises Wrong.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(document))
    parts = split_path(path)
    node: Any = changed
    for above, part in zip(("", *parts), parts[:-1], strict=False):
        node = _child(node, part, above)
    _set(node, parts[-1], value, path)
    return changed


def _child(node: Any, part: str | int, above: str | int) -> Any:
    """What is below `part`, unfolded in place so that it can be changed."""
    if isinstance(node, list):
        return node[_index(node, part)]
    if not isinstance(node, dict):
        raise InvalidValueError(f"nothing lies below {above!r}", got=part)
    if isinstance(part, int):
        raise InvalidValueError(f"{above!r} is not a list", got=part)
    if above == "arch" and "preset" in node:
        node[part] = copy.deepcopy(apply_preset(node).get(part, {}))
    child = node.setdefault(part, {})
    if isinstance(child, str):
        child = node[part] = _unfolded(part, child)
    return child


def _unfolded(part: str, text: str) -> Any:
    if part == "stages":
        return parse_stages(text)
    return {"preset": text} if part in ("arch", "train") else {"kind": text}


def _set(node: Any, part: str | int, value: Any, path: str) -> None:
    if isinstance(node, list):
        node[_index(node, part)] = value
    elif isinstance(node, dict) and isinstance(part, str):
        if part == "preset":
            node.pop("stages", None)
        node[part] = value
    else:
        raise InvalidValueError("there is nothing to change at this path", got=path)


def _index(items: list[Any], part: str | int) -> int:
    if isinstance(part, int):
        if part >= len(items):
            raise InvalidValueError(f"there are {len(items)} items, numbered from 0", got=part)
        return part
    names = [item.get("id", item.get("name")) if isinstance(item, dict) else None for item in items]
    if part not in names:
        raise InvalidValueError("no item has this id or name", got=part)
    return names.index(part)


def get_model_value(value: BaseModel, path: str, default: Any = None) -> Any:
    """Return what stands at a path of a model, as plain data; `default` where the path leads nowhere."""
    return get_at_path(value.model_dump(mode="json"), path, default)


def replace_in_model(value: Model, path: str, new: Any) -> Model:
    """`replaced(arch, "stages[2].depth", 3)`: the same value with one thing changed, checked like any other."""
    return type(value).model_validate(set_at_path(value.model_dump(mode="json"), path, new))


def get_at_path(node: Any, path: str, default: Any = None) -> Any:
    """Return what stands at a path of plain data; `default` where the path leads nowhere."""
    for part in split_path(path):
        inside = part in node if isinstance(node, dict) else isinstance(node, list) and isinstance(part, int)
        if not inside or (isinstance(node, list) and int(part) >= len(node)):
            return default
        node = node[part]
    return node


def find_differences(old: BaseModel, new: BaseModel) -> dict[str, tuple[Any, Any]]:
    """Path -> (old, new) for everything in which two values differ, leaf by leaf."""
    found: dict[str, tuple[Any, Any]] = {}
    _compare((), old.model_dump(mode="json"), new.model_dump(mode="json"), found)
    return found


def _compare(parts: PathParts, old: Any, new: Any, found: dict[str, tuple[Any, Any]]) -> None:
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            _compare((*parts, key), old[key], new[key], found)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            _compare((*parts, index), one, other, found)
    elif old != new:
        found[join_path(parts)] = (old, new)

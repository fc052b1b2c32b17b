"""Read and change values by paths such as `arch.stages[2].depth`.

Variants, designs, overrides and tuning name what they change by such a path.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from vgg_ablate.config.arch import apply_preset
from vgg_ablate.config.notation import parse_stages
from vgg_ablate.config.types import InvalidValueError

PathParts = tuple[str | int, ...]

_PART = re.compile(r"(?:^|\.)([^.\[\]]+)|\[(\d+)\]")


def split_path(path: str) -> PathParts:
    """Split `arch.stages[2].depth` into ("arch", "stages", 2, "depth"). Raises InvalidValueError if malformed."""
    parts: list[str | int] = []
    end = 0
    for match in _PART.finditer(path):
        if match.start() != end:  # finditer skips what does not match: a gap is a malformed part
            break
        parts.append(match[1] if match[2] is None else int(match[2]))
        end = match.end()
    if end != len(path) or not parts:
        raise InvalidValueError("must be a path such as arch.stages[2].depth", got=path)
    return tuple(parts)


def join_path(parts: PathParts) -> str:
    """Join ("arch", "stages", 2, "depth") to `arch.stages[2].depth`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def set_at_path(document: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of a study document with `value` at `path`.

    The document is the study as written, and short forms on the way are expanded: presets, the compact notation of
    stages, `norm: batch`. List items are addressed by index, or by their `id` or `name`. Raises InvalidValueError if
    the path leads nowhere.
    """
    # Changes apply to the study as written, before presets are expanded: `arch.preset: C` on a base of
    # `{preset: B, width: 0.25}` is C at width 0.25.
    changed: dict[str, Any] = copy.deepcopy(dict(document))
    parts = split_path(path)
    node: Any = changed
    for depth, part in enumerate(parts[:-1]):
        node = _descend(node, part, parts[:depth])
    _set_item(node, parts[-1], value, parts[:-1])
    return changed


def _descend(node: Any, part: str | int, parent: PathParts) -> Any:
    """Return the child `part` of the node at `parent`, expanding a short form in place so that it can be changed."""
    if isinstance(node, list):
        return node[_find_index(node, part)]
    _check_mapping(node, part, parent)
    # Any arch, also that of train.pretrain.
    if parent[-1:] == ("arch",) and "preset" in node:
        node[part] = copy.deepcopy(apply_preset(node).get(str(part), {}))
    child = node.setdefault(part, {})
    if isinstance(child, str):
        child = node[part] = _expand_short_form(str(part), child)
    return child


def _expand_short_form(field: str, text: str) -> Any:
    if field == "stages":
        return parse_stages(text)
    return {"preset": text} if field in ("arch", "train") else {"kind": text}


def _set_item(node: Any, part: str | int, value: Any, parent: PathParts) -> None:
    if isinstance(node, list):
        node[_find_index(node, part)] = value
        return
    _check_mapping(node, part, parent)
    if part == "preset":
        node.pop("stages", None)  # stages given beside the old preset would override those of the new one
    node[part] = value


def _check_mapping(node: Any, part: str | int, parent: PathParts) -> None:
    if not isinstance(node, dict):
        raise InvalidValueError(f"{join_path(parent)!r} has no fields", got=part)
    if isinstance(part, int):
        raise InvalidValueError(f"{join_path(parent)!r} is not a list", got=part)


def _find_index(items: list[Any], part: str | int) -> int:
    if isinstance(part, int):
        if part >= len(items):
            raise InvalidValueError(f"index out of range: the list has {len(items)} items, numbered from 0", got=part)
        return part
    names = [item.get("id", item.get("name")) if isinstance(item, dict) else None for item in items]
    if part not in names:
        raise InvalidValueError("no item of the list has this id or name", got=part)
    return names.index(part)


def get_model_value(model: BaseModel, path: str, default: Any = None) -> Any:
    """Return the value at a path of a model, as plain data; `default` if the path does not exist."""
    return get_at_path(model.model_dump(mode="json"), path, default)


def get_at_path(node: Any, path: str, default: Any = None) -> Any:
    """Return the value at a path of plain data; `default` if the path does not exist."""
    for part in split_path(path):
        exists = part in node if isinstance(node, dict) else isinstance(node, list) and isinstance(part, int)
        if not exists or (isinstance(node, list) and int(part) >= len(node)):
            return default
        node = node[part]
    return node


def find_differences(old: BaseModel, new: BaseModel) -> dict[str, tuple[Any, Any]]:
    """Return the old and the new value, by path, of every leaf in which two models differ."""
    differences: dict[str, tuple[Any, Any]] = {}
    _compare((), old.model_dump(mode="json"), new.model_dump(mode="json"), differences)
    return differences


def _compare(parts: PathParts, old: Any, new: Any, differences: dict[str, tuple[Any, Any]]) -> None:
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            _compare((*parts, key), old[key], new[key], differences)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (old_item, new_item) in enumerate(zip(old, new, strict=True)):
            _compare((*parts, index), old_item, new_item, differences)
    elif old != new:
        differences[join_path(parts)] = (old, new)

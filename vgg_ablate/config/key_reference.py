"""The reference of the keys of a study file, from the JSON Schema: for `explain` and for docs/.

A description is the meaning of a key, followed by `Unit: ...` where there is one, and by `Example: ...`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vgg_ablate.config.json_schema import build_schema
from vgg_ablate.config.overrides import split_path
from vgg_ablate.config.types import InvalidValueError
from vgg_ablate.errors import find_nearest

_DESCRIPTION = re.compile(r"(?P<meaning>.+?)(?: Unit: (?P<unit>[^.]+)\.)? Example: (?P<example>.+)")
_BOUNDS = (("minimum", ">= "), ("exclusiveMinimum", "> "), ("maximum", "<= "), ("exclusiveMaximum", "< "))

Node = Mapping[str, Any]  # a part of the JSON Schema


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """The keys of one mapping. A setting with several kinds has one group per kind."""

    kind: str  # empty without kinds
    about: str  # what the mapping describes
    keys: tuple[KeyReference, ...]  # without the groups below them


@dataclass(frozen=True, slots=True)
class KeyReference:
    """A key of the study file: what it means, what may be written, and the keys below it."""

    path: str
    meaning: str
    type: str
    required: bool
    default: str  # as in YAML; empty where leaving the key out is a case of its own
    unit: str
    example: str  # the value, as in YAML
    groups: tuple[KeyGroup, ...]

    @property
    def name(self) -> str:
        """The last part of the path, as it is written in the file."""
        return re.split(r"[.\]]", self.path.rstrip("]"))[-1]


class KeyReferenceBook:
    """All keys of the study file, found by their paths."""

    def __init__(self, schema: Node) -> None:
        self._root = schema

    @classmethod
    def build(cls) -> KeyReferenceBook:
        """Return the reference of this version's study file."""
        return cls(build_schema())

    def list_top_keys(self) -> tuple[str, ...]:
        """Return the keys at the top of a study file."""
        return tuple(self._root["properties"])

    def find_key(self, path: str) -> KeyReference:
        """Return the reference of one key: `arch.head.hidden`, `train.optimizer.momentum`, `claims.margin`.

        Items of lists and the names that a study chooses may be left out or given (`claims[0].margin`). Raises
        InvalidValueError for an unknown key, with the nearest known one.
        """
        node: Node = self._root
        for depth, part in enumerate(split_path(path)):
            child = self._find_child(node, part)
            if child is None:
                known = self._list_children(node)
                parent = ".".join(map(str, split_path(path)[:depth]))
                rule = f"unknown key; {parent or 'a study'} has {', '.join(known) or 'no keys'}"
                raise InvalidValueError(rule, got=str(part), nearest=find_nearest(str(part), known))
            node = child
        return self._build_reference(path, node)

    def _build_reference(self, path: str, node: Node, *, with_groups: bool = True) -> KeyReference:
        match = _DESCRIPTION.fullmatch(str(node.get("description", "")))
        meaning, unit, example = match.group("meaning", "unit", "example") if match else ("", "", "")
        return KeyReference(
            path=path,
            meaning=meaning,
            type=self._format_type(node),
            required="default" not in node,
            default="" if node.get("default") is None else format_default(node["default"]),
            unit=unit or "",
            example=example,
            groups=tuple(self._list_groups(path, node)) if with_groups else (),
        )

    def _list_groups(self, path: str, node: Node) -> Iterator[KeyGroup]:
        for model in self._list_models(node):
            kind = model["properties"].get("kind", {}).get("const", "")
            keys = {name: key for name, key in model["properties"].items() if not (kind and name == "kind")}
            references = (self._build_reference(f"{path}.{name}", key, with_groups=False) for name, key in keys.items())
            about = str(model.get("description", "")).partition("\n\n")[0]
            yield KeyGroup(kind, " ".join(about.split()), tuple(references))

    def _find_child(self, node: Node, part: str | int) -> Node | None:
        for option in self._list_options(node):
            if isinstance(part, int):
                if "items" in option or "prefixItems" in option:
                    items: Node = option.get("items") or option["prefixItems"][0]
                    return items
            elif part in option.get("properties", {}):
                child: Node = option["properties"][part]
                return child
        if isinstance(part, str):
            for option in self._list_options(node):
                if (inner := _get_inner(option)) is not None:
                    # The names of a mapping are chosen by the study; those of a list's items may be left out.
                    return self._find_child(inner, part) or (None if "items" in option else inner)
        return None

    def _list_children(self, node: Node) -> list[str]:
        return list(dict.fromkeys(name for model in self._list_models(node) for name in model["properties"]))

    def _list_models(self, node: Node) -> list[Node]:
        """Return the mappings with keys that a value, an item of it or an entry of it can be."""
        models: list[Node] = []
        for option in self._list_options(node):
            inner = _get_inner(option)
            if "properties" in option:
                models.append(option)
            elif inner is not None:
                models += self._list_models(inner)
        return models

    def _list_options(self, node: Node) -> list[Node]:
        """Return the alternatives of a schema node, with references resolved and without null."""
        if "$ref" in node:
            return self._list_options(self._root["$defs"][node["$ref"].rsplit("/", 1)[-1]])
        if alternatives := node.get("anyOf") or node.get("oneOf"):
            return [option for alternative in alternatives for option in self._list_options(alternative)]
        return [] if node.get("type") == "null" else [node]

    def _format_type(self, node: Node) -> str:
        return " or ".join(dict.fromkeys(self._format_option(option) for option in self._list_options(node)))

    def _format_option(self, option: Node) -> str:
        if "const" in option:
            return format_default(option["const"])
        if "enum" in option:
            return f"one of {', '.join(format_default(value) for value in option['enum'])}"
        if "prefixItems" in option:
            return f"[{', '.join(self._format_type(item) for item in option['prefixItems'])}]"
        if option.get("type") == "array":
            return f"list of {self._format_type(option['items']) or 'values'}"
        if option.get("type") == "object":
            return "mapping"
        type_name = "date" if option.get("format") == "date" else str(option.get("type", "any value"))
        name = {"boolean": "true or false", "string": "text"}.get(type_name, type_name)
        bounds = [f"{sign}{option[key]:,}" for key, sign in _BOUNDS if key in option]
        return " ".join([name, ", ".join(bounds)]).strip()


def _get_inner(option: Node) -> Node | None:
    """Return the schema of the items of a list, or of the values of a mapping whose names a study chooses."""
    for key in ("items", "additionalProperties"):
        if isinstance(option.get(key), Mapping):
            items: Node = option[key]
            return items
    if patterns := option.get("patternProperties"):
        values: Node = next(iter(patterns.values()))
        return values or None
    return None


def format_default(value: Any) -> str:
    """Return a default as in YAML; the kind alone of a mapping with a kind, and {} where all keys have their own."""
    if isinstance(value, Mapping):
        return str(value.get("kind", "{}"))
    if isinstance(value, list | tuple):
        return f"[{', '.join(format_default(item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)

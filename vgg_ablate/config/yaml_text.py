"""Turn YAML 1.2 text into plain data and the location of every value, within the limits of a study file.

Only mappings, lists, text, numbers, truth values and null are read: no tag makes another object.
"""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from vgg_ablate.config import limits
from vgg_ablate.config.overrides import PathParts
from vgg_ablate.formatting.text import truncate

SourceLocations = dict[PathParts, str]

_MAX_KEY = 80  # characters of a key in a message

_TAG = "tag:yaml.org,2002:"
# A terminal obeys control characters, and no file in UTF-8 can hold one half of a surrogate pair.
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
# YAML 1.2 has no dates in its core schema, but ruamel.yaml does; `<<` and `=` are keys of YAML 1.1.
_TEXT_TAGS = frozenset(f"{_TAG}{name}" for name in ("str", "timestamp", "merge", "value"))


class YamlTextError(ValueError):
    """Text that is not valid YAML, or beyond a limit; `place` is `:line:column`, or empty."""

    def __init__(self, rule: str, place: str = "") -> None:
        super().__init__(rule)
        self.place = place


def parse_yaml(text: str, file: str = "") -> tuple[Any, SourceLocations]:
    """Return the plain data of a YAML text and the location (`file:line:column`) of all its keys and items.

    Raises YamlTextError.
    """
    if control := _CONTROL_CHARACTER.search(text):
        raise YamlTextError(_describe_character(control), _locate_index(text, control.start()))
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    yaml.Composer = _LimitedComposer
    try:
        root = yaml.compose(text)
        locations: SourceLocations = {(): file}
        data = None if root is None else _NodeReader(yaml.constructor, file, locations).read(root, ())
    except MarkedYAMLError as error:
        place = _format_place(error.problem_mark) if error.problem_mark else ""
        raise YamlTextError(_describe_problem(str(error.problem)), place) from error
    except YAMLError as error:
        raise YamlTextError(str(error).split("\n")[0]) from error
    return data, locations


def _describe_problem(problem: str) -> str:
    """Return what to do about a problem that the parser reports in the terms of its grammar."""
    first_line = problem.split("\n")[0]
    if first_line.startswith("expected <block end>"):
        return "indented unlike the lines above it: keys of one mapping start in the same column"
    if first_line.startswith("mapping values are not allowed"):
        return "a key cannot stand here: indented deeper than the line above it, or a text with ': ' without quotes"
    if "'\\t'" in first_line:
        return "a tab cannot indent a line: use spaces"
    return first_line


class _LimitedComposer(Composer):
    """A composer that counts values, so that a short text with aliases cannot stand for billions of them."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self._count = 0
        self._nesting = 0
        self._counts_by_anchor: dict[str, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent):
            self._count += self._get_count(event)
            self._check_count(event)
            return super().compose_node(parent, index)
        count_before = self._count
        self._count += 1
        self._nesting += 1
        self._check_count(event)
        if self._nesting > limits.MAX_NESTING:
            rule = f"must be nested at most {limits.MAX_NESTING} levels deep"
            raise ComposerError(problem=rule, problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self._nesting -= 1
        if event.anchor is not None:
            self._counts_by_anchor[event.anchor] = self._count - count_before
        return node

    def _get_count(self, event: Any) -> int:
        """Return the number of values that an alias stands for."""
        if event.anchor in self.anchors and event.anchor not in self._counts_by_anchor:
            raise ComposerError(problem=f"the alias {event.anchor!r} contains itself", problem_mark=event.start_mark)
        return self._counts_by_anchor.get(event.anchor, 1)

    def _check_count(self, event: Any) -> None:
        if self._count > limits.MAX_VALUES:
            rule = f"must have at most {limits.MAX_VALUES:,} keys and values, those of aliases included"
            raise ComposerError(problem=rule, problem_mark=event.start_mark)


class _NodeReader:
    """Reads nodes into plain data, and adds their locations to `locations`."""

    def __init__(self, constructor: Any, file: str, locations: SourceLocations) -> None:
        self._constructor = constructor
        self._file = file
        self._locations = locations

    def read(self, node: Node, parts: PathParts) -> Any:
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._read_mapping(node, parts)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            for index, item in enumerate(node.value):
                self._locations[(*parts, index)] = self._locate(item)
            return [self.read(item, (*parts, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._read_scalar(node)
        raise _build_error("this tag is not supported", node)

    def _read_mapping(self, node: MappingNode, parts: PathParts) -> dict[Any, Any]:
        self._constructor.flatten_mapping(node)  # puts the keys of a merge (`<<:`) before the mapping's own
        merged_count = len(getattr(node, "merge", None) or ())
        values: dict[Any, Node] = {}
        own_keys: set[Any] = set()
        for index, (key_node, value_node) in enumerate(node.value):
            if not isinstance(key_node, ScalarNode):
                raise _build_error("a key must be text or a number", key_node)
            key = self._read_scalar(key_node)
            if key in own_keys:
                raise _build_error(f"duplicate key {truncate(repr(key), _MAX_KEY)}", key_node)
            if index >= merged_count:  # a mapping may override a key that it merges
                own_keys.add(key)
            values[key] = value_node
            self._locations[(*parts, key)] = self._locate(key_node)
        return {key: self.read(value, (*parts, key)) for key, value in values.items()}

    def _read_scalar(self, node: ScalarNode) -> Any:
        if node.tag in _TEXT_TAGS:
            if control := _CONTROL_CHARACTER.search(node.value):  # written as an escape, such as "\\e"
                raise _build_error(_describe_character(control), node)
            return node.value
        kind = str(node.tag).removeprefix(_TAG)
        if kind not in ("int", "float", "bool", "null"):
            raise _build_error("this tag is not supported", node)
        try:
            value = getattr(self._constructor, f"construct_yaml_{kind}")(node)
        except (ValueError, KeyError, IndexError) as error:  # `!!int x`, or more digits than Python converts
            raise _build_error(f"not a valid {kind}", node) from error
        if kind == "int" and abs(value) > limits.MAX_INTEGER:
            raise _build_error(f"an integer must be at most {limits.MAX_INTEGER:,}", node)
        return value

    def _locate(self, node: Node) -> str:
        return f"{self._file}{_format_place(node.start_mark)}"


def _build_error(rule: str, node: Node) -> ComposerError:
    return ComposerError(problem=rule, problem_mark=node.start_mark)


def _describe_character(match: re.Match[str]) -> str:
    return f"the character U+{ord(match.group()):04X} is not allowed"


def _format_place(mark: StringMark) -> str:
    return f":{mark.line + 1}:{mark.column + 1}"


def _locate_index(text: str, index: int) -> str:
    line_start = text.rfind("\n", 0, index) + 1
    return f":{text.count(chr(10), 0, index) + 1}:{index - line_start + 1}"

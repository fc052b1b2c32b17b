"""Read YAML 1.2 files, with the location of every value and with the files that they extend; write YAML.

The locations (`file:line:column`) let every error point to the line that caused it, also across `extends`.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from vgg_ablate.config import limits
from vgg_ablate.config.overrides import PathParts
from vgg_ablate.config.types import InvalidValueError
from vgg_ablate.config.yaml_text import SourceLocations, YamlTextError, parse_yaml
from vgg_ablate.errors import Problem, SpecError


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
        return parse_yaml(text)[0]
    except YamlTextError as error:
        raise InvalidValueError("not a valid YAML value", got=text) from error


def write_yaml(data: Mapping[str, Any], stream: typing.TextIO) -> None:
    """Write plain data as YAML to a stream."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None  # mappings and lists without nested ones on one line, as in the studies
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # keep the order of keys
    yaml.width = 120
    yaml.dump(data, stream)


def _read_merged(path: Path, extending: tuple[Path, ...]) -> Document:
    if path.resolve() in extending:
        raise SpecError(Problem("the file extends itself", location=str(path)))
    if len(extending) > limits.MAX_EXTENDED_FILES:
        rule = f"must extend at most {limits.MAX_EXTENDED_FILES} files, one after the other"
        raise SpecError(Problem(rule, location=str(path)))
    try:
        data, locations = parse_yaml(_read_text(path, regular_only=bool(extending)), str(path))
    except YamlTextError as error:
        raise SpecError(Problem(str(error), location=f"{path}{error.place}")) from error
    if not isinstance(data, dict):
        raise SpecError(Problem("a study file must be a mapping of keys to values", location=str(path)))
    extended = data.pop("extends", None)
    if extended is None:
        return Document(data, locations)
    if not isinstance(extended, str):
        raise SpecError(Problem("must be the path of a study file", "extends", locations[("extends",)], extended))
    parent = _read_merged(path.parent / extended, (*extending, path.resolve()))
    return Document(_merge(parent.data, data), {**parent.locations, **locations})


def _read_text(path: Path, *, regular_only: bool) -> str:
    """Return the text of a file within the limits of a study file. Raises SpecError."""
    try:
        # Checked before opening: opening a pipe without a writer never returns. The user's own argument may be a pipe.
        if regular_only and path.exists() and not path.is_file():
            raise SpecError(Problem("extends reads regular files only", location=str(path)))
        with path.open("rb") as file:
            content = file.read(limits.MAX_FILE_BYTES + 1)
        if len(content) > limits.MAX_FILE_BYTES:
            raise SpecError(Problem(f"must have at most {limits.MAX_FILE_BYTES:,} bytes", location=str(path)))
        return content.decode()
    except OSError as error:
        raise SpecError(Problem(f"cannot be read: {error.strerror}", location=str(path))) from error
    except UnicodeDecodeError as error:
        raise SpecError(Problem("must be UTF-8 text", location=str(path))) from error


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

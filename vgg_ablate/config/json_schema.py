"""The JSON Schema of a study file, for editors: of what people write, short forms and presets included.

pydantic's own schema is that of the values after the short forms are read; every rule here names one of these forms.
A file that extends another may leave out anything, so nothing is required. `load` remains the judge.
"""

from __future__ import annotations

from typing import Any

from vgg_ablate.config.presets import PRESETS
from vgg_ablate.config.study import StudyFile
from vgg_ablate.config.training import RECIPES

_ONE_OR_MORE = ("kernel", "view", "scales")  # fields whose single item may be written without a list


def build_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12."""
    found: dict[str, Any] = _short_forms(StudyFile.model_json_schema())
    found.pop("required")
    found["properties"]["extends"] = {"type": "string", "description": "The study file that this one is merged over."}
    found["properties"]["seeds"]["oneOf"].append({"type": "integer", "minimum": 1})
    found["properties"]["arch"] = _or(found["properties"]["arch"], {"enum": list(PRESETS)})
    found["properties"]["train"] = _or(found["properties"]["train"], {"enum": list(RECIPES)})
    models = found["$defs"]
    for name in ("Arch", "Data"):
        models[name].pop("required", None)
    models["Train"]["properties"]["preset"] = {"enum": list(RECIPES), "description": "The recipe from which to start."}
    arch = models["Arch"]["properties"]
    arch["preset"] = {"enum": list(PRESETS), "description": "The net from which to start; other fields change it."}
    arch["stages"] = _or(arch["stages"], {"type": "string", "description": "64 64 | 128 128@5 | ..."})
    models["Net"] = {**models["Arch"], "patternProperties": {r"[.\[]": {}}}  # a path below arch, as in a change
    further = models["Train"]["properties"]["ensemble"]
    further["items"] = _or({"$ref": "#/$defs/Net"}, {"enum": list(PRESETS)})
    tolerance = models["Match"]["properties"]["tolerance"]
    models["Match"]["properties"]["tolerance"] = _or(tolerance, {"type": "string", "pattern": "%$"})
    search = models["Search"]["properties"]
    search["budget"] = _or(search["budget"], {"type": "string", "description": "60 variants, or 4 h, or both."})
    constraints = search["constraints"]
    constraints["items"] = _or(constraints["items"], {"type": "string"})
    return found


def _short_forms(node: Any) -> Any:
    """Everywhere: `batch` for `{kind: batch}`, a kind left to the preset, one item for a list of one."""
    if isinstance(node, list):
        return [_short_forms(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    made = {key: _short_forms(value) for key, value in node.items()}
    if "discriminator" in made:
        kinds = list(made.pop("discriminator")["mapping"])
        made["anyOf"] = [*made.pop("oneOf"), {"enum": kinds}]
    if "kind" in made.get("properties", {}) and "required" in made:
        made["required"] = [name for name in made["required"] if name != "kind"]
    for name in _ONE_OR_MORE:
        if name in made.get("properties", {}):
            made["properties"][name] = _or(made["properties"][name], *_items(made["properties"][name]))
    return made


def _items(node: dict[str, Any]) -> list[Any]:
    """What the lists that may stand here hold."""
    lists = [one for one in node.get("anyOf", [node]) if one.get("type") == "array"]
    return [one["items"] if "items" in one else one["prefixItems"][0] for one in lists]


def _or(node: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """`node`, or one of the others; what an editor shows of it stays."""
    shown: dict[str, Any] = {key: node[key] for key in ("default", "title", "description") if key in node}
    return {**shown, "anyOf": [{key: value for key, value in node.items() if key not in shown}, *others]}

"""The JSON Schema of study files, for completion and checks in editors.

pydantic generates the schema of the values after validators have expanded the short forms; this module adds the short
forms. No key is required, because a file that extends another may omit any key. The schema accepts more than `load`.
"""

from __future__ import annotations

from typing import Any

from vgg_ablate.config.presets import PRESETS, RECIPES
from vgg_ablate.config.study_file import StudyFile

_LIST_FIELDS = ("kernel", "view", "scales")  # fields whose single item may be written without a list


def build_schema() -> dict[str, Any]:
    """Return the schema of a study file, JSON Schema draft 2020-12."""
    schema: dict[str, Any] = _add_short_forms(StudyFile.model_json_schema())
    schema.pop("required")
    schema["properties"]["extends"] = {
        "type": "string",
        "default": None,
        "description": "The study file over which this one is merged. Example: paper/recipe.yaml",
    }
    winner = schema["$defs"]["TuningWinner"]["properties"]
    for mapping in (schema["properties"]["variants"], schema["properties"]["tuned"], winner["values"]):
        mapping["default"] = {}
    schema["properties"]["seeds"]["oneOf"].append({"type": "integer", "minimum": 1})
    schema["properties"]["arch"] = _allow(schema["properties"]["arch"], {"enum": list(PRESETS)})
    schema["properties"]["train"] = _allow(schema["properties"]["train"], {"enum": list(RECIPES)})
    models = schema["$defs"]
    for name in ("Arch", "Data"):
        models[name].pop("required", None)
    _add_presets(models)
    _add_text_forms(models)
    for model in (schema, *models.values()):
        for name, key in model["properties"].items():
            if name == "kind" and "const" in key:  # the docstring of the class describes its kind
                key["description"] = f"{_join_lines(model['description'])} Example: {key['const']}"
            key["description"] = _join_lines(key["description"])
    return schema


def _add_presets(models: dict[str, Any]) -> None:
    """Add the key `preset`, which the models do not have: validators replace it by the other keys."""
    models["Train"]["properties"]["preset"] = {
        "enum": list(RECIPES),
        "default": None,
        "description": "The recipe whose settings are the defaults of the other keys. Example: paper",
    }
    models["Arch"]["properties"]["preset"] = {
        "enum": list(PRESETS),
        "default": None,
        "description": "The net whose settings are the defaults of the other keys. Example: D",
    }


def _add_text_forms(models: dict[str, Any]) -> None:
    """Accept text where a validator parses it."""
    arch = models["Arch"]["properties"]
    arch["stages"] = _allow(arch["stages"], {"type": "string"})
    # Nets of an ensemble also take paths below arch.
    models["Net"] = {**models["Arch"], "patternProperties": {r"[.\[]": {}}}
    ensemble = models["Train"]["properties"]["ensemble"]
    ensemble["items"] = _allow({"$ref": "#/$defs/Net"}, {"enum": list(PRESETS)})
    tolerance = models["Match"]["properties"]["tolerance"]
    models["Match"]["properties"]["tolerance"] = _allow(tolerance, {"type": "string", "pattern": "%$"})
    looks = models["Looks"]["properties"]
    looks["stop"] = _allow(looks["stop"], {"const": "decided"})
    search = models["Search"]["properties"]
    search["budget"] = _allow(search["budget"], {"type": "string"})
    constraints = search["constraints"]
    constraints["items"] = _allow(constraints["items"], {"type": "string"})


def _join_lines(text: str) -> str:
    """Return a description as one line, for editors that show line breaks."""
    return " ".join(text.split())


def _add_short_forms(node: Any) -> Any:
    """Return a copy of a schema that also accepts `batch` for `{kind: batch}`, a missing kind, and single items."""
    if isinstance(node, list):
        return [_add_short_forms(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _add_short_forms(value) for key, value in node.items()}
    if "discriminator" in copy:
        # anyOf: a mapping without a kind may match several kinds, which oneOf refuses.
        kinds = list(copy.pop("discriminator")["mapping"])
        copy["anyOf"] = [*copy.pop("oneOf"), {"enum": kinds}]
    # A mapping without a kind merges into that of the preset, so that `kind` may be omitted.
    if "kind" in copy.get("properties", {}) and "required" in copy:
        copy["required"] = [name for name in copy["required"] if name != "kind"]
    for name in _LIST_FIELDS:
        if name in copy.get("properties", {}):
            copy["properties"][name] = _allow(copy["properties"][name], *_list_item_schemas(copy["properties"][name]))
    return copy


def _list_item_schemas(node: dict[str, Any]) -> list[Any]:
    """Return the item schemas of all lists that the node accepts; tuples have theirs under `prefixItems`."""
    lists = [option for option in node.get("anyOf", [node]) if option.get("type") == "array"]
    return [option["items"] if "items" in option else option["prefixItems"][0] for option in lists]


def _allow(node: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that accepts `node` or one of the others, with the title and description of `node`."""
    header: dict[str, Any] = {key: node[key] for key in ("default", "title", "description") if key in node}
    return {**header, "anyOf": [{key: value for key, value in node.items() if key not in header}, *others]}

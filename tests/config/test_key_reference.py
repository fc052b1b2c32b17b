"""Every key of the study file is described, and its example and its default are values that the key accepts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from vgg_ablate.config.json_schema import build_schema
from vgg_ablate.config.key_reference import KeyReference, KeyReferenceBook
from vgg_ablate.config.study_file import StudyFile
from vgg_ablate.config.types import FrozenModel, InvalidValueError
from vgg_ablate.config.yaml_loader import parse_scalar

SCHEMA = build_schema()
MODELS = {"StudyFile": SCHEMA, **SCHEMA["$defs"]}
KEYS = [(model, name) for model, schema in MODELS.items() for name in schema["properties"]]
BOOK = KeyReferenceBook.build()


def list_subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for subclass in model.__subclasses__():
        yield subclass
        yield from list_subclasses(subclass)


FIELDS = {
    (model.__name__, name): field
    for model in list_subclasses(FrozenModel)
    if model.__name__ in MODELS and model.__module__.startswith("vgg_ablate.config")
    for name, field in model.model_fields.items()
}


def describe(model: str, name: str) -> KeyReference:
    return BOOK._build_reference(f"{model}.{name}", MODELS[model]["properties"][name])


def parse_field(field: FieldInfo, text: str) -> Any:
    fields: dict[str, Any] = {"value": (field.annotation, field)}
    model = create_model("OneField", __base__=FrozenModel, **fields)
    return dict(model.model_validate({"value": parse_scalar(text)}))["value"]


@pytest.mark.parametrize(("model", "name"), KEYS, ids=lambda part: part)
def test_every_key_has_a_meaning_and_an_example_that_it_accepts(model: str, name: str) -> None:
    reference = describe(model, name)
    assert reference.meaning.endswith("."), "the text below the field must be `Meaning. Unit: ... Example: ...`"
    assert "Unit:" not in reference.meaning
    node = {"$defs": SCHEMA["$defs"], **MODELS[model]["properties"][name]}
    value = parse_scalar(reference.example)
    assert list(jsonschema.Draft202012Validator(node).iter_errors(value)) == []
    # Keys that the schema adds have no field; nets of an ensemble are expanded before they are validated.
    if (field := FIELDS.get((model, name))) is not None and name != "ensemble":
        parse_field(field, reference.example)


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=lambda part: part)
def test_the_default_that_is_shown_is_that_of_the_field(model: str, name: str) -> None:
    reference, field = describe(model, name), FIELDS[model, name]
    assert reference.required == field.is_required()
    if not reference.required:
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = None if reference.default == "" else parse_field(field, reference.default)
        assert shown == default


@pytest.mark.parametrize(
    ("path", "name", "type_", "kinds"),
    [
        ("arch.head.hidden", "hidden", "list of integer >= 1, <= 1,000,000,000 or mapping", [""]),
        ("train.optimizer", "optimizer", "mapping or one of adamw, sgd", ["sgd", "adamw"]),
        ("train.optimizer.momentum", "momentum", "number >= 0, < 1", []),
        ("claims[0].margin", "margin", "number >= 0", []),
        ("claims.margin", "margin", "number >= 0", []),
        ("arch.stages[1].convs[0].channels", "channels", "integer >= 1, <= 1,000,000,000", []),
        ("design.space.width.low", "low", "integer >= 0 or number", []),
        ("train.pretrain.arch.width", "width", "number > 0, <= 10,000", []),
        ("variants", "variants", "mapping", []),
    ],
)
def test_a_key_is_found_by_its_path(path: str, name: str, type_: str, kinds: list[str]) -> None:
    reference = BOOK.find_key(path)
    assert (reference.name, reference.type) == (name, type_)
    assert [group.kind for group in reference.groups] == kinds


def test_a_key_with_kinds_lists_what_each_kind_calls_by_one_name() -> None:
    step, plateau = (
        next(group for group in BOOK.find_key("train.schedule").groups if group.kind == kind)
        for kind in ("step", "plateau")
    )
    meanings = [next(key.meaning for key in group.keys if key.name == "factor") for group in (step, plateau)]
    assert meanings[0] != meanings[1]


@pytest.mark.parametrize(
    ("path", "nearest"), [("sedes", "seeds"), ("arch.head.hiden", "hidden"), ("train.lr.x", None), ("a..b", None)]
)
def test_an_unknown_key_is_refused_with_the_nearest(path: str, nearest: str | None) -> None:
    with pytest.raises(InvalidValueError) as error:
        BOOK.find_key(path)
    assert error.value.nearest == nearest


def test_every_key_at_the_top_is_listed() -> None:
    assert {*StudyFile.model_fields, "extends"} == set(BOOK.list_top_keys())

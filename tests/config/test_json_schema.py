"""The JSON Schema accepts every study of the repository and refuses mistakes; the committed file is up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from vgg_ablate.config.json_schema import build_schema
from vgg_ablate.config.presets import PRESETS, RECIPES

ROOT = Path(__file__).parent.parent.parent
STUDIES = sorted((ROOT / "studies").rglob("*.yaml"))
CHECKER = jsonschema.Draft202012Validator(build_schema())


def find_errors(text: str) -> list[str]:
    loaded: Any = YAML(typ="safe", pure=True).load(text)
    data = json.loads(json.dumps(loaded, default=str))  # a date is text, as in the core schema of YAML 1.2
    return [f"{error.json_path}: {error.message}" for error in CHECKER.iter_errors(data)]


def test_the_committed_schema_is_up_to_date() -> None:
    committed = json.loads((ROOT / "schemas/study.schema.json").read_text(encoding="utf-8"))
    assert committed == build_schema(), "python -m vgg_ablate schema > schemas/study.schema.json"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_is_valid_and_refers_to_the_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert find_errors(text) == []
    reference = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / reference).resolve() == ROOT / "schemas/study.schema.json"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_may_be_given_by_name(name: str) -> None:
    assert find_errors(f"train: {name}") == find_errors(f"train: {{preset: {name}, epochs: 3}}") == []


def test_the_keys_of_a_registered_study_are_valid() -> None:
    claims = "[{id: a, text: b, kind: better, a: [D, E], smallest_effect: 1}, {id: c, text: d, kind: worse, "
    claims += "trend: {over: weight_layers, variants: [A, D]}}, {id: e, text: f, kind: better, a: D, metric: trained}]"
    text = "registered: 2026-11-25\nsmallest_effect: 0.5\nhorizons: {train.epochs: [20, 40]}\nclaims: " + claims
    assert find_errors(text) == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_may_be_given_by_name_or_with_changes(name: str) -> None:
    assert (
        find_errors(f"arch: {name}") == find_errors(f"arch: {{preset: {name}, init: {{std: 0.05}}, kernel: 5}}") == []
    )


@pytest.mark.parametrize(
    "text",
    [
        "sedes: 5",
        "arch: {preset: F}",
        "arch: {stages: '8', norm: bach}",
        "train: {epoch: 3}",
        "arch: {match: {macs: base, tolerance: much}}",
        "arch: {kernel: 4}",
        "seeds: 0",
        "train: {ensemble: [{presett: E}]}",
        "train: {ensemble: [F]}",
        "horizons: {train.epochs: [20]}",
        "horizons: {train.epochs: [20, 40], train.lr: [0.1, 0.2]}",
        "smallest_effect: -1",
        "registered: 20261125",
        "claims: [{id: a, text: b, kind: better, trend: {over: macs}}]",
        "claims: [{id: a, text: b, kind: better, a: []}]",
    ],
)
def test_a_mistake_is_refused(text: str) -> None:
    assert find_errors(text)

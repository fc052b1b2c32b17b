"""A claim's sides: variants, levels of factors, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vgg_ablate.errors import SpecError
from vgg_ablate.spec.claims import Claim
from vgg_ablate.spec.study import load

LEVELS: dict[str, dict[str, str]] = {
    "base": {},
    "3b": {"arch.kernel": "3", "arch.norm": "batch"},
    "3n": {"arch.kernel": "3", "arch.norm": "none"},
    "5b": {"arch.kernel": "5", "arch.norm": "batch"},
    "5n": {"arch.kernel": "5", "arch.norm": "none"},
}
STUDY = """\
version: 1
name: wrong
question: Are all of its errors named?
data: {name: digits}
arch: {stages: "4 | 8"}
variants:
  five: {arch.kernel: 5}
claims:
"""


def weights(**given: Any) -> dict[str, float]:
    return Claim(**{"id": "c", "text": "t", "kind": "better", "a": "norm=batch", "b": "norm=none"} | given).contrast(
        LEVELS
    )


def test_a_level_is_the_mean_of_its_variants() -> None:
    assert weights() == {"3b": 0.5, "3n": -0.5, "5b": 0.5, "5n": -0.5}


def test_the_whole_path_of_a_factor_names_it_too() -> None:
    assert weights(a="arch.norm=batch") == weights()


def test_within_restricts_both_sides() -> None:
    assert weights(within="kernel=5") == {"5b": 1, "5n": -1}


def test_against_makes_an_interaction() -> None:
    assert weights(within="kernel=5", against="kernel=3") == {"3b": -1, "3n": 1, "5b": 1, "5n": -1}


def test_a_variants_name_comes_before_a_level() -> None:
    assert weights(a="5b", b="base") == {"5b": 1, "base": -1}


def test_the_weights_of_a_contrast_sum_to_nothing() -> None:
    for given in ({}, {"within": "kernel=3"}, {"within": "kernel=3", "against": "kernel=5"}, {"b": "base"}):
        assert sum(weights(**given).values()) == pytest.approx(0)


@pytest.mark.parametrize(
    ("claim", "named"),
    [
        ("a: fife, b: bass", ["claims[0].a: no such variant; there are base, five, got 'fife'; did you mean 'five'?"]),
        ("a: fife, b: bass", ["claims[0].b: no such variant; there are base, five, got 'bass'; did you mean 'base'?"]),
        ("a: five, b: five", ["claims[0].b: compares a thing with itself, got 'five'"]),
        ("a: five, within: norm=batch", ["claims[0].within: no such level of a factor; this design has no factors"]),
        ("a: five, kind: equivalent", ["a claim of kind equivalent needs a margin greater than 0"]),
        ("a: five, against: norm=batch", ["against needs within"]),
    ],
)
def test_what_is_wrong_with_a_claim_is_named_with_its_line(tmp_path: Path, claim: str, named: list[str]) -> None:
    kind = "" if "kind" in claim else "kind: better, "
    (tmp_path / "wrong.yaml").write_text(f"{STUDY}  - {{id: c, text: t, {kind}{claim}}}\n", encoding="utf-8")
    with pytest.raises(SpecError) as failed:
        load(tmp_path / "wrong.yaml")
    for words in named:
        assert words in str(failed.value)
    assert "wrong.yaml:9:" in str(failed.value)

"""The sides of a claim, their weights in its contrast, and the errors of invalid sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import linregress

from vgg_ablate.config.claims import Claim
from vgg_ablate.config.study import load
from vgg_ablate.errors import SpecError

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


def compute_weights(**fields: Any) -> dict[str, float]:
    return Claim(
        **{"id": "c", "text": "t", "kind": "better", "a": "norm=batch", "b": "norm=none"} | fields
    ).compute_contrast(LEVELS)


def test_a_level_is_the_mean_of_its_variants() -> None:
    assert compute_weights() == {"3b": 0.5, "3n": -0.5, "5b": 0.5, "5n": -0.5}


def test_a_factor_may_be_given_by_its_whole_path() -> None:
    assert compute_weights(a="arch.norm=batch") == compute_weights()


def test_within_restricts_both_sides() -> None:
    assert compute_weights(within="kernel=5") == {"5b": 1, "5n": -1}


def test_against_gives_the_contrast_of_an_interaction() -> None:
    assert compute_weights(within="kernel=5", against="kernel=3") == {"3b": -1, "3n": 1, "5b": 1, "5n": -1}


def test_a_side_may_be_the_name_of_a_variant() -> None:
    assert compute_weights(a="5b", b="base") == {"5b": 1, "base": -1}


def test_the_weights_of_a_contrast_sum_to_zero() -> None:
    for fields in ({}, {"within": "kernel=3"}, {"within": "kernel=3", "against": "kernel=5"}, {"b": "base"}):
        assert sum(compute_weights(**fields).values()) == pytest.approx(0)


def test_a_list_is_the_mean_of_its_members() -> None:
    assert compute_weights(a=["3b", "5b"], b="3n") == {"3b": 0.5, "3n": -1, "5b": 0.5}
    assert compute_weights(a="base", b=["3b", "norm=none"]) == {"base": 1, "3b": -0.5, "3n": -0.25, "5n": -0.25}
    assert compute_weights(a=["3b"], b="3n") == compute_weights(a="3b", b="3n")


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8), st.integers(0, 2**32))
def test_a_trend_is_the_least_squares_slope(numbers: list[float], seed: int) -> None:
    assume(np.ptp(numbers) > 1e-3)
    names = [f"v{index}" for index in range(len(numbers))]
    trend = {"over": "weight_layers", "variants": names}
    claim = Claim.model_validate({"id": "c", "text": "t", "kind": "better", "trend": trend})
    contrast = claim.compute_contrast(
        {name: {} for name in names}, {"weight_layers": dict(zip(names, numbers, strict=True))}
    )
    values = np.random.default_rng(seed).normal(size=len(numbers))
    slope = sum(contrast[name] * value for name, value in zip(names, values, strict=True))
    assert slope == pytest.approx(linregress(numbers, values).slope, rel=1e-6, abs=1e-9)
    assert sum(contrast.values()) == pytest.approx(0, abs=1e-9)
    assert list(contrast) == names


@pytest.mark.parametrize(
    ("claim", "messages"),
    [
        (
            "a: [five, fife]",
            ["9:46: claims[0].a[1]: unknown variant; available: base, five, got 'fife'; did you mean 'five'?"],
        ),
        ("a: [five, five]", ["claims[0].a[1]: five appears twice on this side, got 'five'"]),
        ("a: [five, base], b: base", ["claims[0].b: base is on both sides, got 'base'"]),
        ("a: []", ["claims[0].a: must be a valid string, or must have a length of at least 1, got []"]),
        ("a: 5", ["claims[0].a: must be a valid string, or a list, got 5"]),
        ("b: base", ["claims[0].a: must be given"]),
        ("trend: {over: macs, variants: [base, five]}, a: five", ["claims[0].a: cannot be combined with trend"]),
        ("trend: {over: macs, variants: [base, five]}, b: five", ["claims[0].b: cannot be combined with trend"]),
        (
            "trend: {over: macs, variants: [base]}",
            ["claims[0].trend.variants: must have a length of at least 2, got ['base']"],
        ),
        (
            "trend: {over: macs, variants: [base, six]}",
            ["claims[0].trend.variants[1]: unknown variant; available: base, five, got 'six'"],
        ),
        ("trend: {over: macs, variants: [base, base]}", ["claims[0].trend.variants[1]: duplicate variant, got 'base'"]),
        (
            "trend: {over: train.epochs, variants: [base, five]}",
            ["claims[0].trend.over: is 20 in every variant, so that no slope is defined, got 'train.epochs'"],
        ),
        (
            "trend: {over: depth, variants: [base, five]}",
            ["claims[0].trend.over: has no value for variant base, got 'depth'"],
        ),
        ("a: five, metric: trained, margin: 5", ["claims[0].margin: must be 0 for the metric trained, got 5"]),
        (
            "a: five, metric: trained, kind: not_worse",
            ["claims[0].kind: must be better, worse or different for the metric trained, got 'not_worse'"],
        ),
        ("a: five, smallest_effect: -1", ["claims[0].smallest_effect: must be greater than or equal to 0, got -1"]),
        ("a: fife, b: bass", ["claims[0].a: unknown variant; available: base, five, got 'fife'; did you mean 'five'?"]),
        ("a: fife, b: bass", ["claims[0].b: unknown variant; available: base, five, got 'bass'; did you mean 'base'?"]),
        ("a: five, b: five", ["claims[0].b: both sides are the same, got 'five'"]),
        ("a: five, within: norm=batch", ["claims[0].within: unknown level of a factor; this design has no factors"]),
        ("a: five, kind: equivalent", ["claims[0].margin: must be greater than 0 for a claim of kind equivalent"]),
        ("a: five, against: norm=batch", ["claims[0]: against requires within"]),
    ],
)
def test_an_invalid_claim_is_an_error_with_its_line(tmp_path: Path, claim: str, messages: list[str]) -> None:
    kind = "" if "kind" in claim else "kind: better, "
    (tmp_path / "wrong.yaml").write_text(f"{STUDY}  - {{id: c, text: t, {kind}{claim}}}\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "wrong.yaml")
    for message in messages:
        assert message in str(caught.value)
    assert "wrong.yaml:9:" in str(caught.value)

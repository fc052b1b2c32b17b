"""Parsing of search designs: spaces, constraints and budgets."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from vgg_ablate.config.arch import Match
from vgg_ablate.config.constraints import Constraint, parse_constraint
from vgg_ablate.config.search import Search

DESIGN: dict[str, Any] = {
    "kind": "search",
    "space": {
        "arch.width": {"low": 0.25, "high": 2.0, "log": True},
        "train.epochs": {"low": 1, "high": 4},
        "arch.norm": ["none", "batch", {"kind": "group", "groups": 4}],
        "head": {"small": {"arch.head.hidden": [64]}, "none": {"arch.head.hidden": [], "arch.head.pool": "global"}},
    },
    "constraints": ["1e3 <= macs <= 60e6", "receptive_field >= 8"],
    "budget": {"variants": 60},
}


def read_error(change: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Search.model_validate(DESIGN | change)
    return str(caught.value)


def test_a_point_is_translated_to_changes() -> None:
    search = Search.model_validate(DESIGN)
    group = search.list_choices("arch.norm")
    assert group == ("none", "batch", '{"kind": "group", "groups": 4}')
    point = {"arch.width": 0.5, "train.epochs": 2, "arch.norm": group[2], "head": "none"}
    assert search.build_changes(point) == {
        "arch.width": 0.5,
        "train.epochs": 2,
        "arch.norm": {"kind": "group", "groups": 4},
        "arch.head.hidden": [],
        "arch.head.pool": "global",
    }


def test_sampler_and_pruner_have_short_forms() -> None:
    search = Search.model_validate(DESIGN | {"sampler": "gp", "pruner": {"kind": "median", "warmup_epochs": 3}})
    assert (search.sampler.kind, search.pruner.kind) == ("gp", "median")


def test_a_grid_has_every_combination() -> None:
    space = {"arch.width": {"low": 0.5, "high": 1.0, "step": 0.25}, "arch.norm": ["none", "batch"]}
    search = Search.model_validate(DESIGN | {"space": space, "sampler": "grid"})
    assert len(search.list_grid_points()) == 6
    assert search.list_grid_points()[-1] == {"arch.width": 1.0, "arch.norm": "batch"}
    assert "a grid search needs a step or a list" in read_error({"sampler": "grid"})


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("macs <= 60e6", None, 60e6),
        ("params<5e6", None, 5e6 - 1),
        ("receptive_field >= 32", 32, None),
        ("receptive_field > 32.5", 33, None),
        ("40e6 <= macs <= 60e6", 40e6, 60e6),
        ("40 < macs < 60", 41, 59),
    ],
)
def test_constraints_are_parsed_from_text(text: str, low: float | None, high: float | None) -> None:
    bounds = Constraint.model_validate(parse_constraint(text))
    assert (bounds.low, bounds.high) == (low, high)


@pytest.mark.parametrize(
    ("text", "variants", "hours"),
    [
        ("60 variants", 60, None),
        ("1 variant", 1, None),
        ("4 h", None, 4),
        ("90 min, 8 variants", 8, 1.5),
        ({"hours": 4}, None, 4),
    ],
)
def test_budgets_are_parsed_from_text(text: object, variants: int | None, hours: float | None) -> None:
    budget = Search.model_validate(DESIGN | {"budget": text}).budget
    assert (budget.variants, budget.hours) == (variants, hours)


def test_the_excess_is_the_relative_distance_from_the_bound() -> None:
    constraint = Constraint(cost="macs", low=50, high=100)
    assert [constraint.compute_excess({"macs": macs}) > 0 for macs in (49, 50, 100, 101)] == [True, False, False, True]
    assert constraint.compute_excess({"macs": 200}) == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"constraints": ["flops < 3"]}, "unknown cost"),
        ({"constraints": ["macs"]}, "must be a cost with bounds"),
        ({"constraints": ["macs < many"]}, "a bound must be a number"),
        ({"budget": {}}, "must limit variants or hours"),
        ({"budget": 60}, "must be a number of variants, a training time, or both"),
        ({"budget": "4 weeks"}, "must be a number of variants, a training time, or both"),
        ({"budget": "2.5 variants"}, "must be a number of variants, a training time, or both"),
        ({"budget": "3 h, 30 min"}, "must be a number of variants, a training time, or both"),
        ({"budget": "0 variants"}, "greater than or equal to 1"),
        ({"budget": "3 variants", "best": 4}, "must not exceed the budget of 3 variants"),
        ({"budget": "4 h", "best": 10**18}, "less than or equal to 1000"),
        ({"seeds": 10**18}, "less than or equal to 1000"),
        ({"space": {}}, "at least 1 item"),
        ({"space": {"arch.width": {"low": 2, "high": 1}}}, "low must be less than high"),
        (
            {"pruner": "median", "objectives": ["val_error", "macs"]},
            "a pruner compares validation errors and requires objectives",
        ),
        ({"constraints": ["60e6 <= macs <= 40e6"]}, "the lower bound exceeds the upper bound"),
        ({"space": {"arch.width": [1, 2, 1]}}, "duplicate choice"),
        ({"objectives": ["macs", "val_error", "macs"]}, "duplicate objective"),
        ({"sampler": "tpee"}, "union_tag_invalid"),
    ],
)
def test_an_invalid_design_is_an_error(change: dict[str, Any], message: str) -> None:
    assert message in read_error(change)


@pytest.mark.parametrize(
    ("text", "number"), [("1M", 10**6), ("2.5 G", 2_500_000_000), ("40e6", 40_000_000), ("3k", 3000)]
)
def test_budgets_take_suffixes_and_exponents(text: str, number: int) -> None:
    assert Match.model_validate({"macs": text}).target == number
    assert Constraint.model_validate(parse_constraint(f"macs <= {text}")).high == number
    assert Constraint.model_validate(parse_constraint(f"{text} <= macs")).low == number


@pytest.mark.parametrize("name", ["base", "five", "M", "12", "1Mb", "e6"])
def test_a_budget_that_is_no_number_stays_the_name_of_a_variant(name: str) -> None:
    assert Match(macs=name).target == name

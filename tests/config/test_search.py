"""The search design: spaces, constraints, budgets, as they are written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from vgg_ablate.config.search import Constraint, Search, parse_constraint

WRITTEN: dict[str, Any] = {
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


def wrong(change: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Search.model_validate(WRITTEN | change)
    return str(caught.value)


def test_a_point_becomes_the_changes_that_it_stands_for() -> None:
    search = Search.model_validate(WRITTEN)
    group = search.values("arch.norm")
    assert group == ("none", "batch", '{"kind": "group", "groups": 4}')
    point = {"arch.width": 0.5, "train.epochs": 2, "arch.norm": group[2], "head": "none"}
    assert search.changes(point) == {
        "arch.width": 0.5,
        "train.epochs": 2,
        "arch.norm": {"kind": "group", "groups": 4},
        "arch.head.hidden": [],
        "arch.head.pool": "global",
    }


def test_short_words_say_which_sampler_and_pruner() -> None:
    search = Search.model_validate(WRITTEN | {"sampler": "gp", "pruner": {"kind": "median", "warmup_epochs": 3}})
    assert (search.sampler.kind, search.pruner.kind) == ("gp", "median")


def test_a_grid_is_every_combination() -> None:
    space = {"arch.width": {"low": 0.5, "high": 1.0, "step": 0.25}, "arch.norm": ["none", "batch"]}
    search = Search.model_validate(WRITTEN | {"space": space, "sampler": "grid"})
    assert len(search.grid()) == 6
    assert search.grid()[-1] == {"arch.width": 1.0, "arch.norm": "batch"}
    assert "a grid needs a step" in wrong({"sampler": "grid"})


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
def test_constraints_read_as_people_write_them(text: str, low: float | None, high: float | None) -> None:
    made = Constraint.model_validate(parse_constraint(text))
    assert (made.low, made.high) == (low, high)


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
def test_budgets_read_as_people_write_them(text: object, variants: int | None, hours: float | None) -> None:
    budget = Search.model_validate(WRITTEN | {"budget": text}).budget
    assert (budget.variants, budget.hours) == (variants, hours)


def test_a_constraint_says_how_far_outside_a_net_is() -> None:
    within = Constraint(cost="macs", low=50, high=100)
    assert [within.compute_excess({"macs": macs}) > 0 for macs in (49, 50, 100, 101)] == [True, False, False, True]
    assert within.compute_excess({"macs": 200}) == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"constraints": ["flops < 3"]}, "unknown cost"),
        ({"constraints": ["macs"]}, "a constraint is a cost and its bounds"),
        ({"constraints": ["macs < many"]}, "a bound is a number"),
        ({"budget": {}}, "a search needs an end"),
        ({"budget": 60}, "must be so many variants, or hours of training"),
        ({"budget": "4 weeks"}, "must be so many variants, or hours of training"),
        ({"budget": "2.5 variants"}, "must be so many variants, or hours of training"),
        ({"budget": "3 h, 30 min"}, "must be so many variants, or hours of training"),
        ({"budget": "0 variants"}, "greater than or equal to 1"),
        ({"budget": "3 variants", "best": 4}, "3 variants cannot have so many winners"),
        ({"budget": "4 h", "best": 10**18}, "less than or equal to 1000"),
        ({"seeds": 10**18}, "less than or equal to 1000"),
        ({"space": {}}, "at least 1 item"),
        ({"space": {"arch.width": {"low": 2, "high": 1}}}, "low must be less than high"),
        ({"pruner": "median", "objectives": ["val_error", "macs"]}, "a pruner compares validation errors"),
        ({"constraints": ["60e6 <= macs <= 40e6"]}, "no macs lies between these bounds"),
        ({"space": {"arch.width": [1, 2, 1]}}, "this choice is listed twice"),
        ({"objectives": ["macs", "val_error", "macs"]}, "an objective counts once"),
        ({"sampler": "tpee"}, "union_tag_invalid"),
    ],
)
def test_what_cannot_be_is_said(change: dict[str, Any], message: str) -> None:
    assert message in wrong(change)

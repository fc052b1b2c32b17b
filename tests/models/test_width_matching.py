"""Budgets give the nearest width, or an error with the two nearest; matching again changes nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.models.nets import arch_mappings
from vgg_ablate.config.arch import Arch, Match
from vgg_ablate.config.study import load
from vgg_ablate.config.training import Data, Train
from vgg_ablate.config.variants import Variant
from vgg_ablate.errors import SpecError
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.models.width_matching import match_width, resolve_variants

DATA, TRAIN = Data(name="digits", image_size=16), Train()
COSTS = ("macs", "params", "activations")
BASE: dict[str, Any] = {"stages": "16 16 | 32 32", "norm": "batch"}


def variant(name: str, arch: dict[str, Any]) -> Variant:
    return Variant(name=name, arch=Arch.model_validate(arch), data=DATA, train=TRAIN, changes={"arch": arch})


def build_arch(arch: dict[str, Any]) -> Arch:
    return Arch.model_validate(arch).with_shape(DATA.shape)


def is_reachable(arch: Arch, match: Match, budget: float) -> bool:
    try:
        match_width(arch, match, budget)
    except SpecError:
        return False
    return True


def compute_cost(arch: Arch, name: str) -> int:
    return int(getattr(compute_costs(arch), name))


@settings(max_examples=40, deadline=None)
@given(arch_mappings(), st.floats(0.1, 8), st.floats(0.1, 8), st.sampled_from(COSTS))
def test_a_wider_net_never_costs_less(arch: dict[str, Any], first: float, second: float, cost: str) -> None:
    assume(1.0 not in (first, second))  # there channels are taken as written, which a group norm may not divide
    narrow, wide = (build_arch({**arch, "width": width}).to_normal_form() for width in sorted((first, second)))
    assert compute_cost(narrow, cost) <= compute_cost(wide, cost)


@settings(max_examples=25, deadline=None)
@given(arch_mappings(), st.floats(0.3, 30), st.sampled_from(COSTS), st.sampled_from([0.001, 0.02, 0.2]))
def test_a_budget_is_met_within_the_tolerance_or_refused(
    arch: dict[str, Any], factor: float, cost: str, tolerance: float
) -> None:
    net, match = build_arch(arch), Match.model_validate({cost: 1, "tolerance": tolerance})
    budget = round(factor * compute_cost(net.to_normal_form(), cost))
    nearby_costs = [
        compute_cost(net.model_copy(update={"width": 0.05 * step + 0.003}).to_normal_form(), cost)
        for step in range(1, 60)
    ]
    if min(abs(nearby - budget) for nearby in nearby_costs) > tolerance * budget and not is_reachable(
        net, match, budget
    ):
        return
    plain, width_match = match_width(net, match, budget)
    assert width_match.actual == compute_cost(plain, cost)
    assert abs(width_match.actual - budget) <= tolerance * budget
    assert abs(width_match.actual - budget) <= min(abs(nearby - budget) for nearby in nearby_costs)
    assert plain == net.model_copy(update={"width": width_match.width}).to_normal_form()


@settings(max_examples=20, deadline=None)
@given(arch_mappings(), st.floats(0.5, 4), st.sampled_from(COSTS))
def test_a_matched_net_is_left_as_it_is(arch: dict[str, Any], factor: float, cost: str) -> None:
    net, match = build_arch(arch), Match.model_validate({cost: 1, "tolerance": 0.9})
    once, width_match = match_width(net, match, factor * compute_cost(net.to_normal_form(), cost))
    again, exactly = match_width(once, match, width_match.actual)
    assert exactly.mismatch == 0
    assert again == once
    better, _ = match_width(once, match, width_match.budget)
    assert abs(compute_cost(better, cost) - width_match.budget) <= abs(width_match.actual - width_match.budget)


def test_four_times_as_many_variants_take_about_four_times_as_long() -> None:
    def measure_seconds(count: int) -> float:
        variants = [variant(f"v{index}", {**BASE, "width": 1 + index / 64}) for index in range(count)]
        began = time.process_time()
        assert len(resolve_variants(variants)) == count
        return time.process_time() - began

    few, many = (min(measure_seconds(count) for _ in range(4)) for count in (400, 1600))
    assert many < 8 * few, "quadratic time would be sixteen times as long"


@pytest.mark.parametrize("cost", COSTS)
def test_a_variant_is_matched_to_another_and_to_a_number(cost: str) -> None:
    five = {**BASE, "kernel": 5, "match": {cost: "base", "tolerance": "5%"}}
    base, matched, again = resolve_variants(
        [
            variant("base", BASE),
            variant("five", five),
            variant("again", {**BASE, "match": {cost: "five", "tolerance": "5%"}}),
        ]
    )
    assert base.matched is None
    assert matched.matched is not None
    assert matched.matched.budget == getattr(base.costs, cost)
    assert matched.matched.actual == getattr(matched.costs, cost)
    assert abs(matched.matched.mismatch) <= 0.05
    assert again.matched is not None
    assert again.matched.budget == getattr(matched.costs, cost)
    number = {**BASE, "match": {cost: getattr(base.costs, cost)}}
    assert resolve_variants([variant("number", number)])[0].arch == base.arch


def test_channels_stay_multiples_of_a_group_norms_groups() -> None:
    arch = {"stages": "16 24 | 40 40", "norm": {"kind": "group", "groups": 8}, "match": {"macs": 3e6, "tolerance": 0.2}}
    resolved = resolve_variants([variant("grouped", arch)])[0]
    channels = [conv.channels for stage in resolved.arch.stages for conv in stage.convs]
    assert channels != [16, 24, 40, 40]
    assert all(count % 8 == 0 for count in channels)


def get_error(*variants: Variant) -> str:
    with pytest.raises(SpecError) as caught:
        resolve_variants(variants)
    return str(caught.value)


def test_a_budget_out_of_reach_is_refused_with_the_nearest_two() -> None:
    least = resolve_variants([variant("least", {"stages": "1 1 | 1 1", "norm": "batch"})])[0].costs.params
    assert get_error(variant("small", {**BASE, "match": {"params": 10}})) == (
        "variants.small: arch.match: no width gives 10 params within 1.00%: "
        f"the nearest are {least} (1 1 | 1 1) and 420 (1 1 | 2 2)"
    )
    large = get_error(variant("large", {**BASE, "match": {"params": 1e18}}))
    assert large.startswith("variants.large: arch.match: no width gives 1,000,000,000,000,000,000 params within 1.00%")
    between = get_error(variant("coarse", {"stages": "2 | 3", "match": {"macs": 4.9e3, "tolerance": 0.001}}))
    assert between.endswith("the nearest are 3,776 (1 | 2) and 7,232 (2 | 2)")


def test_a_match_to_an_unknown_variant_and_a_circle_of_matches_are_errors() -> None:
    to_second, to_first = ({**BASE, "match": {"macs": name}} for name in ("second", "first"))
    assert get_error(variant("first", to_second), variant("second", to_first)).splitlines() == [
        "variants.first: arch.match: is matched to itself through other variants, got 'first -> second -> first'",
        "variants.second: arch.match: is matched to itself through other variants, got 'second -> first -> second'",
    ]
    assert get_error(variant("base", BASE), variant("five", {**BASE, "match": {"macs": "bas"}})) == (
        "variants.five: arch.match: must name a variant of the study: base, five, got 'bas'; did you mean 'base'?"
    )


def test_a_match_to_a_net_that_cannot_exist_adds_no_second_error() -> None:
    broken = {"stages": "8 | 8 | 8 | 8 | 8 | 8"}
    message = get_error(variant("broken", broken), variant("after", {**BASE, "match": {"macs": "broken"}}))
    assert message.splitlines() == [
        "variants.broken: arch.stages[4].pool: pooling number 5 finds a 1x1 map that cannot be halved (image_size 16)"
    ]


def test_an_error_of_the_base_is_not_repeated_for_variants_that_have_it_too(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(
        "version: 1\nname: deep\nquestion: q?\ndata: {name: digits, image_size: 8}\n"
        "arch: {stages: '4 | 4 | 4 | 4 | 4'}\nvariants: {wide: {arch.width: 2}, small: {data.image_size: 4}}\n"
    )
    with pytest.raises(SpecError) as caught:
        resolve_variants(load(path).variants)
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["arch.stages[3].pool", "variants.small: arch.stages[2].pool"]


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (
            {"stages": "12 | 12"},
            "must have a layer of the same name and shape as one of the net that it initialises, got '12 | 12'",
        ),
        (
            {"stages": "16 | 16 | 16 | 16 | 16"},
            "pooling number 5 finds a 1x1 map that cannot be halved (image_size 16)",
        ),
        ({"stages": "16 | 16", "match": {"macs": 1e6}}, "match must be resolved before the normal form of an arch"),
    ],
)
def test_a_net_to_start_from_must_exist_and_have_layers_to_copy(first: dict[str, Any], message: str) -> None:
    train = Train.model_validate({"pretrain": {"arch": first, "epochs": 1}})
    base = Variant(name="base", arch=Arch.model_validate(BASE), data=DATA, train=train)
    assert get_error(base) == f"train.pretrain.arch: {message}"

"""Budgets: the width that comes nearest, or an error that names the nearest two; and a second time changes nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.models.nets import arch_mappings
from vgg_ablate.config.arch import Arch, Match
from vgg_ablate.config.study import Variant
from vgg_ablate.config.training import Data, Train
from vgg_ablate.errors import SpecError
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.models.width_matching import match_width, resolve_variants

DATA, TRAIN = Data(name="digits", image_size=16), Train()
COSTS = ("macs", "params", "activations")
BASE: dict[str, Any] = {"stages": "16 16 | 32 32", "norm": "batch"}


def variant(name: str, arch: dict[str, Any]) -> Variant:
    return Variant(name=name, arch=Arch.model_validate(arch), data=DATA, train=TRAIN, changes={"arch": arch})


def shaped(arch: dict[str, Any]) -> Arch:
    return Arch.model_validate(arch).with_shape(DATA.shape)


def can_be_met(arch: Arch, match: Match, wanted: float) -> bool:
    try:
        match_width(arch, match, wanted)
    except SpecError:
        return False
    return True


def cost(arch: Arch, of: str) -> int:
    return int(getattr(compute_costs(arch), of))


@settings(max_examples=40, deadline=None)
@given(arch_mappings(), st.floats(0.1, 8), st.floats(0.1, 8), st.sampled_from(COSTS))
def test_a_wider_net_never_costs_less(arch: dict[str, Any], one: float, other: float, of: str) -> None:
    assume(1.0 not in (one, other))  # there channels stand as written, which a group norm may refuse
    narrow, wide = (shaped({**arch, "width": width}).to_normal_form() for width in sorted((one, other)))
    assert cost(narrow, of) <= cost(wide, of)


@settings(max_examples=25, deadline=None)
@given(arch_mappings(), st.floats(0.3, 30), st.sampled_from(COSTS), st.sampled_from([0.001, 0.02, 0.2]))
def test_a_budget_is_met_within_the_tolerance_or_refused(
    arch: dict[str, Any], factor: float, of: str, tolerance: float
) -> None:
    net, match = shaped(arch), Match.model_validate({of: 1, "tolerance": tolerance})
    wanted = round(factor * cost(net.to_normal_form(), of))
    near = [cost(net.model_copy(update={"width": 0.05 * step + 0.003}).to_normal_form(), of) for step in range(1, 60)]
    if min(abs(one - wanted) for one in near) > tolerance * wanted and not can_be_met(net, match, wanted):
        return
    plain, found = match_width(net, match, wanted)
    assert found.got == cost(plain, of)
    assert abs(found.got - wanted) <= tolerance * wanted
    assert abs(found.got - wanted) <= min(abs(one - wanted) for one in near)
    assert plain == net.model_copy(update={"width": found.width}).to_normal_form()


@settings(max_examples=20, deadline=None)
@given(arch_mappings(), st.floats(0.5, 4), st.sampled_from(COSTS))
def test_what_has_been_matched_is_left_as_it_is(arch: dict[str, Any], factor: float, of: str) -> None:
    net, match = shaped(arch), Match.model_validate({of: 1, "tolerance": 0.9})
    once, found = match_width(net, match, factor * cost(net.to_normal_form(), of))
    again, exactly = match_width(once, match, found.got)
    assert exactly.mismatch == 0
    assert again == once
    better, _ = match_width(once, match, found.wanted)
    assert abs(cost(better, of) - found.wanted) <= abs(found.got - found.wanted)


def test_four_times_as_many_variants_take_about_four_times_as_long() -> None:
    def seconds(count: int) -> float:
        variants = [variant(f"v{index}", {**BASE, "width": 1 + index / 64}) for index in range(count)]
        began = time.process_time()
        assert len(resolve_variants(variants)) == count
        return time.process_time() - began

    few, many = min(seconds(400) for _ in range(3)), min(seconds(1600) for _ in range(2))
    assert many < 8 * few, "quadratic: sixteen times"


@pytest.mark.parametrize("of", COSTS)
def test_a_variant_is_matched_to_another_and_to_a_number(of: str) -> None:
    five = {**BASE, "kernel": 5, "match": {of: "base", "tolerance": "5%"}}
    base, matched, again = resolve_variants(
        [
            variant("base", BASE),
            variant("five", five),
            variant("again", {**BASE, "match": {of: "five", "tolerance": "5%"}}),
        ]
    )
    assert base.matched is None
    assert matched.matched is not None
    assert matched.matched.wanted == getattr(base.costs, of)
    assert matched.matched.got == getattr(matched.costs, of)
    assert abs(matched.matched.mismatch) <= 0.05
    assert again.matched is not None
    assert again.matched.wanted == getattr(matched.costs, of)
    number = {**BASE, "match": {of: getattr(base.costs, of)}}
    assert resolve_variants([variant("number", number)])[0].arch == base.arch


def test_channels_stay_multiples_of_a_group_norms_groups() -> None:
    arch = {"stages": "16 24 | 40 40", "norm": {"kind": "group", "groups": 8}, "match": {"macs": 3e6, "tolerance": 0.2}}
    found = resolve_variants([variant("grouped", arch)])[0]
    channels = [conv.channels for stage in found.arch.stages for conv in stage.convs]
    assert channels != [16, 24, 40, 40]
    assert all(count % 8 == 0 for count in channels)


def refused(*variants: Variant) -> str:
    with pytest.raises(SpecError) as caught:
        resolve_variants(variants)
    return str(caught.value)


def test_a_budget_out_of_reach_is_refused_with_the_nearest_two() -> None:
    least = resolve_variants([variant("least", {"stages": "1 1 | 1 1", "norm": "batch"})])[0].costs.params
    assert refused(variant("small", {**BASE, "match": {"params": 10}})) == (
        "variants.small: arch.match: no width gives 10 params within 1.00%: "
        f"the nearest are {least} (1 1 | 1 1) and 420 (1 1 | 2 2)"
    )
    large = refused(variant("large", {**BASE, "match": {"params": 1e18}}))
    assert large.startswith("variants.large: arch.match: no width gives 1,000,000,000,000,000,000 params within 1.00%")
    between = refused(variant("coarse", {"stages": "2 | 3", "match": {"macs": 4.9e3, "tolerance": 0.001}}))
    assert between.endswith("the nearest are 3,776 (1 | 2) and 7,232 (2 | 2)")


def test_a_budget_of_no_variant_and_one_that_waits_for_itself_are_named() -> None:
    one, other = ({**BASE, "match": {"macs": name}} for name in ("other", "one"))
    assert refused(variant("one", one), variant("other", other)).splitlines() == [
        "variants.one: arch.match: the budget is its own, got 'one -> other -> one'",
        "variants.other: arch.match: the budget is its own, got 'other -> one -> other'",
    ]
    assert refused(variant("base", BASE), variant("five", {**BASE, "match": {"macs": "bas"}})) == (
        "variants.five: arch.match: the budget is that of no variant; there are base, five, got 'bas'; "
        "did you mean 'base'?"
    )


def test_what_waits_for_a_net_that_cannot_exist_adds_no_second_error() -> None:
    broken = {"stages": "8 | 8 | 8 | 8 | 8 | 8"}
    said = refused(variant("broken", broken), variant("after", {**BASE, "match": {"macs": "broken"}}))
    assert said.splitlines() == [
        "variants.broken: arch.stages[4].pool: pooling number 5 finds a 1x1 map that cannot be halved (image_size 16)"
    ]


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ({"stages": "12 | 12"}, "no layer has the name and shape of one of the net that it is for, got '12 | 12'"),
        (
            {"stages": "16 | 16 | 16 | 16 | 16"},
            "pooling number 5 finds a 1x1 map that cannot be halved (image_size 16)",
        ),
        ({"stages": "16 | 16", "match": {"macs": 1e6}}, "match must be resolved before the normal form of an arch"),
    ],
)
def test_a_net_to_start_from_must_exist_and_have_layers_to_copy(first: dict[str, Any], said: str) -> None:
    train = Train.model_validate({"pretrain": {"arch": first, "epochs": 1}})
    base = Variant(name="base", arch=Arch.model_validate(BASE), data=DATA, train=train)
    assert refused(base) == f"train.pretrain.arch: {said}"

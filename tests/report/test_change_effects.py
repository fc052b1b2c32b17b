"""What a change does to a net is said in words and numbers."""

from __future__ import annotations

from tests.models.nets import make_arch
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.report.change_effects import describe_change, list_changes

STAGES = "16 16 | 32 32 | 64 64"


def get_costs(**knobs: object) -> dict[str, int]:
    return compute_costs(make_arch({"stages": STAGES, **knobs})).as_dict()


def test_merged_pairs_halve_the_convolutions() -> None:
    text = describe_change({"arch.kernel": 5}, get_costs(), get_costs(kernel=5))
    assert text.startswith(
        "pairs of 3x3 merged into one 5x5; weight layers 7 → 4, activation layers 6 → 3, MACs × 0.81"
    )


def test_a_kernel_set_everywhere_keeps_the_depth_and_widens_the_receptive_field() -> None:
    text = describe_change({"arch.kernel": ["every-5"]}, get_costs(), get_costs(kernel="every-5"))
    assert text.startswith("every kernel set to 5x5; receptive field 36 → 64 px, MACs × 2.61")
    assert "weight layers" not in text


def test_a_change_that_leaves_the_net_alone_is_not_listed() -> None:
    costs = {"base": get_costs(), "slow": get_costs(), "five": get_costs(kernel=5)}
    changes: dict[str, dict[str, object]] = {"base": {}, "slow": {"train.lr": 0.01}, "five": {"arch.kernel": 5}}
    (sentence,) = list_changes(changes, costs, "base")
    assert sentence.startswith("five: pairs of 3x3 merged")


def test_without_costs_the_rule_alone_is_described() -> None:
    assert describe_change({"arch.kernel": 7}, None, None) == "triples of 3x3 merged into one 7x7"

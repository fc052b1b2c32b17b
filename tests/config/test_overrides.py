"""Paths split and join; a change at a path applies to a copy, and to nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.overrides import find_differences, join_path, set_at_path, split_path
from vgg_ablate.config.training import Train
from vgg_ablate.config.types import InvalidValueError

NAMES = st.from_regex(r"[a-z_-]{1,8}", fullmatch=True)


@given(NAMES, st.lists(NAMES | st.integers(0, 99), max_size=5))
def test_joined_parts_split_into_the_same_parts(first: str, rest: list[str | int]) -> None:
    parts = (first, *rest)
    assert split_path(join_path(parts)) == parts


@pytest.mark.parametrize("text", ["", ".", "a..b", "a[x]", "a[1", "a b]", "[", "a[-1]"])
def test_a_malformed_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="must be a path such as arch"):
        split_path(text)


def test_a_change_does_not_modify_the_given_document() -> None:
    document = {"arch": {"preset": "D", "head": {"hidden": [4096]}}}
    changed = set_at_path(document, "arch.head.hidden", [512])
    assert changed["arch"]["head"]["hidden"] == [512]
    assert document == {"arch": {"preset": "D", "head": {"hidden": [4096]}}}


def test_a_path_reaches_fields_that_only_the_preset_has() -> None:
    arch = Arch.model_validate(set_at_path({"arch": {"preset": "D"}}, "arch.head.dropout", 0.0)["arch"])
    assert arch.head.hidden == (4096, 4096)
    assert arch.head.dropout == 0.0
    arch = Arch.model_validate(set_at_path({"arch": "D"}, "arch.stages[4].depth", 1)["arch"])
    assert arch.to_normal_form().to_notation().endswith("| 512")


def test_only_a_changed_value_is_a_difference() -> None:
    train = Train()
    changed = Train.model_validate(set_at_path(train.model_dump(mode="json"), "optimizer.momentum", 0.5))
    assert find_differences(train, changed) == {"optimizer.momentum": (0.9, 0.5)}
    assert find_differences(changed, train) == {"optimizer.momentum": (0.5, 0.9)}
    assert find_differences(train, train) == {}


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("arch.stages[9].depth", "index out of range: the list has 5 items, numbered from 0"),
        ("arch.width[0]", "^'arch.width' has no fields$"),
        ("arch.width.x.y", "^'arch.width' has no fields$"),
        ("arch[0].width", "'arch' is not a list"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path: str, rule: str) -> None:
    with pytest.raises(InvalidValueError, match=rule):
        set_at_path({"arch": {"preset": "D", "width": 1.0}}, path, 1)

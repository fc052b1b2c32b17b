"""The compact notation round-trips, and its errors name the token and column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.notation import format_stages, parse_stages
from vgg_ablate.config.presets import PRESETS

CONV = st.fixed_dictionaries(
    {
        "channels": st.integers(1, 4096),
        "kernel": st.lists(st.sampled_from([1, 3, 5, 7]), min_size=2, max_size=2),
        "then": st.sampled_from(["activation", "norm", "nothing"]),
    }
)
STAGE = st.fixed_dictionaries({"convs": st.lists(CONV, min_size=1, max_size=5), "pool": st.booleans()})


@given(st.lists(STAGE, min_size=1, max_size=6))
def test_formatted_stages_parse_to_the_same_stages(stages: list[dict[str, object]]) -> None:
    assert parse_stages(format_stages(stages)) == stages


@pytest.mark.parametrize("name", PRESETS)
def test_the_notation_of_a_preset_round_trips(name: str) -> None:
    assert Arch.model_validate(name).to_notation() == PRESETS[name]["stages"]


def test_spaces_are_optional_around_separators() -> None:
    assert parse_stages("64*2|128~ 128@1x3/") == parse_stages("64 64 | 128~ 128@1x3 /")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("64 x4", "column 4: 'x4' is not a convolution"),
        ("64 -8", "column 4: '-8' is not a convolution"),
        ("64 | | 64", "column 6: expected a convolution before '|'"),
        ("64 |", "column 5: expected a convolution such as 64 or 64@5"),
        ("", "column 1: expected a convolution"),
        ("64 0", "column 4: the channels of '0' must be at least 1"),
        ("64 64@4", "column 4: the kernel sides of '64@4' must be odd"),
        ("64@3x2", "column 1: the kernel sides of '64@3x2'"),
        ("64*0", "column 1: the repeat count of '64*0' must be from 1 to 1,000"),
        ("64@0", "column 1: the kernel sides of '64@0'"),
        ("8 8*1000000000", "column 3: the repeat count of '8*1000000000' must be from 1 to 1,000"),
        ("6.4", "column 1: '6.4' is not a convolution"),
    ],
)
def test_an_error_names_the_token_and_column(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="column") as caught:
        parse_stages(text)
    assert str(caught.value).startswith(message)

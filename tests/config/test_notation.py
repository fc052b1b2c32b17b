"""The compact notation: what is written is read back, and an error points at the token."""

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
def test_what_is_written_is_read_back(stages: list[dict[str, object]]) -> None:
    assert parse_stages(format_stages(stages)) == stages


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_read_and_written_alike(name: str) -> None:
    assert Arch.model_validate(name).to_notation() == PRESETS[name]["stages"]


def test_repeats_and_room_to_breathe() -> None:
    assert parse_stages("64*2|128~ 128@1x3/") == parse_stages("64 64 | 128~ 128@1x3 /")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("64 x4", "column 4: 'x4' is not a convolution"),
        ("64 -8", "column 4: '-8' is not a convolution"),
        ("64 | | 64", "column 6: a stage needs a convolution before '|'"),
        ("64 |", "column 5: a convolution such as 64 or 64@5 must follow"),
        ("", "column 1: a convolution"),
        ("64 0", "column 4: '0' has no channels"),
        ("64 64@4", "column 4: the kernel of '64@4' must have odd sides"),
        ("64@3x2", "column 1: the kernel of '64@3x2'"),
        ("64*0", "column 1: '64*0' repeats a convolution no times"),
        ("64@0", "column 1: the kernel of '64@0'"),
        ("8 8*1000000000", "column 3: '8*1000000000' repeats a convolution more than 1,000 times"),
        ("6.4", "column 1: '6.4' is not a convolution"),
    ],
)
def test_an_error_points_at_the_token(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="column") as caught:
        parse_stages(text)
    assert str(caught.value).startswith(said)

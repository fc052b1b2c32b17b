"""Truncated text fits, and durations and sizes read well."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.text import count_noun, truncate, truncate_to_fit


@given(st.text(max_size=60), st.integers(3, 50))
def test_truncated_text_has_at_most_the_given_length(text: str, length: int) -> None:
    shown = truncate(text, length)
    assert len(shown) == min(len(text), length)
    assert shown == text or (shown.endswith("...") and text.startswith(shown[:-3]))


@given(st.text("ab ", max_size=30), st.integers(1, 20))
def test_text_is_cut_to_the_longest_beginning_that_fits(text: str, width: int) -> None:
    shown = truncate_to_fit(text, lambda candidate: len(candidate) <= width, ellipsis="…")
    kept = shown.removesuffix("…")
    assert len(shown) <= width
    assert text.startswith(kept)
    if shown != text:
        cut = text[: width - 1].rstrip()
        assert shown == cut + "…"


@pytest.mark.parametrize(
    ("seconds", "rough", "text"),
    [
        (0.44, "0.4 s", "0.4 s"),
        (12.3, "12 s", "12.3 s"),
        (185.2, "3 min 05 s", "3 min 05 s"),
        (1309.0, "22 min", "21 min 49 s"),
        (3599.0, "59 min 59 s", "59 min 59 s"),
        (7385.0, "2 h 03 min", "2 h 03 min"),
    ],
)
def test_durations_have_two_formats(seconds: float, rough: str, text: str) -> None:
    assert numbers.format_rough_seconds(seconds) == rough
    assert numbers.format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("count", "plural", "text"),
    [
        (1, "seeds", "1 seed"),
        (0, "seeds", "0 seeds"),
        ("1,000", "runs", "1,000 runs"),
        ("1", "points per layer", "1 point per layer"),
    ],
)
def test_one_is_singular(count: int | str, plural: str, text: str) -> None:
    assert count_noun(count, plural) == text


def test_memory_is_in_gibibytes() -> None:
    assert numbers.format_bytes(8053063680) == "7.5 GiB"
    assert numbers.format_bytes(2**29) == "512 MiB"
    assert numbers.format_bytes(96_300) == "94 KiB"

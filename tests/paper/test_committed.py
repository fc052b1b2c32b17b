"""The scoreboard that is committed, and README's and the docs' parts of it, are what the records say."""

from __future__ import annotations

from pathlib import Path

from vgg_ablate.paper import writing


def test_the_committed_scoreboard_is_what_arithmetic_and_the_records_say() -> None:
    # Where it is not: python -m vgg_ablate claims
    assert writing.find_outdated_files(Path(__file__).parents[2] / "results") == []

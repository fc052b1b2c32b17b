"""The committed scoreboard and its parts in README.md and docs/ follow from the records."""

from __future__ import annotations

from pathlib import Path

from vgg_ablate.paper import writing


def test_the_committed_scoreboard_follows_from_arithmetic_and_the_records() -> None:
    # To update the files: python -m vgg_ablate claims
    assert writing.find_outdated_files(Path(__file__).parents[2] / "results") == []

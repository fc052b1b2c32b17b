"""What is committed under results/ is what the records say, to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg_ablate.report import writing

RESULTS = Path(__file__).parent.parent.parent / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/manifest.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_report_is_what_its_records_say(folder: Path) -> None:
    assert writing.check(folder) == []


def test_there_are_committed_reports() -> None:
    assert "kernels" in {folder.name for folder in FOLDERS}

"""Committed reports under results/ are byte for byte what their records make."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg_ablate.report import write

RESULTS = Path(__file__).parent.parent.parent / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/manifest.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_report_is_what_its_records_say(folder: Path) -> None:
    assert write.check_report(folder) == []


def test_a_withdrawn_study_keeps_its_records_and_has_a_reason() -> None:
    withdrawn = RESULTS / "withdrawn"
    reasons = (withdrawn / "README.md").read_text(encoding="utf-8").splitlines()
    studies = sorted(path.parent for path in withdrawn.glob("*/report.md"))
    assert [folder.name for folder in studies] == [line.split("|")[1].strip(" `") for line in reasons if "| `" in line]
    for folder in studies:
        assert sorted(path.name for path in folder.iterdir()) == ["records", "report.md"]
        assert list((folder / "records").glob("*.json"))

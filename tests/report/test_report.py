"""From a results folder to a report, by pretend accuracies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.report.building import made
from vgg_ablate.records import Outcome
from vgg_ablate.report import model, side_by_side, writing


def test_a_written_report_passes_its_check(tmp_path: Path) -> None:
    writing.write(made(tmp_path / "pretend"))
    assert writing.check(tmp_path / "pretend") == []


@pytest.mark.parametrize("name", ["runs.csv", "report.md", "table.tex"])
def test_an_edited_report_fails_its_check_with_file_and_line(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path / "pretend")
    writing.write(folder)
    lines = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
    lines[2] = lines[2][:-1] + "!\n"
    (folder / name).write_text("".join(lines), encoding="utf-8")
    (found,) = writing.check(folder)
    assert found.startswith(f"{folder / name}:3: the records say")


def test_two_of_the_same_report_are_the_same_bytes(tmp_path: Path) -> None:
    one = writing.files(writing.write(made(tmp_path / "a" / "pretend")))
    two = writing.files(writing.write(made(tmp_path / "b" / "pretend")))
    assert one == two


def test_a_diverged_seed_is_shown_and_makes_its_claims_inconclusive(tmp_path: Path) -> None:
    folder = made(tmp_path / "pretend", outcomes={("five", 2): Outcome.DIVERGED})
    report = writing.write(folder)
    small, same, weights = report.verdicts
    assert (small.verdict, small.reason, small.n) == ("inconclusive", "five: seed 2 diverged", 4)
    assert same.verdict == "refuted"
    assert weights.verdict == "supported"
    assert "five (diverged 1/5)" in (folder / "report.md").read_text(encoding="utf-8")


def test_the_json_has_what_the_design_lists(tmp_path: Path) -> None:
    document = json.loads(writing.as_json(model.of(made(tmp_path / "pretend"))))
    assert document["variants"][0].keys() >= {"name", "n", "mean", "sd", "params", "macs"}
    wanted = "id kind metric a b margin n mean sd ci_low ci_high p q verdict"
    assert document["claims"][0].keys() >= set(wanted.split())


def test_two_results_are_set_beside_each_other(tmp_path: Path) -> None:
    reports = [model.of(made(tmp_path / name, provenance={"host": name})) for name in ("here", "there")]
    found = side_by_side.compared(reports)
    assert [row.cells[0].shown() for row in found.tables[0].rows] == ["base", "five", "wide"]
    assert found.differences == ("provenance.host: here here; there there",)

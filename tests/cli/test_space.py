"""`space` on the command line: its output, its files and its errors."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vgg_ablate.cli import app
from vgg_ablate.cli.check import check
from vgg_ablate.cli.space import space
from vgg_ablate.errors import SpecError

STUDY = """\
version: 1
name: small
question: Which?
data: {name: digits, image_size: 16}
arch: {stages: "8 8 | 16 16", head: {hidden: []}}
design:
  kind: search
  budget: {variants: 4}
  constraints: ["params <= 5000", "receptive_field >= 16"]
  space:
    arch.width: [0.5, 1.0, 1.5]
    arch.depth: [1, 2, 3]
    arch.norm: [none, batch]
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    return tmp_path / "small.yaml"


def run_space(*arguments: str) -> str:
    """Return what the command prints."""
    result = CliRunner().invoke(app, ["space", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_prints_the_number_of_nets_and_their_costs(study: Path) -> None:
    output = run_space(str(study))
    assert output.startswith("the space has 18 nets\n18 exist (100.0 %)\n")
    assert "params: " in output


def test_json_is_one_document_with_the_front(study: Path) -> None:
    document = json.loads(run_space(str(study), "--json"))
    assert (document["size"], document["seen"], document["exist"]) == (18, 18, 18)
    assert 0 < len(document["front"]) <= document["meet"] < 18
    assert all(net["params"] <= 5000 and net["receptive_field"] >= 16 for net in document["front"])


def test_the_front_is_written_as_csv_and_svg(study: Path, tmp_path: Path) -> None:
    document = json.loads(run_space(str(study), "--json", "--front", str(tmp_path / "front.csv")))
    with (tmp_path / "front.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["params"]) for row in rows] == [net["params"] for net in document["front"]]
    assert set(rows[0]) >= {"arch.width", "arch.depth", "arch.norm", "macs", "receptive_field"}
    drawing = (tmp_path / "front.svg").read_text(encoding="utf-8")
    assert "<svg" in drawing
    run_space(str(study), "--front", str(tmp_path / "front.csv"))
    assert (tmp_path / "front.svg").read_text(encoding="utf-8") == drawing


def test_ranges_without_a_step_and_unmatched_nets_are_reported(study: Path) -> None:
    study.write_text(
        STUDY.replace("arch.width: [0.5, 1.0, 1.5]", "arch.match.macs: {low: 1.0, high: 1.0e6, log: true}"),
        encoding="utf-8",
    )
    output = run_space(str(study), "--draw", "500")
    assert output.startswith("the space has infinitely many nets; 500 drawn at random, as a search starts\n")
    assert "arch.match.macs has no step: drawn log-uniformly from 1 to 1e+06" in output
    document = json.loads(run_space(str(study), "--draw", "500", "--json"))
    assert document["drawn"] == {"arch.match.macs": "log-uniformly from 1 to 1e+06"}
    assert 0 < document["unmatched"] == 500 - document["exist"]
    assert f"{document['unmatched']} do not meet their budget at any width" in output


def test_constraints_that_nothing_meets_leave_an_empty_front(study: Path, tmp_path: Path) -> None:
    front = tmp_path / "none.csv"
    output = run_space(str(study), 'design.constraints=["params <= 1"]', "--front", str(front))
    assert "0 meet the constraints (0.0 %)" in output
    assert len(front.read_text(encoding="utf-8").splitlines()) == 1


def test_a_study_that_does_not_search_is_refused_with_the_place(study: Path) -> None:
    study.write_text(STUDY.partition("design:")[0] + "design: list\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"small\.yaml:6:\d+: design.kind: has no space"):
        CliRunner().invoke(app, ["space", str(study)], catch_exceptions=False)


SPARSE = """\
version: 1
name: sparse
question: what can be searched?
data: {name: digits, image_size: 16}
arch: {stages: "8 8 | 16 16"}
design:
  kind: search
  space:
    arch.depth: [1, 2, 3]
    arch.width: {low: 0.125, high: 4, step: 0.125}
    arch.kernel: [3, 5]
  constraints: ["params <= 1000", "receptive_field >= 40"]
  budget: {variants: 10}
"""


def test_a_space_of_which_nothing_can_be_searched_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sparse.yaml"
    path.write_text(SPARSE)
    check(path, None)
    warning = capsys.readouterr().err
    expected = (
        "of 192 nets, these are refused: 152 by params <= 1,000 (as arch.depth: 1, arch.width: 0.375, arch.kernel: 3); "
        "32 by no convolution to rewrite in '8 8 | 16 16': kernel 5 means pairs of 3x3 merged into one 5x5 (every-5 "
        "sets every kernel) (as arch.depth: 1, arch.width: 0.125, arch.kernel: 5); "
        "8 by receptive_field >= 40 (as arch.depth: 1, arch.width: 0.125, arch.kernel: 3)\n"
    )
    assert warning == (
        f"warning: design.space: less than 1 % of the space exists and meets the constraints; {expected}"
    )
    space(path, None)
    assert capsys.readouterr().out.endswith(expected)
    path.write_text(SPARSE.replace("params <= 1000", "params <= 1M").replace("receptive_field >= 40", "macs >= 1"))
    check(path, None)
    assert capsys.readouterr().err == ""

"""The order of the nets between trainings, widths and data sets, from made-up results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.paper.test_scoreboard import set_accuracies, write_study_results
from vgg_ablate.formatting.table import render_markdown
from vgg_ablate.paper.rankings import build_rankings_table, collect_rankings, render_ranks
from vgg_ablate.paper.standing import build_report_reader
from vgg_ablate.paper.writing import END_MARKER, write_scoreboard

RISING = {"shallow": 0.0, "A": 0.02, "base": 0.04, "C": 0.06, "D": 0.08, "E": 0.1}


# The factory trains nets at their own widths, so that shallow-macs has the results of shallow.
def test_each_study_and_length_has_one_order(tmp_path: Path) -> None:
    write_study_results(tmp_path, "depth", set_accuracies(RISING))
    write_study_results(tmp_path, "depth-wide", set_accuracies({net: -gain for net, gain in RISING.items()}))
    rankings = collect_rankings(build_report_reader(tmp_path))
    assert [(item.data, item.epochs) for item in rankings] == [
        ("CIFAR-10", 20), ("CIFAR-10", 40), ("CIFAR-10, twice the width", 6), ("CIFAR-10, twice the width", 12),
    ]  # fmt: skip
    assert rankings[0].order == ("E", "D", "C", "B", "A", "shallow", "shallow-macs")
    assert rankings[3].order == ("shallow", "A", "B", "D")
    assert rankings[3].correlate(rankings[1]) == -1
    table = build_rankings_table(rankings)
    assert table is not None
    assert "| CIFAR-10, twice the width | 12 | shallow " in render_markdown(table)
    assert render_ranks(rankings).startswith("<?xml")


def test_a_level_without_every_seed_has_no_order(tmp_path: Path) -> None:
    folder = write_study_results(tmp_path, "depth", set_accuracies(RISING))
    for path in (folder / "records").glob("*.json"):
        run = json.loads(path.read_text(encoding="utf-8"))["run"]
        if run["train"]["epochs"] == 40 and run["seed"] == 100:
            path.unlink()
    rankings = collect_rankings(build_report_reader(tmp_path))
    assert [item.epochs for item in rankings] == [20]
    assert "B" in rankings[0].errors
    assert build_rankings_table(rankings) is None


@pytest.mark.parametrize("studies", [(), ("depth",)])
def test_documents_show_the_table_once_it_has_two_orders(tmp_path: Path, studies: tuple[str, ...]) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "results"
    readme.write_text(f"<!-- claims: ranks -->\n{END_MARKER}", encoding="utf-8")
    for study in studies:
        write_study_results(results, study, set_accuracies(RISING))
    write_scoreboard(results)
    assert ("Kendall's tau" in readme.read_text(encoding="utf-8")) == bool(studies)
    assert (results / "paper" / "ranks.svg").exists() == bool(studies)

"""The scoreboard follows from arithmetic and records, and gives no verdict without results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.report.factories import Accuracy, make_results_folder
from vgg_ablate.cli import app
from vgg_ablate.config.study import load
from vgg_ablate.errors import CheckFailedError, StorageError
from vgg_ablate.paper import scoreboard, writing
from vgg_ablate.paper.computed import Check, Computation
from vgg_ablate.paper.standing import Standing, build_report_reader, collect_standings
from vgg_ablate.paper.trained_table import build_trained_table

STUDIES = Path(__file__).parents[2] / "studies" / "paper"


TABLE = "<!-- claims: table -->"


def write_study_results(results: Path, study: str, accuracy: Accuracy) -> Path:
    """Write a results folder of a paper study with made-up accuracies."""
    return make_results_folder(results / study, accuracy, text=load(STUDIES / f"{study}.yaml").as_yaml())


def make_one_worse(worse: str, points: float) -> Accuracy:
    """Make one variant worse than all others by `points`; add noise of 0.1 points from variant and seed."""
    return lambda variant, seed: (
        0.6
        - points / 100 * (variant.partition("@")[0] == worse)
        + np.random.default_rng([seed, *variant.encode()]).normal(0, 0.001)
    )


def set_accuracies(points: dict[str, float]) -> Accuracy:
    """Return accuracies that differ by variant, with the same noise."""
    noise = make_one_worse("nobody", 0)
    return lambda variant, seed: noise(variant, seed) + points.get(variant.partition("@")[0], 0.0)


def read_standings(results: Path) -> tuple[Standing, ...]:
    return collect_standings(build_report_reader(results))


def get_standing(results: Path, name: str) -> Standing:
    return next(standing for standing in read_standings(results) if standing.statement.id == name)


def test_without_results_nothing_that_trains_has_a_verdict(tmp_path: Path) -> None:
    empirical = [standing for standing in read_standings(tmp_path) if standing.statement.kind == "empirical"]
    assert {standing.verdict for standing in empirical} == {"not run yet", "out of reach"}
    assert {standing.word for standing in empirical} == {"not run yet", "not tested"}


def test_every_analytic_claim_is_supported_without_any_results(tmp_path: Path) -> None:
    assert {standing.word for standing in read_standings(tmp_path) if standing.statement.kind == "analytic"} == {
        "supported"
    }


def test_a_study_that_agrees_supports_the_statement_at_its_scale(tmp_path: Path) -> None:
    write_study_results(tmp_path, "depth", make_one_worse("shallow", 5.0))
    found = get_standing(tmp_path, "E06")
    assert found.verdict == "supported"
    assert found.scale == (
        "cifar10 (image-folder) at 32 px, all examples, 8 to 64 channels, norm batch, 40 epochs, 5 seeds"
    )
    assert found.word == "as in the paper"
    assert "as in the paper" in scoreboard.render_scoreboard([found])


def test_a_study_that_says_the_opposite_refutes_it(tmp_path: Path) -> None:
    write_study_results(tmp_path, "depth", make_one_worse("base", 5.0))
    assert get_standing(tmp_path, "E06").verdict == "refuted"


def test_one_refuted_claim_refutes_a_statement_of_several(tmp_path: Path) -> None:
    write_study_results(tmp_path, "depth", set_accuracies({"A": 0.0, "base": 0.06, "C": 0.02, "D": 0.04, "E": 0.04}))
    words = {answer.reference.claim: answer.word for answer in get_standing(tmp_path, "E10").answers}
    assert words == {"deepest-beat-b": "refuted", "deepest-beat-c": "supported"}
    assert get_standing(tmp_path, "E10").verdict == "refuted"


def test_a_fall_with_depth_that_one_step_breaks_supports_the_trend(tmp_path: Path) -> None:
    write_study_results(tmp_path, "depth", set_accuracies({"A": 0.0, "base": 0.01, "C": 0.02, "D": 0.04, "E": 0.037}))
    standing = get_standing(tmp_path, "E02")
    assert standing.verdict == "supported"
    assert " points per layer [" in build_trained_table([standing]).rows[0].cells[5].to_text()


def test_the_words_are_in_the_sense_of_the_paper(tmp_path: Path) -> None:
    levels = {"base": 0.05, "shallow": 0.05, "C": 0.06, "D": 0.02, "E": 0.021, "A": 0.0, "shallow-macs": 0.05}
    write_study_results(tmp_path, "depth", set_accuracies(levels))
    words = {name: get_standing(tmp_path, name).word for name in ("E03", "E04", "E05", "E06")}
    assert words == {
        "E03": "as in the paper",
        "E04": "as in the paper",
        "E05": "reversed here",
        "E06": "no difference of at least 0.5 points",
    }


def test_a_verdict_that_changes_between_the_two_longest_trainings_is_moving(tmp_path: Path) -> None:
    noise = make_one_worse("nobody", 0)
    write_study_results(
        tmp_path, "depth", lambda variant, seed: noise(variant, seed) - 0.05 * (variant in ("shallow", "base@20"))
    )
    found = get_standing(tmp_path, "E06")
    assert (found.verdict, found.word) == ("supported", "still moving")


def test_a_shorter_training_is_shown_until_the_longest_has_run(tmp_path: Path) -> None:
    folder = write_study_results(tmp_path, "depth", make_one_worse("shallow", 5.0))
    for path in (folder / "records").glob("*.json"):
        if json.loads(path.read_text(encoding="utf-8"))["run"]["train"]["epochs"] == 40:
            path.unlink()
    found = get_standing(tmp_path, "E06")
    assert found.word == "as in the paper, so far"
    page = scoreboard.render_scoreboard([found])
    assert "depth/pair-beats-five: supported, after 20 of 40 epochs; " in page
    assert "difference −5." in page
    (row, *_) = build_trained_table([found]).rows
    assert row.cells[-1].to_text() == "as in the paper, so far (20 of 40 epochs)"


def test_the_printed_difference_stands_beside_the_one_found(tmp_path: Path) -> None:
    write_study_results(tmp_path, "depth", make_one_worse("base", 2.0))
    table = build_trained_table([get_standing(tmp_path, "E04")])
    assert all(column.heading for column in table.columns)  # a screen reader names a cell by the heading above it
    (row,) = table.rows
    cells = [cell.to_text() for cell in row.cells]
    assert cells[0] == "E04"
    assert cells[2] == "−0.6"  # 28.1 against 28.7 in table 3
    assert [float(cell.split(" ")[0]) for cell in cells[3:5]] == pytest.approx([40.0, 42.0], abs=0.1)
    assert float(cells[6].replace("−", "-")) == pytest.approx(-100 * 2 / 42, abs=0.3)


def test_a_wrong_number_refutes_a_computed_statement(tmp_path: Path) -> None:
    found = get_standing(tmp_path, "A06")
    wrong = Standing(found.statement, Computation((Check("D", 138, 139, "million"),)), ())
    assert wrong.verdict == "refuted"
    assert "D: 139 million (claimed: 138)" in scoreboard.render_scoreboard([wrong])


def test_the_page_holds_every_statement_and_every_caveat(tmp_path: Path) -> None:
    found = read_standings(tmp_path)
    page = scoreboard.render_scoreboard(found)
    for standing in found:
        assert f"### {standing.statement.id}\n" in page
        assert standing.statement.text in page
        assert all(f"- caveat: {caveat}\n" in page for caveat in standing.statement.caveats)


def test_the_json_has_what_the_command_line_promises(tmp_path: Path) -> None:
    write_study_results(tmp_path, "depth", make_one_worse("shallow", 5.0))
    done = CliRunner().invoke(app, ["claims", "--results", str(tmp_path), "--json"])
    document = json.loads(done.stdout)
    assert len(document) == 45
    for entry in document:
        assert {"id", "statement", "kind", "verdict", "evidence"} <= entry.keys()
    tried = next(entry for entry in document if entry["id"] == "E06")["evidence"][0]
    assert (tried["study"], tried["n"]) == ("depth", 5)
    assert tried["ci_low"] < tried["mean"] < tried["ci_high"]


def test_the_terminal_shows_all_of_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["claims", "--results", str(tmp_path)])
    assert done.exit_code == 0
    assert all(name in done.stdout for name in ("A01", "E20", "N7"))


def test_a_check_is_content_until_a_record_or_the_page_changes(tmp_path: Path) -> None:
    results = tmp_path / "results"
    writing.write_scoreboard(results)
    assert writing.find_outdated_files(results) == []
    write_study_results(results, "depth", make_one_worse("shallow", 5.0))
    assert writing.find_outdated_files(results) != []
    writing.write_scoreboard(results)
    page = results / "paper" / "claims.md"
    page.write_text(page.read_text(encoding="utf-8").replace("E06", "E99"), encoding="utf-8")
    assert any("E99" in line for line in writing.find_outdated_files(results))


def test_a_marked_part_shows_the_answer_of_a_study(tmp_path: Path) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "results"
    readme.write_text(f"<!-- claims: study depth -->\n{writing.END_MARKER}\n", encoding="utf-8")
    write_study_results(results, "depth", make_one_worse("shallow", 5.0))
    writing.write_scoreboard(results)
    text = readme.read_text(encoding="utf-8")
    assert "> **" in text
    assert "\nTraining: " in text
    assert "| B is better than the shallow net, one 5x5 per pair of 3x3 (E06) |" in text
    assert writing.find_outdated_files(results) == []


def test_report_check_guards_the_scoreboard_too(tmp_path: Path) -> None:
    writing.write_scoreboard(tmp_path)
    assert CliRunner().invoke(app, ["report", str(tmp_path / "paper"), "--check"]).exit_code == 0
    write_study_results(tmp_path, "depth", make_one_worse("shallow", 5.0))
    with pytest.raises(CheckFailedError, match="as in the paper"):
        CliRunner().invoke(app, ["report", str(tmp_path / "paper"), "--check"], catch_exceptions=False)


def test_a_page_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert writing.find_outdated_files(tmp_path) == [
        f"{tmp_path}/paper/claims.md: file not found; python -m vgg_ablate claims writes it"
    ]


def test_the_readme_keeps_what_stands_around_its_table(tmp_path: Path) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "results"
    readme.write_text(f"before\n{TABLE}\nstale\n{writing.END_MARKER}\nafter\n", encoding="utf-8")
    write_study_results(results, "depth", make_one_worse("shallow", 5.0))
    writing.write_scoreboard(results)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{TABLE}\n")
    assert text.endswith(f"{writing.END_MARKER}\nafter\n")
    assert "stale" not in text
    assert "| E06 |" in text
    assert "| N1: " not in text
    assert "decided by arithmetic: 23 supported" in text


def test_the_docs_hold_one_statement_where_they_ask_for_it(tmp_path: Path) -> None:
    docs, results = tmp_path / "docs" / "reproduction.md", tmp_path / "results"
    docs.parent.mkdir()
    docs.write_text(
        f"<!-- claims: E06 -->\n{writing.END_MARKER} and <!-- claims: A01 -->\n{writing.END_MARKER}", encoding="utf-8"
    )
    writing.write_scoreboard(results)
    text = docs.read_text(encoding="utf-8")
    assert "- depth/pair-beats-five: not run yet" in text
    assert "two 3x3: 5 pixels" in text
    docs.write_text(f"<!-- claims: E99 -->\n{writing.END_MARKER}", encoding="utf-8")
    with pytest.raises(StorageError, match="expected 'table', 'ranks', an id of the catalogue"):
        writing.write_scoreboard(results)


def test_a_marker_without_its_end_is_named(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"{TABLE}\n", encoding="utf-8")
    with pytest.raises(StorageError, match="no end marker"):
        writing.write_scoreboard(tmp_path / "results")

"""Reports of results folders with invented accuracies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.report.factories import STUDY, make_results_folder
from vgg_ablate.analysis import summary
from vgg_ablate.records import Outcome, Record
from vgg_ablate.report import compare, markdown, write
from vgg_ablate.report.methods_text import render_methods
from vgg_ablate.report.state import list_data_facts


def test_a_written_report_passes_its_check(tmp_path: Path) -> None:
    write.write_report(make_results_folder(tmp_path / "pretend"))
    assert write.check_report(tmp_path / "pretend") == []


def test_stopped_runs_are_reported_with_what_a_repetition_reproduces(tmp_path: Path) -> None:
    report = summary.load_report(make_results_folder(tmp_path / "a", outcomes={("five", 2): Outcome.PRUNED}))
    (note,) = [note for note in markdown.build_notes(report) if "stopped early" in note]
    assert note.startswith("1 run was stopped early")
    assert "with several it depends on their order" in note
    finished = summary.load_report(make_results_folder(tmp_path / "b"))
    assert not [note for note in markdown.build_notes(finished) if "stopped early" in note]


def test_html_of_a_study_is_text_in_markdown(tmp_path: Path) -> None:
    payload = "<img src=x onerror=alert(1)>"
    text = STUDY.replace("Do pretend", f"{payload} Do pretend").replace("two 3x3", f"{payload} two 3x3")
    report = make_results_folder(tmp_path / "pretend", text=f"{text}answer: '{payload} no'\n")
    write.write_report(report)
    written = (report / "report.md").read_text(encoding="utf-8")
    assert written.count("&lt;img src=x") >= 3
    assert "<img" not in written


@pytest.mark.parametrize("name", ["runs.csv", "report.md", "table.tex"])
def test_an_edited_report_fails_its_check_with_file_and_line(tmp_path: Path, name: str) -> None:
    folder = make_results_folder(tmp_path / "pretend")
    write.write_report(folder)
    lines = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
    lines[2] = lines[2][:-1] + "!\n"
    (folder / name).write_text("".join(lines), encoding="utf-8")
    (difference,) = write.check_report(folder)
    assert difference.startswith(f"{folder / name}:3: expected ")


def test_a_check_asks_for_every_committed_file_and_not_for_the_page(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "pretend")
    files = write.build_files(write.write_report(folder))
    (folder / "report.html").unlink()
    assert write.check_report(folder) == []
    for name in files.keys() - {"report.html"}:
        (folder / name).unlink()
    assert sorted(write.check_report(folder)) == sorted(
        f"{folder / name}: file not found" for name in files.keys() - {"report.html"}
    )


def test_two_of_the_same_report_are_the_same_bytes(tmp_path: Path) -> None:
    one = write.build_files(write.write_report(make_results_folder(tmp_path / "a" / "pretend")))
    two = write.build_files(write.write_report(make_results_folder(tmp_path / "b" / "pretend")))
    assert one == two


def test_a_diverged_seed_is_shown_and_makes_its_claims_inconclusive(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "pretend", outcomes={("five", 2): Outcome.DIVERGED})
    report = write.write_report(folder)
    small, same, weights = report.verdicts
    assert (small.verdict, small.reason, small.n) == ("inconclusive", "five: seed 2 diverged", 4)
    assert same.verdict == "refuted"
    assert weights.verdict == "supported"
    assert "five (diverged 1/5)" in (folder / "report.md").read_text(encoding="utf-8")


def test_the_json_has_what_the_design_lists(tmp_path: Path) -> None:
    document = json.loads(write.serialize_report(summary.load_report(make_results_folder(tmp_path / "pretend"))))
    assert document["variants"][0].keys() >= {"name", "n", "mean", "sd", "params", "macs"}
    wanted = "id kind metric a b margin n mean sd ci_low ci_high p q verdict"
    assert document["claims"][0].keys() >= set(wanted.split())


def test_two_results_are_compared_by_variant(tmp_path: Path) -> None:
    reports = [
        summary.load_report(make_results_folder(tmp_path / name, provenance={"host": name}))
        for name in ("here", "there")
    ]
    comparison = compare.compare_reports(reports)
    assert [row.cells[0].to_text() for row in comparison.tables[0].rows] == ["base", "five", "wide"]
    assert comparison.differences == ("provenance.host: here here; there there",)
    claims = comparison.tables[1]
    assert [column.heading for column in claims.columns] == ["claim", "here", "a − b [95 %]", "there", "a − b [95 %]"]
    assert claims.rows[0].cells[2].to_text().startswith("−1.95 points"), "less error, as in each report"


def test_variants_of_one_net_are_compared_whatever_their_names(tmp_path: Path) -> None:
    other = STUDY.replace("name: pretend", "name: other").replace("  five:", "  pair5:").replace("b: five", "b: pair5")
    other = other.replace("a: five", "a: pair5").replace("digits", "cifar10")
    reports = [
        summary.load_report(make_results_folder(tmp_path / "pretend")),
        summary.load_report(
            make_results_folder(tmp_path / "other", lambda variant, seed: 0.5 + seed / 100, text=other)
        ),
    ]
    comparison = compare.compare_reports(reports)
    assert [row.cells[0].to_text() for row in comparison.tables[0].rows] == ["base", "five = pair5", "wide"]
    assert not [note for note in comparison.tables[0].notes if "Left out" in note]
    document = json.loads(compare.serialize_comparison(comparison))
    assert [variant["name"] for variant in document["variants"]] == ["base", "five = pair5", "wide"]


def test_nets_are_compared_in_the_notation_of_study_files(tmp_path: Path) -> None:
    other = STUDY.replace("name: pretend", "name: other").replace('stages: "', 'stages: "8 8 | ')
    folders = [make_results_folder(tmp_path / "pretend"), make_results_folder(tmp_path / "other", text=other)]
    differences = compare.compare_reports([summary.load_report(folder) for folder in folders]).differences
    (stages,) = [line for line in differences if line.startswith("arch.stages")]
    assert "; other 8 8 | " in stages
    assert "'" not in "".join(differences)


@pytest.mark.parametrize(("data", "known"), [("cifar10", True), ("digits", False)])
def test_the_second_interval_needs_a_test_set_that_seeds_share(tmp_path: Path, data: str, known: bool) -> None:
    right = {"base": 0.9, "five": 0.8, "wide": 0.85}

    def draw_correct(variant: str, seed: int) -> NDArray[np.bool_]:
        return np.random.default_rng([seed, len(variant)]).random(300) < right[variant]

    folder = make_results_folder(
        tmp_path / "pretend",
        lambda variant, seed: float(draw_correct(variant, seed).mean()),
        text=STUDY.replace("digits", data),
        correct=lambda variant, seed: np.packbits(draw_correct(variant, seed)).tobytes().hex(),
    )
    small, *_ = write.write_report(folder).verdicts
    assert (small.beyond is not None) == known
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert ("Beyond this test set" in text) == known
    assert ("The interval that decides is over seeds and test examples" in text) == known


def test_runs_in_two_precisions_are_noted(tmp_path: Path) -> None:
    def set_precision(record: Record, variant: str) -> Record:
        precision = "bf16" if variant == "wide" else "fp32"
        return record.model_copy(update={"environment": {**record.environment, "precision": precision}})

    report = summary.load_report(make_results_folder(tmp_path / "pretend", change=set_precision))
    notes = markdown.build_notes(report)
    assert ("precision", "bf16 and fp32") in markdown.list_provenance(report)
    assert "Runs were trained in bf16 and fp32." in render_methods(report)
    assert any(note.startswith("Runs were trained in the precisions bf16, fp32") for note in notes)


def test_runs_that_two_studies_share_are_not_compared_with_themselves(tmp_path: Path) -> None:
    """Studies of the same nets on three and on five seeds have three records in common."""
    fewer = (
        STUDY.replace("seeds: 5", "seeds: 3").replace("name: pretend", "name: fewer").replace("width: 2", "width: 3")
    )
    reports = [
        summary.load_report(make_results_folder(tmp_path / "pretend")),
        summary.load_report(make_results_folder(tmp_path / "fewer", text=fewer)),
    ]
    variants = compare.compare_reports(reports).tables[0]
    between = {row.cells[0].to_text(): row.cells[-1].to_text() for row in variants.rows}
    assert (between["base"], between["five"]) == ("same runs", "same runs")
    assert between["wide"].endswith("]")
    assert "the same records of base, five:" in variants.notes[-1]


def test_differences_between_studies_are_written_as_in_a_study_file(tmp_path: Path) -> None:
    other = STUDY.replace("name: pretend", "name: other").replace("epochs: 2", "epochs: 3, schedule: cosine")
    other = other.replace("image_size: 32}", "image_size: 32, limit: 900, augment: {flip: true}}")
    commands = [{"command": ["__main__.py", "run", f"studies/{name}.yaml"]} for name in ("pretend", "other")]
    reports = [
        summary.load_report(make_results_folder(tmp_path / "pretend", provenance=commands[0])),
        summary.load_report(make_results_folder(tmp_path / "other", text=other, provenance=commands[1])),
    ]
    differences = compare.compare_reports(reports).differences
    assert "data.limit: pretend none; other 900" in differences
    assert "data.augment.flip: pretend false; other true" in differences
    run = "python -m vgg_ablate run studies"
    assert f"provenance.command: pretend {run}/pretend.yaml; other {run}/other.yaml" in differences
    assert not [line for line in differences if "looks" in line or "[" in line]


def test_speeds_of_two_devices_are_not_compared(tmp_path: Path) -> None:
    def set_device(record: Record, variant: str) -> Record:
        device = "a GPU" if variant == "five" else "a CPU"
        return record.model_copy(update={"environment": {**record.environment, "device_name": device}})

    text = STUDY + "  - {id: quick, text: it is quicker, kind: better, a: base, b: five, metric: train_seconds}\n"
    *_, quick = summary.load_report(make_results_folder(tmp_path / "pretend", text=text, change=set_device)).verdicts
    assert (quick.verdict, quick.reason) == ("inconclusive", "measured on several devices: a CPU, a GPU")


@pytest.mark.parametrize(
    ("git", "shown"),
    [
        ({"commit": "c0ffee", "dirty": ""}, "commit c0ffee"),
        ({"commit": "c0ffee", "dirty": "d1ff"}, "commit c0ffee, changed (diff d1ff)"),
        ({}, "no checkout"),
    ],
)
def test_a_clean_checkout_is_not_called_changed(tmp_path: Path, git: dict[str, str], shown: str) -> None:
    report = summary.load_report(make_results_folder(tmp_path / "pretend", provenance={"git": git}))
    assert dict(markdown.list_provenance(report))["git"] == shown


def test_the_first_skipped_files_are_named(tmp_path: Path) -> None:
    names = ["train/a/1.png", "train/b/2.png", "train/b/3.png"]

    def skip(record: Record, variant: str) -> Record:
        assert record.tested is not None
        details = {"skipped_files": 5, "skipped_names": names}
        return record.model_copy(update={"tested": record.tested.model_copy(update={"details": details})})

    report = summary.load_report(make_results_folder(tmp_path / "pretend", change=skip))
    line = f"5 files skipped as unreadable: {', '.join(names)} and 2 more."
    assert list_data_facts(report)[-1] == line
    whole = summary.load_report(make_results_folder(tmp_path / "whole" / "pretend"))
    assert list_data_facts(whole)[-1] == "No files skipped as unreadable."

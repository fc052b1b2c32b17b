"""The head of a report: the generated answer, the author's answer, the state of training, and the table of claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.report.design_factories import DESIGNS, make_design_folder
from tests.report.factories import EXAMPLES, STUDY, make_results_folder
from vgg_ablate.analysis.summary import Report, load_report
from vgg_ablate.config.study import load
from vgg_ablate.formatting import table
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import Outcome, Record
from vgg_ablate.report import markdown, write
from vgg_ablate.report.head import ReportHead, build_head, render_head_text
from vgg_ablate.runs.results_dir import save_texts

HORIZONS = STUDY.replace("train: {epochs: 2}", "horizons: {train.epochs: [2, 4]}")
NAMES = ("base", "five", "wide")


def set_train_error(share: float) -> object:
    """Return a change of records that sets the train error to a share of the validation error."""

    def change(record: Record, variant: str) -> Record:
        assert record.tested is not None
        error = round(share * (1 - record.tested.val_accuracy) * EXAMPLES) / EXAMPLES
        return record.model_copy(update={"tested": record.tested.model_copy(update={"train_error": error})})

    return change


def build(folder: Path, **options: object) -> tuple[Report, ReportHead]:
    report = load_report(make_results_folder(folder / "pretend", **options))  # type: ignore[arg-type]
    return report, build_head(report)


def test_a_decided_claim_is_stated_with_its_numbers_and_one_sign(tmp_path: Path) -> None:
    report, head = build(tmp_path)
    first = "Two 3x3 beat one 5x5: 1.95 points (28 %) less error [1.47, 2.43]"
    assert head.answer.startswith(f'{first}; "twice the width changes nothing" is refuted: ')
    assert head.answer.endswith("5x5 needs fewer weights here (by count).")
    assert head.claims is not None
    small = head.claims.rows[0]
    assert [cell.to_text() for cell in small.cells[1:]] == [
        "base 5.11", "five 7.06", "−1.95 [−2.43, −1.47]", "supported"
    ]  # fmt: skip
    assert report.verdicts[0].mean > 0, "the verdict keeps its gain; only what is shown is a difference of errors"


def test_an_accuracy_is_shown_as_an_error(tmp_path: Path) -> None:
    texts = [STUDY, STUDY.replace("a: base, b: five}", "a: base, b: five, metric: test_accuracy}")]
    heads = [build(tmp_path / str(number), text=text)[1] for number, text in enumerate(texts)]
    first, second = (head.claims.rows[0].cells if head.claims else () for head in heads)
    assert [cell.to_text() for cell in first] == [cell.to_text() for cell in second]


def test_a_claim_without_a_difference_that_matters_is_counted(tmp_path: Path) -> None:
    text = STUDY.replace("kind: equivalent", "kind: worse").replace("margin: 1.0}", "margin: 0.5}")
    text = text.replace("seeds: 5", "seeds: 5\nsmallest_effect: 50")
    noise = np.random.default_rng(3).normal(0, 0.01, 50)
    _, head = build(tmp_path, accuracy=lambda name, seed: 0.9 + noise[5 * NAMES.index(name) + seed], text=text)
    assert "No difference of 50 points or more in any of 2 claims" in head.answer


def test_a_study_without_a_record_is_not_run_yet(tmp_path: Path) -> None:
    missing = frozenset((name, seed) for name in NAMES for seed in range(5))
    report, head = build(tmp_path, missing=missing)
    assert head.answer == "Not run yet."
    assert head.training == ""
    text = markdown.build_markdown(report)
    assert "missing" not in text
    assert text.count("not run yet") >= 4
    assert "seed" not in head.claims.rows[0].cells[4].to_text() if head.claims else False


def test_the_highest_recorded_level_is_shown_and_marked_and_decides_nothing(tmp_path: Path) -> None:
    missing = frozenset((name, seed) for name in NAMES for seed in range(5))
    report, head = build(tmp_path, missing=missing, text=HORIZONS)
    assert head.answer.startswith("So far, at 2 epochs (4 epochs decide): ")
    assert [row.name for row in report.rows] == ["base@2", "five@2", "wide@2"]
    assert {verdict.verdict for verdict in report.verdicts if not verdict.is_exact} == {"inconclusive"}
    assert report.shown_verdicts[0].verdict == "supported"
    assert head.claims is not None
    assert head.claims.caption.endswith("; 4 epochs decide and are not run yet")
    write.write_report(report.folder)
    assert write.check_report(report.folder) == []


def test_a_level_with_too_few_seeds_for_a_verdict_is_not_shown_yet(tmp_path: Path) -> None:
    missing = frozenset((name, seed) for name in NAMES for seed in range(2, 5))
    report, _ = build(tmp_path / "two", missing=missing, text=HORIZONS)
    assert report.level == 2
    report, _ = build(tmp_path / "three", missing=frozenset(("five", seed) for seed in range(3, 5)), text=HORIZONS)
    assert report.level == 4


@pytest.mark.parametrize(("share", "is_under_trained"), [(0.5, False), (0.9, True)])
def test_high_train_errors_are_called_under_trained(tmp_path: Path, share: float, is_under_trained: bool) -> None:
    _, head = build(tmp_path, accuracy=lambda name, seed: 0.7 + seed / 1000, change=set_train_error(share))
    assert (head.under_trained != "") == is_under_trained
    assert "1,500 images per epoch, 2 epochs, 47 steps of 64" in head.training
    assert "; error at chance level 90 %; no run at chance" in head.training


def test_low_train_errors_are_never_called_under_trained(tmp_path: Path) -> None:
    _, head = build(tmp_path, change=set_train_error(0.99))
    assert head.under_trained == "", "they are below 10 %"


def test_an_answer_is_flagged_when_a_verdict_changes_after_it_was_written(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "pretend", outcomes={("five", 2): Outcome.DIVERGED})
    study = tmp_path / "study.yaml"
    study.write_text(STUDY + "answer: It depends on the `width`.\n", encoding="utf-8")
    save_texts(load(study), folder)
    head = build_head(load_report(folder))
    assert (head.author_answer, head.author_warning) == ("It depends on the `width`.", "")
    saved = Manifest.read(folder)
    other = make_results_folder(tmp_path / "whole", text=study.read_text(encoding="utf-8"))
    Manifest.read(other).model_copy(update={"provenance": saved.provenance}).write(other)
    warning = "Verdicts have changed since this answer was written: small was inconclusive and is supported."
    assert build_head(load_report(other)).author_warning == warning
    assert f"> It depends on the `width`.\n\n*{warning}*" in markdown.build_markdown(load_report(other))
    study.write_text(STUDY + "answer: It does not.\n", encoding="utf-8")
    save_texts(load(study), other)
    assert build_head(load_report(other)).author_warning == "", "a new answer was written at the verdicts of now"


def test_texts_of_a_study_that_decides_otherwise_are_not_taken_over(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "pretend")
    study = tmp_path / "study.yaml"
    study.write_text(STUDY.replace("seeds: 5", "seeds: 6") + "answer: None.\n", encoding="utf-8")
    before = (folder / "study.yaml").read_bytes()
    save_texts(load(study), folder)
    assert (folder / "study.yaml").read_bytes() == before


def test_claims_can_be_selected_and_the_others_are_counted(tmp_path: Path) -> None:
    report, head = build(tmp_path, text=STUDY + "report: {claims: [same], label: 'tab:kernels'}\n")
    assert head.claims is not None
    assert len(head.claims.rows) == 1
    assert "2 more claims were judged; their numbers are below." in head.claims.notes
    assert r"\label{tab:kernels}" in table.render_latex(markdown.build_variant_tables(report)[0])


@pytest.mark.parametrize("kind", DESIGNS)
def test_a_design_without_claims_has_an_answer(tmp_path: Path, kind: str) -> None:
    head = build_head(load_report(make_design_folder(tmp_path / kind, kind)))
    assert head.claims is None
    assert any(word in head.answer for word in ("error", "effect"))
    assert head.answer.endswith(".")


def test_the_head_of_a_terminal_keeps_its_width(tmp_path: Path) -> None:
    _, head = build(tmp_path)
    assert max(map(len, render_head_text(head, 60).splitlines())) <= 60

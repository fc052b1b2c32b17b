"""Runs at chance level are counted, and never averaged, ranked or judged as if they had trained."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vgg_ablate
from tests.analysis.test_verdicts import make_claim, make_frame
from tests.report import design_factories
from tests.report.factories import make_results_folder
from vgg_ablate.analysis import frame_csv, summary
from vgg_ablate.analysis.decisions import judge_looks
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.variant_rows import VariantRow
from vgg_ablate.formatting import table
from vgg_ablate.records import Epoch, Outcome, Record, RecordStore
from vgg_ablate.report import compare, design_tables, markdown, model_card, write
from vgg_ablate.report.answer import describe_answer
from vgg_ablate.report.figures import cost_error, search

CHANCE = 0.104  # of 5,000 examples of ten classes; 0.1136 and more are above chance


def make_stalled(*cells: tuple[str, int]) -> Callable[[Record, str], Record]:
    """Give these runs the accuracies of a net that always predicts one class."""

    def change(record: Record, variant: str) -> Record:
        if (variant, record.run.seed) not in cells or record.tested is None:
            return record
        last = record.epochs[-1].model_copy(update={"val_accuracy": CHANCE})
        tested = record.tested.model_copy(update={"val_accuracy": CHANCE, "test_accuracy": 0.1})
        return record.model_copy(update={"epochs": (*record.epochs[:-1], last), "tested": tested})

    return change


def find_row(report: summary.Report, name: str) -> VariantRow:
    return next(row for row in report.rows if row.name == name)


def test_one_stalled_run_is_counted_and_left_out_of_the_mean(tmp_path: Path) -> None:
    whole = collect_by_seed(
        summary.load_report(make_results_folder(tmp_path / "whole" / "pretend")).frame, "test_error"
    )
    folder = make_results_folder(tmp_path / "pretend", change=make_stalled(("five", 3)))
    report = write.write_report(folder)
    row = find_row(report, "five")
    assert (row.n, row.training_state, row.stalled) == (4, "trained 4/5", (3,))
    assert row.error.mean == pytest.approx(np.mean([error for seed, error in whole["five"].items() if seed != 3]))
    assert row.to_base.n == 4
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert re.search(r"\| five \(trained 4/5\) \| kernel 5 \| [0-9.]+ ± [0-9.]+ \(4\) \|", text)
    assert "five: trained 4/5; stalled at chance level: seed 3. Their validation accuracy is not above 1/10" in text
    planned = next(cell for cell in report.results.manifest.planned if (cell.variant, cell.seed) == ("five", 0))
    mean = re.search(r"\| kernel 5 \| ([0-9.]+ ± [0-9.]+) \(4\) \|", text)
    assert mean is not None
    card = model_card.render_model_card(report.results, planned, [str(digit) for digit in range(10)])
    left_out = "Stalled at chance level, and left out of means: seed 3."
    assert f"Over 4 seeds of this variant: {mean[1]} %. {left_out}" in card


def test_a_claim_with_a_stalled_run_on_a_side_is_inconclusive(tmp_path: Path) -> None:
    report = summary.load_report(make_results_folder(tmp_path / "pretend", change=make_stalled(("five", 3))))
    small, same, weights = report.verdicts
    assert "inconclusive, because runs stayed at chance level (train longer, " in describe_answer(report)
    assert (small.verdict, small.reason) == ("inconclusive", "five: 1 of 5 runs stayed at chance level")
    assert small.n == 4
    assert (same.verdict, weights.verdict) == ("refuted", "supported"), "claims without five, and on exact costs"


@given(st.sets(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=5))
def test_a_verdict_on_a_mean_is_given_only_where_every_run_of_both_sides_trained(stalled: set[tuple[str, int]]) -> None:
    noise = np.random.default_rng(1).normal(0, 0.002, (3, 6))
    values = {name: [0.05 + 0.05 * place + float(one) for one in noise[place]] for place, name in enumerate("abc")}
    runs = make_frame(values)
    cells = zip(runs["variant"], runs["seed"], strict=True)
    runs["trained"] = pd.array([cell not in stalled for cell in cells], dtype="boolean")
    for a, b in ("ab", "ac", "bc"):
        (verdict,) = judge_looks([make_claim(a=a, b=b)], runs, range(6)).verdicts
        hit = {name: sum(name == variant for variant, _ in stalled) for name in (a, b)}
        assert (verdict.verdict == "inconclusive") == any(hit.values())
        reasons = [f"{name}: {count} of 6 runs stayed at chance level" for name, count in hit.items() if count]
        assert verdict.reason == "; ".join(reasons)


def test_a_variant_whose_runs_all_stalled_shows_no_mean(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "pretend", change=make_stalled(*(("five", seed) for seed in range(5))))
    report = write.write_report(folder)
    (comparison,) = markdown.build_variant_tables(report, ("variant", "n", "error", "difference"))
    (line,) = [line for line in comparison.rows if "five" in line.cells[0].to_text()]
    assert [cell.to_text() for cell in line.cells] == ["five (trained 0/5)", "0", "stalled 5/5", "–"]
    for face in (table.render_markdown, table.render_latex, table.render_html):
        assert "90.0" not in face(comparison), "the error of guessing is no result"
    (five,) = [one for one in json.loads(write.serialize_report(report))["variants"] if one["name"] == "five"]
    assert (five["mean"], five["trained"], five["stalled"], five["best"]) == (None, 0, 5, False)
    assert report.verdicts[0].reason == "five: 5 of 5 runs stayed at chance level"


def test_a_stalled_variant_is_never_bold_however_good_its_other_runs_are(tmp_path: Path) -> None:
    right = {"base": 0.90, "five": 0.89, "wide": 0.99}
    pretended = {
        (name, seed): value + 0.004 * np.sin(7 * seed + value) for name, value in right.items() for seed in range(5)
    }

    def report(name: str, *cells: tuple[str, int]) -> summary.Report:
        return summary.load_report(
            make_results_folder(
                tmp_path / name, lambda variant, seed: pretended[variant, seed], change=make_stalled(*cells)
            )
        )

    def bold(report: summary.Report) -> set[str]:
        return {row.name for row in report.rows if row.is_best}

    assert bold(report("whole")) == {"wide"}
    one = report("one", ("wide", 4))
    assert "wide" not in bold(one)
    assert "wide" not in [point.name for point in cost_error.collect_cost_points(one)]
    assert "wide" not in [row.name for row in design_tables.find_pareto_variants(one.rows)]
    every = report("every", *((name, 4) for name in right))
    assert bold(every) == set()


def test_the_rest_of_a_report_says_it_too(tmp_path: Path) -> None:
    reports = [
        summary.load_report(make_results_folder(tmp_path / "one", change=make_stalled(("five", 3)))),
        summary.load_report(make_results_folder(tmp_path / "two", change=make_stalled(("five", 0), ("five", 1)))),
    ]
    notes = compare.compare_reports(reports).tables[0].notes
    assert any("left out of n and of means: five (trained 4/5), five (trained 3/5)." in note for note in notes)
    page = write.build_files(reports[0])["report.html"]
    assert '<td class="left" data-value="stalled">stalled</td>' in page
    assert "Not drawn because runs stalled at chance level: five." in page


def test_a_proposal_that_stalled_is_no_best_proposal(tmp_path: Path) -> None:
    folder = design_factories.make_design_folder(tmp_path / "pretend", "search")
    whole = summary.load_report(folder)
    best = min(whole.proposed, key=lambda row: row.metrics["val_error"].mean).name
    keys = list(whole.frame.loc[whole.frame["variant"] == best, "key"])
    store = RecordStore(folder / "records")
    record = store.get(keys[0])
    store.get_path(record.key).unlink()
    store.put(make_stalled((best, record.run.seed))(record, best))
    report = summary.load_report(folder)
    assert best not in [point.name for point in search.collect_proposal_points(report)]
    assert best not in [row.name for row in design_tables.find_pareto_variants(report.proposed, metric="val_error")]
    (proposal,) = [one for one in search.collect_proposals(report) if one.name == best]
    assert np.isnan(proposal.error)


def test_the_frame_says_of_every_run_whether_it_trained(tmp_path: Path) -> None:
    folder = make_results_folder(
        tmp_path / "pretend",
        change=make_stalled(("five", 3)),
        outcomes={("five", 2): Outcome.DIVERGED, ("wide", 1): Outcome.PRUNED},
        missing=frozenset({("wide", 0)}),
    )
    trained = vgg_ablate.frame(folder).set_index(["variant", "seed"])["trained"]
    assert trained.dtype == "boolean"
    assert bool(trained["base"].all())
    assert trained["five"].to_dict() == {0: True, 1: True, 2: False, 3: False, 4: True}
    assert trained["wide"].isna().to_dict() == {0: True, 1: True, 2: False, 3: False, 4: False}
    report = summary.load_report(folder)
    assert "five (diverged 1/5, trained 3/5)" in markdown.build_markdown(report)
    (tmp_path / "runs.csv").write_text(frame_csv.serialize_frame(report.frame), encoding="utf-8")
    pd.testing.assert_frame_equal(frame_csv.read_csv(tmp_path / "runs.csv"), report.frame, check_exact=True)


def test_a_record_of_before_says_nothing_of_its_training(tmp_path: Path) -> None:
    def older(record: Record, variant: str) -> Record:
        fields = Epoch.model_fields.keys() - {"cpu_seconds", "val_examples"}
        epochs = tuple(Epoch(**{name: getattr(epoch, name) for name in fields}) for epoch in record.epochs)
        return record.model_copy(update={"epochs": epochs})

    folder = make_results_folder(tmp_path / "pretend", change=older)
    report = summary.load_report(folder)
    assert all(record.is_stalled is None for record in RecordStore(folder / "records"))
    assert report.frame["trained"].isna().all()
    assert [row.n for row in report.rows] == [5, 5, 5]

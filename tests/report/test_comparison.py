"""The comparison of variants: its columns, its groups, its ticks, and how it fits a narrow terminal."""

from __future__ import annotations

import io
from math import isnan
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.report.design_factories import make_design_folder
from tests.report.factories import STUDY, make_results_folder
from vgg_ablate.analysis.summary import load_report
from vgg_ablate.analysis.variant_rows import rank_groups
from vgg_ablate.config.study_file import ReportColumn
from vgg_ablate.errors import SpecError
from vgg_ablate.formatting import table
from vgg_ablate.report import markdown
from vgg_ablate.report.comparison import COLUMNS


def test_every_column_that_a_study_can_select_exists() -> None:
    assert {entry.name for entry in COLUMNS} == set(get_args(ReportColumn))


def test_columns_are_selected_by_the_study_and_by_the_caller(tmp_path: Path) -> None:
    text = STUDY + "report: {columns: [variant, params, error]}\n"
    report = load_report(make_results_folder(tmp_path / "pretend", text=text))
    selected = markdown.build_variant_tables(report)[0]
    assert [column.heading for column in selected.columns] == ["variant", "params", "test error, % (n)"]
    chosen = markdown.build_variant_tables(report, ("macs", "variant"))[0]
    assert [column.heading for column in chosen.columns] == ["MACs", "variant"]


@pytest.mark.parametrize("setting", ["columns: [eror]", "claims: [smal]", "columns: [error, error]"])
def test_a_wrong_selection_is_an_error_with_its_location(tmp_path: Path, setting: str) -> None:
    with pytest.raises(SpecError) as error:
        make_results_folder(tmp_path / "pretend", text=f"{STUDY}report: {{{setting}}}\n")
    assert "report." in str(error.value)
    assert "study.yaml:15:" in str(error.value)


def test_rows_are_sorted_by_error_and_say_what_changes(tmp_path: Path) -> None:
    report = load_report(make_results_folder(tmp_path / "pretend", lambda name, seed: 0.9 - len(name) / 1e3 * seed))
    rows = markdown.build_variant_tables(report, ("variant", "changes", "percent", "params_ratio"))[0].rows
    errors = {row.name: row.error.mean for row in report.rows}
    assert [row.cells[0].to_text() for row in rows] == sorted(errors, key=lambda name: errors[name])
    base = next(row for row in rows if row.style == "base")
    assert [cell.to_text() for cell in base.cells] == ["base", "–", "–", "1.00"]


@given(st.lists(st.floats(1, 50), min_size=2, max_size=6), st.integers(3, 6), st.floats(0.01, 5))
def test_groups_are_numbered_from_the_best_and_nothing_is_marked_where_all_are_alike(
    means: list[float], seeds: int, spread: float
) -> None:
    names = [f"v{index}" for index in range(len(means))]
    table = {
        name: {seed: mean + spread * ((7 * seed + 3 * index) % 5 - 2) for seed in range(seeds)}
        for index, (name, mean) in enumerate(zip(names, means, strict=True))
    }
    groups = rank_groups(table)
    assert groups.keys() in ({}.keys(), table.keys())
    if groups:
        assert set(groups.values()) == set(range(1, max(groups.values()) + 1))
        assert max(groups.values()) > 1
        averages = {name: sum(values.values()) / seeds for name, values in table.items()}
        assert groups[min(averages, key=lambda name: averages[name])] == 1


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [("leave_one_out", "– head", ["✓", "✓", "✗"]), ("cumulative", "+ kernels", ["✓", "✓", "✗"])],
)
def test_an_ablation_has_ticks_in_all_formats(tmp_path: Path, kind: str, name: str, expected: list[str]) -> None:
    report = load_report(make_design_folder(tmp_path / kind, kind))
    comparison = markdown.build_variant_tables(report)[0]
    at = [column.heading for column in comparison.columns].index("variant")
    row = next(row for row in comparison.rows if row.cells[at].to_text() == name)
    assert [cell.to_text() for cell in row.cells[at + 1 : at + 4]] == expected
    assert "| ✓ | ✓ | ✗ |" in table.render_markdown(comparison)
    assert r"$\checkmark$ & $\checkmark$ & $\times$" in table.render_latex(comparison)
    assert ">✓</td>" in table.render_html(comparison)


@pytest.mark.parametrize(
    ("kind", "width"),
    [("factorial", 80), ("leave_one_out", 80), ("cumulative", 100), ("search", 80), ("search", 160)],
)
def test_no_number_is_broken_on_a_narrow_terminal(tmp_path: Path, kind: str, width: int) -> None:
    report = load_report(make_design_folder(tmp_path / kind, kind))
    fitted = table.fit_to_width(markdown.build_variant_tables(report)[0], width)
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table.render_terminal(fitted, width))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    for row in fitted.rows:
        for column, cell in zip(fitted.columns, row.cells, strict=False):
            if column.align == "right" and not column.wraps:
                assert cell.to_text() in text


def test_no_time_is_shown_where_a_run_was_disturbed(tmp_path: Path) -> None:
    report = load_report(make_results_folder(tmp_path / "pretend"))
    assert "images/s" in [column.heading for column in markdown.build_variant_tables(report)[0].columns]
    assert not any(isnan(row.times["images_per_second"].median) for row in report.rows)

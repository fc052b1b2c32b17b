"""One table model and its four renderings."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from math import nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.factories import make_results_folder
from vgg_ablate.analysis import summary
from vgg_ablate.formatting import numbers, table
from vgg_ablate.formatting.cells import CountCell, DifferenceCell, MeanCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.records import Outcome
from vgg_ablate.report import markdown

GUIDE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "paper-table.md"
COMMITTED = sorted((Path(__file__).parent.parent.parent / "results").glob("*/table.tex"))
SAMPLE = Table(
    "sample",
    "A 5 % table & more",
    (Column("variant", "left"), Column("error, %"), Column("Δ"), Column("n")),
    (
        TableRow((TextCell("base_1"), MeanCell(1.23456, 0.5, 5), TextCell("base"), CountCell(5)), "base"),
        TableRow((TextCell("arch.norm"),), "block"),
        TableRow(
            (TextCell("a|b<c>"), MeanCell(1.5, nan, 1), DifferenceCell(0.25, 0.1, 5, 0.1, 0.4), CountCell(138_357_544)),
            "",
            frozenset({1}),
        ),
    ),
    ("A note on 100 % of it.",),
)


def test_markdown_has_one_line_a_row_and_escapes_bars() -> None:
    lines = table.render_markdown(SAMPLE).splitlines()
    assert lines[2] == "| variant | error, % | Δ | n |"
    assert {line.replace("\\|", "").count("|") for line in lines[2:7]} == {5}
    assert "**1.50**" in lines[6]


def test_latex_has_a_cell_for_every_column_and_no_bare_marks(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "pretend", outcomes={("five", 2): Outcome.DIVERGED})
    for sample in (SAMPLE, *markdown.build_tables(summary.load_report(folder))):
        text = table.render_latex(sample)
        body = text.split("\\midrule", 1)[1].split("\\bottomrule")[0]
        for line in body.strip().splitlines():
            if line.endswith("\\\\") and "multicolumn" not in line:
                assert len(re.findall(r"(?<!\\)&", line)) == len(sample.columns) - 1
        assert not re.search(r"(?<!\\)[%#_]", text.split("\n", 1)[1].replace("{!}{%\n", ""))
        assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")
        assert text.isascii()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    tables = [SAMPLE, *markdown.build_tables(summary.load_report(make_results_folder(tmp_path / "pretend")))]
    compile_latex([table.render_latex(sample) for sample in tables], tmp_path)


def test_sentences_are_broken_into_lines_and_names_are_not() -> None:
    name, sentence = "kernel=three+norm=batch+width=2", "a variant is better than another one"
    columns = (Column("a", "left"), Column("b", "left"))
    text = table.render_latex(Table("t", "T", columns, (TableRow((TextCell(name), TextCell(sentence))),)))
    assert f"\n{name} & \\parbox[t]{{12em}}{{\\raggedright {sentence}\\strut}} \\\\\n" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.skipif(not COMMITTED, reason="no study is recorded")
def test_the_committed_tables_compile(tmp_path: Path) -> None:
    compile_latex([path.read_text(encoding="utf-8") + r"\clearpage" for path in COMMITTED], tmp_path)


def find_packages() -> str:
    """Return the line of the guide that loads the packages."""
    return next(line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith(r"\usepackage"))


def test_the_guide_loads_the_packages_that_a_table_asks_for() -> None:
    assert table.render_latex(SAMPLE).splitlines()[0] == f"% {find_packages()}"


def compile_latex(tables: Sequence[str], tmp_path: Path) -> None:
    """Compile all tables as one document, without an error and without a line that is too wide."""
    document = [r"\documentclass{article}", find_packages(), r"\begin{document}"]
    document += [*tables, r"\end{document}"]
    (tmp_path / "report.tex").write_text("\n".join(document), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.values: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag == "td":
            self.values.append(dict(attrs).get("data-value"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_balanced_and_carries_numbers_to_sort_by() -> None:
    cells = _Cells()
    cells.feed(table.render_html(SAMPLE))
    assert not cells.open
    assert "1.23456" in cells.values
    assert "<c>" not in table.render_html(SAMPLE)


def test_the_terminal_shows_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    table.print_tables([SAMPLE], width=80)
    printed = capsys.readouterr().out
    assert "base_1" in printed
    assert "138.4 M" in printed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10.00 k"),
        (138_357_544, "138.4 M"),
        (999_960, "1.000 M"),
        (15_470_314_496, "15.47 G"),
        (-123_456, "−123.5 k"),
    ],
)
def test_counts_have_four_digits_and_a_unit(value: int, text: str) -> None:
    assert numbers.format_count(value) == text


def test_a_mean_has_two_digits_of_its_standard_error() -> None:
    assert numbers.format_mean(12.345678, 0.5, 25) == "12.35 ± 0.50"
    assert numbers.format_mean(12.345678, 12.0, 4) == "12.3 ± 12.0"
    assert numbers.format_mean(12.345678, nan, 1) == "12.35"
    assert numbers.format_mean(nan, nan, 0) == "–"


@pytest.mark.parametrize(
    ("low", "high", "se", "text"),
    [
        (-0.77, -0.0047, 0.138, "[−0.770, −0.005]"),
        (-0.77, 0.0, 0.138, "[−0.77, 0.00]"),
        (0.2, 3.1, 0.5, "[0.20, 3.10]"),
        (1e-9, 3.1, 0.5, "[0.00, 3.10]"),
        (nan, nan, 0.5, "[–, –]"),
    ],
)
def test_an_edge_beside_zero_is_not_written_as_zero(low: float, high: float, se: float, text: str) -> None:
    assert numbers.format_interval(low, high, se) == text


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_a_number_reads_back_to_what_was_rounded(value: float, places: int) -> None:
    text = numbers.format_number(value, places).replace(",", "").replace("−", "-")
    assert float(text) == pytest.approx(round(value, places))
    assert text.strip("-0.") or not text.startswith("-")

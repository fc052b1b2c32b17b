"""One table model and its five renderings: terminal, Markdown, CSV, LaTeX and HTML.

A cell holds unrounded numbers and knows how they are shown. So the CSV file has every digit, and all renderings of one
table agree.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan, sqrt
from typing import Literal

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

from vgg_ablate.formatting import numbers

RawValue = str | int | float | None
RowStyle = Literal["", "base", "block"]  # "block": a heading over the rows below it

_FORMATTERS: Mapping[str, Callable[[float], str]] = {
    "rate": numbers.format_rate,
    "p": numbers.format_p_value,
    "percentage": numbers.format_percentage,
    "plain": numbers.format_compact,
    "fixed": numbers.format_fixed,
    "seconds": numbers.format_seconds,
}


@dataclass(frozen=True)
class TextCell:
    """Text, with an optional link in HTML."""

    text: str
    link: str = ""

    def to_text(self) -> str:
        """Return the text."""
        return self.text

    def raw(self) -> dict[str, RawValue]:
        """Return the text as the cell's only CSV value."""
        return {"": self.text}


@dataclass(frozen=True)
class MeanCell:
    """A mean and its standard deviation over `n` seeds."""

    mean: float
    sd: float
    n: int

    def to_text(self) -> str:
        """Return `12.34 ± 0.56`."""
        return numbers.format_mean(self.mean, self.sd, self.n)

    def raw(self) -> dict[str, RawValue]:
        """Return the CSV values `<column>_mean` and `<column>_sd`."""
        return {"mean": self.mean, "sd": self.sd}


@dataclass(frozen=True)
class DifferenceCell:
    """A mean difference over `n` seeds, the standard deviation of the differences, and the confidence interval."""

    mean: float
    sd: float
    n: int
    low: float
    high: float

    def to_text(self) -> str:
        """Return `+1.23 [0.12, 2.34]`."""
        se = self.sd / sqrt(self.n) if self.n > 1 else nan
        return numbers.format_difference(self.mean, self.low, self.high, se)

    def raw(self) -> dict[str, RawValue]:
        """Return the CSV values `<column>`, `<column>_low` and `<column>_high`."""
        return {"": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class CountCell:
    """A whole number, such as params or MACs; None where it is unknown."""

    value: int | None

    def to_text(self) -> str:
        """Return `138.4 M`, or a dash."""
        return numbers.DASH if self.value is None else numbers.format_count(self.value)

    def raw(self) -> dict[str, RawValue]:
        """Return the number as the cell's only CSV value."""
        return {"": self.value}


@dataclass(frozen=True)
class QuantityCell:
    """A number and the way to show it."""

    value: float
    how: Literal["rate", "p", "percentage", "plain", "fixed", "seconds"]
    link: str = ""  # in HTML

    def to_text(self) -> str:
        """Return the formatted number."""
        return _FORMATTERS[self.how](self.value)

    def raw(self) -> dict[str, RawValue]:
        """Return the number as the cell's only CSV value."""
        return {"": self.value}


@dataclass(frozen=True)
class RangeCell:
    """The median, the smallest and the largest value over runs; all are NaN where there is no run."""

    median: float
    low: float
    high: float
    how: Literal["rate", "seconds"]

    def to_text(self) -> str:
        """Return `2,310 [2,250, 2,400]`, or the median alone where the three look the same."""
        median, low, high = map(_FORMATTERS[self.how], (self.median, self.low, self.high))
        return median if median == low == high else f"{median} [{low}, {high}]"

    def raw(self) -> dict[str, RawValue]:
        """Return the CSV values `<column>`, `<column>_low` and `<column>_high`."""
        return {"": self.median, "low": self.low, "high": self.high}


TableCell = TextCell | MeanCell | DifferenceCell | CountCell | QuantityCell | RangeCell


@dataclass(frozen=True)
class Column:
    """A column: its heading for readers and its name in CSV files."""

    heading: str
    name: str
    align: Literal["left", "right"] = "right"


@dataclass(frozen=True)
class TableRow:
    """A row of cells, one per column; a row of style "block" has one cell, its heading."""

    cells: tuple[TableCell, ...]
    style: RowStyle = ""
    bold: frozenset[int] = frozenset()  # indices of cells


@dataclass(frozen=True)
class Table:
    """A table with its caption and its notes. `name` is an identifier: the LaTeX label and the HTML id."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = field(default=())


def render_markdown(table: Table) -> str:
    """Render a GitHub-flavoured Markdown table: the base and block headings in italics, notes below it."""
    lines = [
        f"**{_escape_markdown(table.caption)}**",
        "",
        "| " + " | ".join(_escape_markdown(column.heading) for column in table.columns) + " |",
        "|" + "|".join("---:" if column.align == "right" else ":---" for column in table.columns) + "|",
    ]
    for row in table.rows:
        texts = [_escape_markdown(text) for text in _cell_texts(row, table)]
        if row.style == "block":
            texts[0] = f"*{texts[0]}*"
        elif row.style == "base":
            texts[0] = f"_{texts[0]}_"
        texts = [f"**{text}**" if index in row.bold else text for index, text in enumerate(texts)]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join([*lines, "", *(f"<sub>{_escape_markdown(note)}</sub>  " for note in table.notes)]).rstrip() + "\n"


def render_csv(table: Table) -> str:
    """Render CSV with unrounded numbers, one or more CSV columns per cell, and without block headings."""
    records = [_csv_record(row, table) for row in table.rows if row.style != "block"]
    # Cells of one column may differ in kind (a mean, or text where there is none): the header is the union of names.
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _full_precision(record.get(name)) for name in names} for record in records)
    return text.getvalue()


def render_latex(table: Table) -> str:
    """Render a booktabs table that shrinks to the line width. It needs booktabs, graphicx and xcolor."""
    alignment = "".join("r" if column.align == "right" else "l" for column in table.columns)
    heading = " & ".join(_escape_latex(column.heading) for column in table.columns)
    lines = [
        "% \\usepackage{booktabs,graphicx,xcolor}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_escape_latex(table.caption)}}}",
        f"\\label{{tab:{table.name}}}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{{alignment}}}",
        "\\toprule",
        f"{heading} \\\\",
        "\\midrule",
        *(_latex_row(row, table) for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}}",
        *(["\\par\\smallskip", "{\\footnotesize\\raggedright"] if table.notes else []),
        *(f"{_escape_latex(note)}\\par" for note in table.notes),
        *(["}"] if table.notes else []),
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def render_html(table: Table) -> str:
    """Render a `<table>`; the `data-value` of a cell is the number that the report page sorts by."""
    lines = [f'<table id="{html.escape(table.name)}">', f"<caption>{_escape_html(table.caption)}</caption>"]
    lines += ["<thead><tr>"]
    lines += [f'<th scope="col" class="{column.align}">{_escape_html(column.heading)}</th>' for column in table.columns]
    lines += ["</tr></thead>", "<tbody>"]
    lines += [_html_row(row, table) for row in table.rows]
    lines += ["</tbody>"]
    if table.notes:
        notes = "".join(f"<p>{_escape_html(note)}</p>" for note in table.notes)
        lines += [f'<tfoot><tr><td colspan="{len(table.columns)}">{notes}</td></tr></tfoot>']
    return "\n".join([*lines, "</table>"]) + "\n"


def render_terminal(table: Table) -> RichTable:
    """Render for a rich console, with the base dimmed."""
    rich_table = RichTable(title=table.caption, caption="\n".join(table.notes) or None, title_justify="left")
    rich_table.caption_justify = "left"
    for column in table.columns:
        rich_table.add_column(column.heading, justify=column.align, overflow="fold")
    for row in table.rows:
        texts = _cell_texts(row, table)
        cells = [RichText(text, style="bold" if index in row.bold else "") for index, text in enumerate(texts)]
        rich_table.add_row(*cells, style={"base": "dim", "block": "italic"}.get(row.style))
    return rich_table


def print_tables(tables: Sequence[Table], *, width: int | None = None) -> None:
    """Print tables to stdout, coloured on a terminal and plain when piped. `width` is in characters."""
    console = Console(width=width, highlight=False)
    if width is None and not console.is_terminal:
        # rich assumes 80 columns for a pipe and would break the cells of most of our tables.
        console = Console(width=160, highlight=False)
    for table in tables:
        console.print(render_terminal(table))


def _cell_texts(row: TableRow, table: Table) -> list[str]:
    texts = [cell.to_text() for cell in row.cells]
    return texts + [""] * (len(table.columns) - len(texts))


def _csv_record(row: TableRow, table: Table) -> dict[str, RawValue]:
    return {
        "_".join(part for part in (column.name, suffix) if part): value
        for column, cell in zip(table.columns, row.cells, strict=True)
        for suffix, value in cell.raw().items()
    }


def _full_precision(value: RawValue) -> str:
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def _escape_markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;").replace("\n", " ")


_LATEX: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "∞": r"$\infty$",
    "ω": r"$\omega$",
    "²": r"$^2$",
    "–": "--",
    "−": r"$-$",
    "→": r"$\to$",
    "·": r"$\cdot$",
    "≤": r"$\le$",
}


# A long left-aligned cell becomes a paragraph of 12 em, unless one of its words is too long for a line of it: names of
# variants cannot be hyphenated, and LaTeX would print them over the next column.
_MAX_LINE_LENGTH, _MAX_WORD_LENGTH = 28, 18
_PARAGRAPH = r"\parbox[t]{12em}{\raggedright %s\strut}"


def _needs_paragraph(text: str) -> bool:
    return len(text) > _MAX_LINE_LENGTH and max(map(len, text.split())) <= _MAX_WORD_LENGTH


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(mark, mark) for mark in text.replace("\n", " "))


def _latex_row(row: TableRow, table: Table) -> str:
    if row.style == "block":
        heading = _escape_latex(row.cells[0].to_text())
        return f"\\midrule\n\\multicolumn{{{len(table.columns)}}}{{l}}{{\\emph{{{heading}}}}} \\\\"
    texts = [
        _PARAGRAPH % _escape_latex(text) if column.align == "left" and _needs_paragraph(text) else _escape_latex(text)
        for text, column in zip(_cell_texts(row, table), table.columns, strict=True)
    ]
    texts = [f"\\textbf{{{text}}}" if index in row.bold else text for index, text in enumerate(texts)]
    if row.style == "base":
        texts = [f"\\textcolor{{gray}}{{{text}}}" for text in texts]
    return " & ".join(texts) + r" \\"


def _escape_html(text: str) -> str:
    return html.escape(text, quote=False)


def _html_row(row: TableRow, table: Table) -> str:
    if row.style == "block":
        heading = _escape_html(row.cells[0].to_text())
        return f'<tr class="block"><th colspan="{len(table.columns)}" scope="rowgroup">{heading}</th></tr>'
    cells = []
    for index, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
        text = _html_cell(cell)
        text = f"<b>{text}</b>" if index in row.bold else text
        value = html.escape(_sort_value(next(iter(cell.raw().values()))))
        cells.append(f'<td class="{column.align}" data-value="{value}">{text}</td>')
    style = ' class="base"' if row.style == "base" else ""
    return f"<tr{style}>{''.join(cells)}</tr>"


def _sort_value(value: RawValue) -> str:
    """Return twelve digits: the last ones differ between machines and numpy versions, and the page must not."""
    return f"{value:.12g}" if isinstance(value, float) and not isnan(value) else _full_precision(value)


def _html_cell(cell: TableCell) -> str:
    text, link = _escape_html(cell.to_text()), cell.link if isinstance(cell, TextCell | QuantityCell) else ""
    return f'<a href="{html.escape(link)}">{text}</a>' if link else text

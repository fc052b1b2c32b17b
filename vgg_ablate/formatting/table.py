"""One table model, and its five faces: terminal, Markdown, CSV, LaTeX, HTML.

A cell is a value that knows how it is shown and which full-precision numbers it holds, so that the CSV file is never a
copy of rounded text.
"""

from __future__ import annotations

import csv as csv_format
import html as html_format
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, sqrt
from typing import Literal

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

from vgg_ablate.formatting import numbers

RawValue = str | int | float | None
RowStyle = Literal["", "base", "block"]  # of a row; a block row is a heading over the rows below it


@dataclass(frozen=True)
class TextCell:
    """Text."""

    text: str
    link: str = ""  # of the HTML face

    def to_text(self) -> str:
        """As it is."""
        return self.text

    def raw(self) -> dict[str, RawValue]:
        """As it is."""
        return {"": self.text}


@dataclass(frozen=True)
class MeanCell:
    """A mean over seeds, with its standard deviation."""

    mean: float
    sd: float
    n: int

    def to_text(self) -> str:
        """12.34 ± 0.56."""
        return numbers.format_mean(self.mean, self.sd, self.n)

    def raw(self) -> dict[str, RawValue]:
        """mean and sd."""
        return {"mean": self.mean, "sd": self.sd}


@dataclass(frozen=True)
class DifferenceCell:
    """A difference with its interval; `sd` is that of the differences, over `n` seeds."""

    mean: float
    sd: float
    n: int
    low: float
    high: float

    def to_text(self) -> str:
        """+1.23 [0.12, 2.34]."""
        return numbers.format_difference(
            self.mean, self.low, self.high, self.sd / sqrt(self.n) if self.n > 1 else float("nan")
        )

    def raw(self) -> dict[str, RawValue]:
        """The difference and the ends of its interval."""
        return {"": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class CountCell:
    """A whole number such as params or macs; None: unknown."""

    value: int | None

    def to_text(self) -> str:
        """138.4 M."""
        return numbers.DASH if self.value is None else numbers.format_count(self.value)

    def raw(self) -> dict[str, RawValue]:
        """In full."""
        return {"": self.value}


@dataclass(frozen=True)
class QuantityCell:
    """Any other number, with the way to show it."""

    value: float
    how: Literal["rate", "p", "percentage", "plain", "fixed", "seconds"]
    link: str = ""  # of the HTML face

    def to_text(self) -> str:
        """By its kind."""
        show = {
            "rate": numbers.format_rate,
            "p": numbers.format_p_value,
            "percentage": numbers.format_percentage,
            "plain": numbers.format_compact,
            "fixed": numbers.format_fixed,
            "seconds": numbers.format_seconds,
        }[self.how]
        return show(self.value)

    def raw(self) -> dict[str, RawValue]:
        """In full."""
        return {"": self.value}


@dataclass(frozen=True)
class RangeCell:
    """A median over runs with the smallest and the largest value; a dash without a run."""

    median: float
    low: float
    high: float
    how: Literal["rate", "seconds"]

    def to_text(self) -> str:
        """2,310 [2,250, 2,400]; the median alone where all are shown as it is."""
        show = {"rate": numbers.format_rate, "seconds": numbers.format_seconds}[self.how]
        median, low, high = show(self.median), show(self.low), show(self.high)
        return median if median == low == high else f"{median} [{low}, {high}]"

    def raw(self) -> dict[str, RawValue]:
        """In full."""
        return {"": self.median, "low": self.low, "high": self.high}


TableCell = TextCell | MeanCell | DifferenceCell | CountCell | QuantityCell | RangeCell


@dataclass(frozen=True)
class Column:
    """A heading, and the name that its numbers have in CSV."""

    heading: str
    name: str
    align: Literal["left", "right"] = "right"


@dataclass(frozen=True)
class TableRow:
    """One row; `bold` are indices of its cells. A block row has one cell, its heading."""

    cells: tuple[TableCell, ...]
    style: RowStyle = ""
    bold: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Table:
    """What every face shows."""

    name: str  # a word: the LaTeX label
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = field(default=())


def render_markdown(table: Table) -> str:
    """GitHub's tables. Bold is bold; the base is in italics, a block's heading too."""
    lines = [
        f"**{_md(table.caption)}**",
        "",
        "| " + " | ".join(_md(column.heading) for column in table.columns) + " |",
        "|" + "|".join("---:" if column.align == "right" else ":---" for column in table.columns) + "|",
    ]
    for row in table.rows:
        shown = [_md(text) for text in _shown(row, table)]
        if row.style == "block":
            shown[0] = f"*{shown[0]}*"
        elif row.style == "base":
            shown[0] = f"_{shown[0]}_"
        shown = [f"**{text}**" if index in row.bold else text for index, text in enumerate(shown)]
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join([*lines, "", *(f"<sub>{_md(note)}</sub>  " for note in table.notes)]).rstrip() + "\n"


def render_csv(table: Table) -> str:
    """Every number in full; a mean becomes `<name>_mean` and `<name>_sd`. Block headings are left out."""
    records = [_record(row, table) for row in table.rows if row.style != "block"]
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv_format.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _full(record.get(name)) for name in names} for record in records)
    return text.getvalue()


def render_latex(table: Table) -> str:
    """A booktabs table, made smaller where it is wider than the line. Needs booktabs, graphicx and xcolor."""
    alignment = "".join("r" if column.align == "right" else "l" for column in table.columns)
    heading = " & ".join(_tex(column.heading) for column in table.columns)
    lines = [
        "% \\usepackage{booktabs,graphicx,xcolor}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_tex(table.caption)}}}",
        f"\\label{{tab:{table.name}}}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{{alignment}}}",
        "\\toprule",
        f"{heading} \\\\",
        "\\midrule",
        *(_tex_row(row, table) for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}}",
        *(["\\par\\smallskip", "{\\footnotesize\\raggedright"] if table.notes else []),
        *(f"{_tex(note)}\\par" for note in table.notes),
        *(["}"] if table.notes else []),
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def render_html(table: Table) -> str:
    """A <table> whose cells carry their number in `data-value`, for sorting."""
    lines = [f'<table id="{_attribute(table.name)}">', f"<caption>{_escaped(table.caption)}</caption>", "<thead><tr>"]
    lines += [f'<th scope="col" class="{column.align}">{_escaped(column.heading)}</th>' for column in table.columns]
    lines += ["</tr></thead>", "<tbody>"]
    lines += [_html_row(row, table) for row in table.rows]
    lines += ["</tbody>"]
    if table.notes:
        notes = "".join(f"<p>{_escaped(note)}</p>" for note in table.notes)
        lines += [f'<tfoot><tr><td colspan="{len(table.columns)}">{notes}</td></tr></tfoot>']
    return "\n".join([*lines, "</table>"]) + "\n"


def render_terminal(table: Table) -> RichTable:
    """For a rich console: the base is dim, the best is bold."""
    face = RichTable(title=table.caption, caption="\n".join(table.notes) or None, title_justify="left")
    face.caption_justify = "left"
    for column in table.columns:
        face.add_column(column.heading, justify=column.align, overflow="fold")
    for row in table.rows:
        shown = _shown(row, table)
        cells = [RichText(text, style="bold" if index in row.bold else "") for index, text in enumerate(shown)]
        face.add_row(*cells, style={"base": "dim", "block": "italic"}.get(row.style))
    return face


def print_tables(tables: Sequence[Table], *, width: int | None = None) -> None:
    """The tables on stdout: in colour on a terminal, plain when piped."""
    console = Console(width=width, highlight=False)
    if width is None and not console.is_terminal:
        console = Console(width=160, highlight=False)
    for table in tables:
        console.print(render_terminal(table))


def _shown(row: TableRow, table: Table) -> list[str]:
    texts = [cell.to_text() for cell in row.cells]
    return texts + [""] * (len(table.columns) - len(texts))


def _record(row: TableRow, table: Table) -> dict[str, RawValue]:
    return {
        "_".join(part for part in (column.name, part) if part): value
        for column, cell in zip(table.columns, row.cells, strict=True)
        for part, value in cell.raw().items()
    }


def _full(value: RawValue) -> str:
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def _md(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;").replace("\n", " ")


_TEX: Mapping[str, str] = {
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


_LONG, _WORD = 28, 18  # letters of a cell that stays on one line, and of a word that fits into a paragraph of 12 em
_PARAGRAPH = r"\parbox[t]{12em}{\raggedright %s\strut}"


def _is_sentence(text: str) -> bool:
    return len(text) > _LONG and max(map(len, text.split())) <= _WORD


def _tex(text: str) -> str:
    return "".join(_TEX.get(mark, mark) for mark in text.replace("\n", " "))


def _tex_row(row: TableRow, table: Table) -> str:
    if row.style == "block":
        return f"\\midrule\n\\multicolumn{{{len(table.columns)}}}{{l}}{{\\emph{{{_tex(row.cells[0].to_text())}}}}} \\\\"
    shown = [
        _PARAGRAPH % _tex(text) if column.align == "left" and _is_sentence(text) else _tex(text)
        for text, column in zip(_shown(row, table), table.columns, strict=True)
    ]
    shown = [f"\\textbf{{{text}}}" if index in row.bold else text for index, text in enumerate(shown)]
    if row.style == "base":
        shown = [f"\\textcolor{{gray}}{{{text}}}" for text in shown]
    return " & ".join(shown) + r" \\"


def _escaped(text: str) -> str:
    return html_format.escape(text, quote=False)


def _attribute(text: str) -> str:
    return html_format.escape(text, quote=True)


def _html_row(row: TableRow, table: Table) -> str:
    if row.style == "block":
        heading = _escaped(row.cells[0].to_text())
        return f'<tr class="block"><th colspan="{len(table.columns)}" scope="rowgroup">{heading}</th></tr>'
    cells = []
    for index, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
        text = _linked(cell)
        text = f"<b>{text}</b>" if index in row.bold else text
        value = _attribute(_sortable(next(iter(cell.raw().values()))))
        cells.append(f'<td class="{column.align}" data-value="{value}">{text}</td>')
    kind = ' class="base"' if row.style == "base" else ""
    return f"<tr{kind}>{''.join(cells)}</tr>"


def _sortable(value: RawValue) -> str:
    """Twelve digits: the last ones are those of a machine and its libraries, and a page must not be."""
    return f"{value:.12g}" if isinstance(value, float) and not isnan(value) else _full(value)


def _linked(cell: TableCell) -> str:
    text, link = _escaped(cell.to_text()), cell.link if isinstance(cell, TextCell | QuantityCell) else ""
    return f'<a href="{_attribute(link)}">{text}</a>' if link else text

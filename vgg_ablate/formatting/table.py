"""One table model and its four renderings: terminal, Markdown, LaTeX and HTML.

A cell holds unrounded numbers and formats them, so that all renderings of one table show the same text. Tables have no
CSV: runs.csv and `report --json` have the numbers with every digit.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Literal

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

from vgg_ablate.formatting.cells import QuantityCell, SortValue, TableCell, TextCell

RowStyle = Literal["", "base", "block"]  # "block": a heading over the rows below it


@dataclass(frozen=True)
class Column:
    """A column: its heading, its alignment, and how it gives way on a narrow terminal."""

    heading: str
    align: Literal["left", "right"] = "right"
    rank: int = 0  # on a narrow terminal the column with the highest rank goes first; 0: it stays
    wraps: bool = False  # whether a terminal may break its cells between words; those on the left always wrap


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
    label: str = ""  # in LaTeX; empty: tab:NAME


def render_markdown(table: Table) -> str:
    """Render a GitHub-flavoured Markdown table: the base and block headings in italics, notes below it."""
    lines = [
        f"**{_escape_markdown(table.caption)}**",
        "",
        "| " + " | ".join(_escape_markdown(column.heading) for column in table.columns) + " |",
        "|" + "|".join("---:" if column.align == "right" else ":---" for column in table.columns) + "|",
    ]
    for row in table.rows:
        texts = [_escape_markdown(text) for text in _list_cell_texts(row, table)]
        if row.style == "block":
            texts[0] = f"*{texts[0]}*"
        elif row.style == "base":
            texts = [text and f"_{text}_" for text in texts]
        texts = [f"**{text}**" if index in row.bold else text for index, text in enumerate(texts)]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join([*lines, "", *(f"<sub>{_escape_markdown(note)}</sub>  " for note in table.notes)]).rstrip() + "\n"


def render_latex(table: Table) -> str:
    """Render a booktabs table that shrinks to the line width. It needs amssymb, booktabs and graphicx."""
    alignment = "".join("r" if column.align == "right" else "l" for column in table.columns)
    heading = " & ".join(_escape_latex(column.heading) for column in table.columns)
    lines = [
        "% \\usepackage{amssymb,booktabs,graphicx}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_escape_latex(table.caption)}}}",
        f"\\label{{{table.label or f'tab:{table.name}'}}}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{{alignment}}}",
        "\\toprule",
        f"{heading} \\\\",
        "\\midrule",
        *(_render_latex_row(row, table) for row in table.rows),
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
    lines += [_render_html_row(row, table) for row in table.rows]
    lines += ["</tbody>"]
    if table.notes:
        notes = "".join(f"<p>{_escape_html(note)}</p>" for note in table.notes)
        lines += [f'<tfoot><tr><td colspan="{len(table.columns)}">{notes}</td></tr></tfoot>']
    return "\n".join([*lines, "</table>"]) + "\n"


def render_terminal(table: Table, width: int = 160) -> RichTable:
    """Render for a rich console of a width in characters, with the base in italics."""
    rich_table = RichTable(title=table.caption, caption="\n".join(table.notes) or None, title_justify="left")
    rich_table.caption_justify = "left"
    for column, column_width in zip(table.columns, _choose_widths(table, width), strict=True):
        rich_table.add_column(column.heading, justify=column.align, overflow="fold", width=column_width)
    for row in table.rows:
        cells = [
            RichText(text, style="bold" if index in row.bold else "")
            for index, text in enumerate(_list_cell_texts(row, table))
        ]
        rich_table.add_row(*cells, style={"base": "italic", "block": "bold"}.get(row.style))
    return rich_table


def print_tables(tables: Sequence[Table], *, width: int | None = None) -> None:
    """Print tables to stdout, coloured on a terminal and plain when piped. `width` is in characters.

    Columns with a rank are left out where the table is wider, the highest rank first; a note names them.
    """
    console = Console(width=width or find_console_width(), highlight=False)
    for table in tables:
        console.print(render_terminal(fit_to_width(table, console.width), console.width))


def find_console_width() -> int:
    """Return the width of the terminal in characters, and 160 for a pipe."""
    console = Console()
    # rich assumes 80 columns for a pipe and would break the cells of most of our tables.
    return console.width if console.is_terminal else 160


def fit_to_width(table: Table, width: int) -> Table:
    """Return the table without as many of its ranked columns as needed for a width in characters."""
    omitted: list[str] = []
    while _measure_width(table) > width and any(column.rank for column in table.columns):
        last = max(range(len(table.columns)), key=lambda index: table.columns[index].rank)
        omitted.append(table.columns[last].heading)
        table = _drop_column(table, last)
    if not omitted:
        return table
    note = f"Too wide for {width} characters: {', '.join(reversed(omitted))}; report.md has all columns."
    return replace(table, notes=(*table.notes, note))


def _measure_width(table: Table) -> int:
    """Return the smallest width at which rich breaks no number and no word."""
    return 1 + sum(3 + width for width in _measure_columns(table, broken=True))


def _choose_widths(table: Table, width: int) -> list[int]:
    """Return the width of every column: that of its texts, less what the widest columns can be broken to.

    Without widths rich breaks the widest cells first, which often are numbers, and breaks words before other columns.
    """
    widths, smallest = _measure_columns(table, broken=False), _measure_columns(table, broken=True)
    while 1 + sum(3 + chosen for chosen in widths) > width:
        widest = max(range(len(widths)), key=lambda index: (widths[index] > smallest[index], widths[index]))
        if widths[widest] <= smallest[widest]:
            break
        widths[widest] -= 1
    return widths


def _measure_columns(table: Table, *, broken: bool) -> list[int]:
    """Return the width of every column, with its heading and texts on one line, or broken between words."""
    texts = [_list_cell_texts(row, table) for row in table.rows if row.style != "block"]
    widths = []
    for index, column in enumerate(table.columns):
        pieces = column.heading.split() if broken else [column.heading]
        is_broken = broken and (column.align == "left" or column.wraps)
        for row in texts:
            pieces += row[index].split() if is_broken else [row[index]]
        widths.append(max(map(len, pieces), default=1) or 1)
    return widths


def _drop_column(table: Table, index: int) -> Table:
    def drop(row: TableRow) -> TableRow:
        if row.style == "block":
            return row
        bold = frozenset(at - (at > index) for at in row.bold if at != index)
        return replace(row, cells=(*row.cells[:index], *row.cells[index + 1 :]), bold=bold)

    columns = (*table.columns[:index], *table.columns[index + 1 :])
    return replace(table, columns=columns, rows=tuple(map(drop, table.rows)))


def _list_cell_texts(row: TableRow, table: Table) -> list[str]:
    texts = [cell.to_text() for cell in row.cells]
    return texts + [""] * (len(table.columns) - len(texts))


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
    "✓": r"$\checkmark$",
    "✗": r"$\times$",
    "≈": r"$\approx$",
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


def _render_latex_row(row: TableRow, table: Table) -> str:
    if row.style == "block":
        heading = _escape_latex(row.cells[0].to_text())
        return f"\\midrule\n\\multicolumn{{{len(table.columns)}}}{{l}}{{\\emph{{{heading}}}}} \\\\"
    texts = [
        _PARAGRAPH % _escape_latex(text) if column.align == "left" and _needs_paragraph(text) else _escape_latex(text)
        for text, column in zip(_list_cell_texts(row, table), table.columns, strict=True)
    ]
    texts = [f"\\textbf{{{text}}}" if index in row.bold else text for index, text in enumerate(texts)]
    if row.style == "base":
        texts = [f"\\textit{{{text}}}" for text in texts]
    return " & ".join(texts) + r" \\"


def _escape_html(text: str) -> str:
    return html.escape(text, quote=False)


def _render_html_row(row: TableRow, table: Table) -> str:
    if row.style == "block":
        heading = _escape_html(row.cells[0].to_text())
        return f'<tr class="block"><th colspan="{len(table.columns)}" scope="rowgroup">{heading}</th></tr>'
    cells = []
    for index, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
        text = _render_html_cell(cell)
        text = f"<b>{text}</b>" if index in row.bold else text
        value = html.escape(_format_sort_value(cell.get_sort_value()))
        cells.append(f'<td class="{column.align}" data-value="{value}">{text}</td>')
    style = ' class="base"' if row.style == "base" else ""
    return f"<tr{style}>{''.join(cells)}</tr>"


def _format_sort_value(value: SortValue) -> str:
    """Format the value that the page sorts a cell by; empty where it is unknown."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    # Twelve digits: the last ones differ between machines and numpy versions, and the page must not.
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _render_html_cell(cell: TableCell) -> str:
    text, link = _escape_html(cell.to_text()), cell.link if isinstance(cell, TextCell | QuantityCell) else ""
    return f'<a href="{html.escape(link)}">{text}</a>' if link else text

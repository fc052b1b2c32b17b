"""The page report.html: one file that loads nothing from elsewhere and is readable without scripts.

The order is that of a reader's questions: the question, its answer and the claims on the first screen, then variants
and figures, folded details, and last the command that runs the study again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import resources
from importlib.metadata import version

from markupsafe import Markup

from vgg_ablate.analysis.data_facts import collect_data_facts
from vgg_ablate.analysis.frame import NOT_NEEDED
from vgg_ablate.analysis.summary import Report
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.table import Table
from vgg_ablate.formatting.text import count_noun
from vgg_ablate.report import markdown
from vgg_ablate.report.claims_table import select_shown_verdicts
from vgg_ablate.report.figures.registry import RenderedFigure
from vgg_ablate.report.head import build_head
from vgg_ablate.report.html import claims, runs
from vgg_ablate.report.html.words import render_template
from vgg_ablate.report.state import list_data_facts

# With the version, since another one places drawings otherwise (figures/canvas.drop_incomparable_drawings).
GENERATOR_OF_FIGURES = f"vgg_ablate, Matplotlib v{version('matplotlib')}"
MAX_TABLE_ROWS = 200  # a table of a search can have thousands of rows, and report.md has them all


def render_report_page(report: Report, figures: tuple[RenderedFigure, ...]) -> str:
    """Render the whole document."""
    head = build_head(report)
    return render_document(
        "page.html",
        generator=GENERATOR_OF_FIGURES,
        study=report.study,
        head=head,
        facts=_list_facts(report),
        problems=report.problems,
        claims=claims.render_claims(select_shown_verdicts(report), report.frame, head.claims)
        if head.claims is not None
        else "",
        tables=[_shorten(table) for table in markdown.build_variant_tables(report)],
        figures=[figure for figure in figures if figure.name != "forest"],  # the table of claims has it in its rows
        evidence=claims.render_evidence(report) if report.is_recorded else "",
        notes=markdown.build_notes(report),
        changes=markdown.list_net_changes(report),
        data=list_data_facts(report),
        expectations=markdown.list_expectations(report),
        expectations_heading=markdown.name_expectations(report),
        runs=runs.render_runs(report),
        provenance=markdown.list_provenance(report),
        rerun_command=markdown.format_rerun_command(report),
    )


def render_document(template: str, *, generator: str, **values: object) -> str:
    """Render the template of a whole page, which starts with head.html, with the style sheet and script of all pages.

    `generator` names the program, and for pages with figures the version of Matplotlib, in the page's head.
    """
    assets = {"stylesheet": _read_asset("page.css"), "script": _read_asset("page.js")}
    page = render_template(template, generator=generator, **assets, **values)
    return f"{page}\n"  # Jinja2 drops a template's last newline


def _list_facts(report: Report) -> list[str]:
    outcomes, data = report.frame["outcome"], collect_data_facts(report.results, report.base.name)
    finished, needed = int((outcomes == "finished").sum()), int((outcomes != NOT_NEEDED).sum())
    return [
        count_noun(numbers.format_count(len(report.rows)), "variants"),
        count_noun(numbers.format_count(len(report.study.seed_list)), "seeds"),
        f"{numbers.format_count(finished)} of {count_noun(numbers.format_count(needed), 'runs')} finished",
        f"{data.name}, {count_noun(numbers.format_count(report.base.variant.train.epochs), 'epochs')}",
    ]


def _shorten(table: Table) -> Table:
    """Return the first rows of a long table, with a note that names the file with all rows."""
    omitted = len(table.rows) - MAX_TABLE_ROWS
    if omitted <= 0:
        return table
    note = f"{numbers.format_count(omitted)} more rows: report.md."
    return replace(table, rows=table.rows[:MAX_TABLE_ROWS], notes=(*table.notes, note))


@cache
def _read_asset(name: str) -> Markup:
    """Return a style sheet or script of the package, which goes into the page unescaped."""
    return Markup(resources.files("vgg_ablate.report.html").joinpath(name).read_text(encoding="utf-8"))

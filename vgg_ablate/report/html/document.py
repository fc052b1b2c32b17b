"""report.html: one file, nothing fetched, readable without scripts. Verdicts first, how to run it again last."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import resources
from importlib.metadata import version

from vgg_ablate.analysis.summary import Report
from vgg_ablate.formatting import numbers, table
from vgg_ablate.formatting.table import Table
from vgg_ablate.report import markdown
from vgg_ablate.report.figures.registry import RenderedFigure
from vgg_ablate.report.html import cards, runs
from vgg_ablate.report.html.words import escape_text, inline_svg, render_sentence

MAX_TABLE_ROWS = 200  # rows of a table


def render_page(report: Report, pictures: tuple[RenderedFigure, ...]) -> str:
    """The whole document."""
    body = [
        _head(report),
        _problems(report),
        cards.render_cards(report),
        _first(pictures),
        _tables(report),
        _figures(pictures[1:] if _is_forest(pictures) else pictures),
        _notes(report),
        _section("Expected and found", _listed(markdown.list_expectations(report))),
        _section("Runs and their records", runs.render_runs(report)),
        _section("Provenance", _pairs(markdown.list_provenance(report))),
        _section(
            "How to run this again", f"<pre><code>{escape_text(markdown.format_rerun_command(report))}</code></pre>"
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta name="generator" content="vgg_ablate, Matplotlib v{version("matplotlib")}">\n'
        f"<title>{escape_text(report.study.name)}: {escape_text(report.study.question)}</title>\n"
        f"<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + f"\n</main>\n<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    outcomes = report.frame["outcome"]
    finished = int((outcomes == "finished").sum())
    facts = [
        f"{numbers.format_count(len(report.rows))} variants",
        f"{numbers.format_count(len(report.study.seed_list))} seeds",
        f"{numbers.format_count(finished)} of {numbers.format_count(len(outcomes))} runs finished",
        f"{report.study.base.data.name}, {numbers.format_count(report.study.base.train.epochs)} epochs",
    ]
    return (
        f'<header>\n<p class="over">Study <code>{escape_text(report.study.name)}</code></p>\n'
        f'<h1>{render_sentence(report.study.question)}</h1>\n<p class="facts">{escape_text(" · ".join(facts))}</p>\n'
        f"{cards.render_tally(report)}\n</header>"
    )


def _problems(report: Report) -> str:
    if not report.problems:
        return ""
    items = "".join(f"<li>{render_sentence(problem)}</li>" for problem in report.problems)
    return (
        '<section class="problems"><h3>Problems</h3>'
        f"<p>The rest of this report leaves these out.</p><ul>{items}</ul></section>"
    )


def _is_forest(pictures: tuple[RenderedFigure, ...]) -> bool:
    return bool(pictures) and pictures[0].name == "forest"


def _first(pictures: tuple[RenderedFigure, ...]) -> str:
    """The forest plot is the verdict: it stands before the tables."""
    return _section("Verdicts as intervals", _figure(pictures[0], titled=False)) if _is_forest(pictures) else ""


def _tables(report: Report) -> str:
    region = '<div class="wide" tabindex="0" role="region" aria-label="{}">{}</div>'
    made = [
        region.format(escape_text(one.caption), table.render_html(_cut(one))) for one in markdown.build_tables(report)
    ]
    return f'<section class="tables"><h2>Tables</h2>{"".join(made)}</section>'


def _cut(whole: Table) -> Table:
    """The first rows of a table that is longer than a reader's patience, and where the others are."""
    left = len(whole.rows) - MAX_TABLE_ROWS
    if left <= 0:
        return whole
    return replace(
        whole,
        rows=whole.rows[:MAX_TABLE_ROWS],
        notes=(*whole.notes, f"{numbers.format_count(left)} more rows: report.md."),
    )


def _figures(pictures: tuple[RenderedFigure, ...]) -> str:
    return _section("Figures", "\n".join(_figure(picture) for picture in pictures)) if pictures else ""


def _figure(picture: RenderedFigure, *, titled: bool = True) -> str:
    title = f"<h3>{escape_text(picture.title)}</h3>" if titled else ""
    return (
        f'<figure id="figure-{picture.name}">{title}<div class="wide" tabindex="0">{inline_svg(picture)}</div>'
        f"<figcaption>{render_sentence(picture.caption)} "
        f'<a href="figures/{picture.name}.svg">SVG</a></figcaption></figure>'
    )


def _notes(report: Report) -> str:
    said = markdown.build_notes(report)
    return _section("Notes", _listed(said)) if said else ""


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{heading}</h2>\n{content}\n</section>"


def _listed(sentences: list[str]) -> str:
    return f'<ul class="plain">{"".join(f"<li>{render_sentence(one)}</li>" for one in sentences)}</ul>'


def _pairs(pairs: list[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape_text(name)}</dt><dd>{escape_text(told)}</dd>' for name, told in pairs)}</dl>"


@cache
def _asset(name: str) -> str:
    return resources.files("vgg_ablate.report.html").joinpath(name).read_text(encoding="utf-8")

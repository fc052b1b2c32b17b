"""Jinja2 templates of the HTML report, and the filters that turn sentences, tables and figures into markup."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from vgg_ablate.formatting import table
from vgg_ablate.report.figures import canvas
from vgg_ablate.report.figures.registry import RenderedFigure

_CSS_VARIABLES = {  # colour of a figure -> variable of page.css, which has a light and a dark value
    canvas.INK: "ink",
    canvas.SOFT: "soft",
    canvas.RULE: "rule",
    canvas.BAND: "band",
    canvas.PAPER: "paper",
    canvas.ACCENT: "accent",
    canvas.SUPPORTED_COLOR: "supported",
    canvas.REFUTED_COLOR: "refuted",
    canvas.INCONCLUSIVE_COLOR: "inconclusive",
    **{color: f"s{index}" for index, color in enumerate(canvas.SERIES_COLORS)},
}


def render_template(name: str, **context: object) -> Markup:
    """Render a template of `templates/` with every value escaped unless it is Markup."""
    return Markup(_build_environment().get_template(name).render(context))


def render_sentence(text: str) -> Markup:
    """Return a sentence as markup: text between backticks becomes code, everything else is escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def inline_svg(figure: RenderedFigure) -> Markup:
    """Return the SVG element of a figure as a part of the page, with the page's colours and the title as its label."""
    svg = figure.svg[figure.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # Matplotlib's style element would apply to every figure of the page; page.css has its two rules.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    view_box = re.search(r'viewBox="[^"]*"', svg)
    opening = f'<svg {view_box.group() if view_box else ""} role="img" aria-label="{escape(figure.title)}">'
    svg = opening + svg[svg.index(">") + 1 :]
    # Ids are unique within one file only: two figures in one page would share clip paths.
    svg = re.sub(r'\bid="', f'id="{figure.name}-', svg)
    svg = svg.replace('href="#', f'href="#{figure.name}-').replace("url(#", f"url(#{figure.name}-")
    svg = re.sub(r"\n\s*", "\n", svg)
    return Markup(re.sub(r"#[0-9a-f]{6}\b", _replace_color, svg).strip())


@cache
def _build_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vgg_ablate.report.html"),
        autoescape=True,  # names and questions come from study files: markup in them must show as text
        undefined=StrictUndefined,  # a misspelled name in a template raises instead of rendering nothing
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sentence"] = render_sentence
    environment.filters["inline_svg"] = inline_svg
    environment.filters["table"] = lambda rows: Markup(table.render_html(rows))  # render_html escapes every cell
    return environment


def _replace_color(color: re.Match[str]) -> str:
    variable = _CSS_VARIABLES.get(color.group())
    return f"var(--{variable})" if variable else color.group()

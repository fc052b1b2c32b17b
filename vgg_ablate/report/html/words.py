"""Text and pictures as they go into HTML."""

from __future__ import annotations

import html
import re

from vgg_ablate.report.figures import canvas
from vgg_ablate.report.figures.registry import RenderedFigure

_VARIABLES = {  # a figure's colours -> the page's, which know light and dark
    canvas.INK: "ink",
    canvas.SOFT: "soft",
    canvas.RULE: "rule",
    canvas.BAND: "band",
    canvas.PAPER: "paper",
    canvas.ACCENT: "accent",
    canvas.SUPPORTED_COLOR: "supported",
    canvas.REFUTED_COLOR: "refuted",
    canvas.INCONCLUSIVE_COLOR: "inconclusive",
    **{colour: f"s{index}" for index, colour in enumerate(canvas.SERIES_COLORS)},
}


def escape_text(text: str) -> str:
    """For text and for attributes in double quotes."""
    return html.escape(text, quote=True)


def render_sentence(text: str) -> str:
    """A sentence; what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape_text(text))


def inline_svg(picture: RenderedFigure) -> str:
    """The SVG element as part of a page: the page's colours, ids of its own, a name for those who cannot see it."""
    svg = picture.svg[picture.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', svg)
    opening = f'<svg {box.group() if box else ""} role="img" aria-label="{escape_text(picture.title)}">'
    svg = opening + svg[svg.index(">") + 1 :]
    svg = re.sub(r'\bid="', f'id="{picture.name}-', svg)
    svg = svg.replace('href="#', f'href="#{picture.name}-').replace("url(#", f"url(#{picture.name}-")
    svg = re.sub(r"\n\s*", "\n", svg)
    return re.sub(r"#[0-9a-f]{6}\b", _themed, svg).strip()


def _themed(colour: re.Match[str]) -> str:
    name = _VARIABLES.get(colour.group())
    return f"var(--{name})" if name else colour.group()

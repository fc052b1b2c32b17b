"""Verdict cards: the word, the claim, the interval as a strip, the numbers behind it, and the runs behind those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import isfinite, isnan

from vgg_ablate.analysis.metrics import NOUNS, collect_by_seed, unit_of
from vgg_ablate.analysis.pairs import compute_gains
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.formatting import numbers, table
from vgg_ablate.formatting.table import Column, CountCell, QuantityCell, Table, TableCell, TableRow
from vgg_ablate.report import wording
from vgg_ablate.report.figures import forest
from vgg_ablate.report.figures.forest import ForestRow
from vgg_ablate.report.html.words import escape_text, render_sentence

VERDICT_ORDER = ("supported", "refuted", "inconclusive")
MAX_SEED_ROWS = 300  # rows of seeds in a page, all cards together
_WIDE, _HIGH = 300.0, 34.0  # of a strip, in its own unit
_ICONS = {
    "supported": '<circle cx="6" cy="6" r="5" fill="currentColor"/>',
    "refuted": '<rect x="1.5" y="1.5" width="9" height="9" fill="currentColor"/>',
    "inconclusive": '<circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" stroke-width="1.7"/>',
}


def render_tally(report: Report) -> str:
    """How many claims have which verdict."""
    counts = Counter[str](verdict.verdict for verdict in report.verdicts)
    items = [
        f'<li class="{word}">{_word(word, f"{numbers.format_count(counts[word])} {word}")}</li>'
        for word in VERDICT_ORDER
        if counts[word]
    ]
    return f'<ul class="tally">{"".join(items)}</ul>' if items else ""


def render_cards(report: Report) -> str:
    """A card a claim, in the study's order."""
    rows = forest.collect_forest_rows(report)
    families: dict[tuple[str, str], list[ForestRow]] = {}
    for row in rows:
        families.setdefault(forest.get_axis_key(row), []).append(row)
    strips = {row.name: _strip(row, families[forest.get_axis_key(row)]) for row in rows}
    made = [_card(report, verdict, strips.get(verdict.claim.id, "")) for verdict in report.verdicts]
    return f'<section class="cards" aria-label="Verdicts">{"".join(made)}</section>' if made else ""


def _card(report: Report, verdict: Verdict, strip: str) -> str:
    claim = verdict.claim
    found = "" if isnan(verdict.mean) else f'<p class="found">{escape_text(wording.format_estimate(verdict))}</p>'
    return "\n".join(
        [
            f'<article class="card {verdict.verdict}" id="claim-{escape_text(claim.id)}">',
            f"<header>{_word(verdict.verdict)}"
            f'<a href="#claim-{escape_text(claim.id)}"><code>{escape_text(claim.id)}</code></a></header>',
            f"<h3>{render_sentence(claim.text)}</h3>",
            strip,
            found,
            f"<p>{render_sentence(wording.describe_method(verdict))}</p>",
            _behind(report, verdict),
            "</article>",
        ]
    )


def _word(word: str, text: str = "") -> str:
    icon = f'<svg viewBox="0 0 12 12" aria-hidden="true">{_ICONS[word]}</svg>'
    return f'<span class="word">{icon}{escape_text(text or word)}</span>'


def _behind(report: Report, verdict: Verdict) -> str:
    told = [f"Claimed: {wording.describe_hypothesis(verdict.claim)}."]
    said = (
        wording.describe_evidence(verdict),
        wording.describe_sensitivity(verdict),
        wording.describe_crossed_interval(verdict),
    )
    told += [f"{text[0].upper()}{text[1:]}." for text in said if text]
    if len(verdict.looks) > 1:
        told.append(f"At the look after {verdict.look} of {verdict.looks[-1]} seeds.")
    lines = "".join(f"<p>{render_sentence(line)}</p>" for line in told)
    runs = ", ".join(f'<a href="#runs-{escape_text(name)}">{escape_text(name)}</a>' for name in verdict.weights)
    few = sum(other.n for other in report.verdicts) <= MAX_SEED_ROWS and verdict.claim.metric != "trained"
    seeds = (
        f'<div class="wide" tabindex="0">{table.render_html(_by_seed(report, verdict))}</div>'
        if verdict.n and few
        else ""
    )
    return f"<details><summary>The numbers behind it</summary>{lines}{seeds}<p>Runs: {runs}</p></details>"


def _by_seed(report: Report, verdict: Verdict) -> Table:
    """A row a seed; the two sides stand beside the gain where each is one variant."""
    sides = list(verdict.weights) if len(verdict.weights) == 2 else []
    values = collect_by_seed(report.frame, verdict.claim.metric)
    keys = index_record_keys(report)
    unit = unit_of(verdict.claim)
    columns = (
        Column("seed", "seed"),
        *(Column(side, side) for side in sides),
        Column(f"gain, {unit}" if unit else "gain", "gain"),
    )
    rows = []
    for seed, gain in compute_gains(verdict, report.frame).items():
        own: list[TableCell] = [
            QuantityCell(values[side][seed], "fixed", format_record_link(keys[side, seed])) for side in sides
        ]
        rows.append(TableRow((CountCell(seed), *own, QuantityCell(gain, "fixed"))))
    caption = f"{NOUNS[verdict.claim.metric].capitalize()} by seed"
    return Table(f"seeds-{verdict.claim.id}", caption, columns, tuple(rows))


def index_record_keys(report: Report) -> Mapping[tuple[str, int], str]:
    """(variant, seed) -> the key of its record."""
    columns = report.frame[["variant", "seed", "key"]].itertuples(index=False)
    return {(str(variant), int(seed)): str(key) for variant, seed, key in columns}


def format_record_link(key: str) -> str:
    """Where a record is, seen from the page."""
    return f"records/{key}.json"


def _strip(row: ForestRow, family: list[ForestRow]) -> str:
    """The claim's row of the forest plot, on the scale of all claims on its metric."""
    low, high = forest.compute_forest_limits(family)
    if isnan(row.mean):
        return ""

    def x(value: float) -> str:
        return f"{_WIDE * (min(max(value, low), high) - low) / (high - low):.2f}"

    middle = _HIGH / 2
    parts = [
        f'<rect class="band" x="{x(one)}" y="3" width="{float(x(other)) - float(x(one)):.2f}" height="{_HIGH - 6}"/>'
        for one, other in forest.compute_bands(row, (low, high))
    ]
    parts += [
        f'<path class="edge" d="M{x(edge)} 3V{_HIGH - 3}"/>' for edge in row.region if isfinite(edge) and edge != 0
    ]
    parts.append(f'<path class="zero" d="M{x(0.0)} 0V{_HIGH}"/>')
    if not isnan(row.low):
        one, other = row.deciding
        ends = f"M{x(one)} {middle - 5}v10M{x(other)} {middle - 5}v10"
        parts.append(f'<path class="thin" fill="none" d="M{x(one)} {middle}H{x(other)}{ends}"/>')
        parts.append(f'<path class="thick" d="M{x(row.low)} {middle}H{x(row.high)}"/>')
    mean = float(x(row.mean))
    if row.word == "refuted":
        parts.append(f'<rect class="mean" x="{mean - 4:.2f}" y="{middle - 4}" width="8" height="8"/>')
    else:
        parts.append(f'<circle class="mean" cx="{mean:.2f}" cy="{middle}" r="4.5"/>')
    label = escape_text(f"{row.found}; {row.word}")
    opening = f'<svg class="strip" viewBox="0 0 {_WIDE:.0f} {_HIGH:.0f}" role="img" aria-label="{label}">'
    return f"{opening}{''.join(parts)}</svg>"

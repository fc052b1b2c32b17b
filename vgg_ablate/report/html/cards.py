"""Verdict cards of the HTML report: verdict, claim, interval as a strip, the numbers and the runs behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan

from markupsafe import Markup

from vgg_ablate.analysis.metrics import METRICS, collect_by_seed, get_claim_unit
from vgg_ablate.analysis.pairs import compute_gains
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.table import Column, CountCell, QuantityCell, Table, TableCell, TableRow
from vgg_ablate.report import wording
from vgg_ablate.report.figures import forest
from vgg_ablate.report.figures.forest import ForestRow
from vgg_ablate.report.html.words import render_template

VERDICT_ORDER = ("supported", "refuted", "no difference", "inconclusive")
MAX_SEED_ROWS = 300  # of all cards together; with more, the page would grow past 500 kB
_STRIP_WIDTH, _STRIP_HEIGHT = 300.0, 34.0  # units of the strip's view box


@dataclass(frozen=True)
class Strip:
    """A claim's row of the forest plot in view box units; coordinates are formatted with two decimals."""

    label: str
    bands: tuple[tuple[str, str], ...]  # x and width of each part of the claimed region
    edges: tuple[str, ...]
    smallest: tuple[str, str] | None  # x and width of the band of differences that do not matter
    zero: str
    interval: tuple[str, str] | None  # the 95 % interval; None: no interval could be computed
    deciding: tuple[str, str] | None
    mean: float


@dataclass(frozen=True)
class ClaimCard:
    """One claim with its verdict, as the template shows it."""

    id: str
    text: str
    word: str
    strip: Strip | None
    estimate: str
    method: str
    numbers: tuple[str, ...]
    seeds: Table | None
    variants: tuple[str, ...]


def render_tally(report: Report) -> Markup:
    """Render the number of claims per verdict."""
    claims = Counter[str](verdict.verdict for verdict in report.verdicts)
    counts = [(word, f"{numbers.format_count(claims[word])} {word}") for word in VERDICT_ORDER if claims[word]]
    return render_template("tally.html", counts=counts)


def render_cards(report: Report) -> Markup:
    """Render one card per claim, in the study's order."""
    rows = forest.collect_forest_rows(report)
    # Cards of one metric share a scale, so that their strips can be compared by eye.
    families: dict[tuple[str, str], list[ForestRow]] = {}
    for row in rows:
        families.setdefault(forest.get_axis_key(row), []).append(row)
    strips = {row.name: _build_strip(row, families[forest.get_axis_key(row)]) for row in rows if not isnan(row.mean)}
    cards = [_build_card(report, verdict, strips.get(verdict.claim.id)) for verdict in report.verdicts]
    return render_template("cards.html", cards=cards, width=_STRIP_WIDTH, height=_STRIP_HEIGHT)


def index_record_keys(report: Report) -> Mapping[tuple[str, int], str]:
    """Return the record key of every (variant, seed)."""
    columns = report.frame[["variant", "seed", "key"]].itertuples(index=False)
    return {(str(variant), int(seed)): str(key) for variant, seed, key in columns}


def format_record_link(key: str) -> str:
    """Return the path of a record relative to the page."""
    return f"records/{key}.json"


def _build_card(report: Report, verdict: Verdict, strip: Strip | None) -> ClaimCard:
    few_seeds = sum(other.n for other in report.verdicts) <= MAX_SEED_ROWS
    # A claim on the share of trained runs has outcomes per seed and no gains.
    has_seeds = bool(verdict.n) and few_seeds and verdict.claim.metric != "trained"
    return ClaimCard(
        id=verdict.claim.id,
        text=verdict.claim.text,
        word=verdict.verdict,
        strip=strip,
        estimate="" if isnan(verdict.mean) else wording.format_estimate(verdict),
        method=wording.describe_method(verdict),
        numbers=(f"Claimed: {wording.describe_hypothesis(verdict.claim)}.", *wording.list_evidence(verdict)),
        seeds=_build_seed_table(report, verdict) if has_seeds else None,
        variants=tuple(verdict.weights),
    )


def _build_seed_table(report: Report, verdict: Verdict) -> Table:
    """Build a table with one row per seed: the gain, and both sides where each of them is one variant."""
    sides = list(verdict.weights) if len(verdict.weights) == 2 else []
    values = collect_by_seed(report.frame, verdict.claim.metric)
    keys = index_record_keys(report)
    unit = get_claim_unit(verdict.claim)
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
    caption = f"{METRICS[verdict.claim.metric].noun.capitalize()} by seed"
    return Table(f"seeds-{verdict.claim.id}", caption, columns, tuple(rows))


def _build_strip(row: ForestRow, family: Sequence[ForestRow]) -> Strip:
    low, high = forest.compute_forest_limits(family)

    def scale(value: float) -> str:
        return f"{_STRIP_WIDTH * (min(max(value, low), high) - low) / (high - low):.2f}"

    def scale_pair(ends: tuple[float, float]) -> tuple[str, str]:
        return scale(ends[0]), scale(ends[1])

    bands = [scale_pair(band) for band in forest.compute_bands(row, (low, high))]
    has_interval = not isnan(row.low)
    return Strip(
        label=f"{row.found}; {row.word}",
        bands=tuple((start, f"{float(end) - float(start):.2f}") for start, end in bands),
        edges=tuple(scale(edge) for edge in row.region if isfinite(edge) and edge != 0),
        smallest=(scale(-row.smallest), f"{float(scale(row.smallest)) - float(scale(-row.smallest)):.2f}")
        if row.smallest
        else None,
        zero=scale(0.0),
        interval=scale_pair((row.low, row.high)) if has_interval else None,
        deciding=scale_pair(row.deciding) if has_interval else None,
        mean=float(scale(row.mean)),
    )

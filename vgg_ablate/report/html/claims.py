"""The claims in the HTML report: the table with the forest plot in its rows, and the folded numbers and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan

import pandas as pd
from markupsafe import Markup

from vgg_ablate.analysis.metrics import collect_by_seed, get_claim_unit, get_metric, get_shown_metric, get_shown_sign
from vgg_ablate.analysis.pairs import compute_gains
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import CountCell, QuantityCell, TableCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.report import wording
from vgg_ablate.report.figures import forest
from vgg_ablate.report.figures.forest import ForestRow
from vgg_ablate.report.html.words import render_template

MAX_SEED_ROWS = 300  # of all claims together; with more, the page would grow past 500 kB
_STRIP_WIDTH, _STRIP_HEIGHT = 300.0, 28.0  # units of the strip's view box


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
class ClaimRow:
    """One row of the table of claims, as the template shows it."""

    id: str
    word: str
    cells: tuple[str, ...]
    strip: Strip | None


@dataclass(frozen=True)
class ClaimEvidence:
    """The numbers behind one claim, as the template shows them."""

    id: str
    text: str
    word: str
    numbers: tuple[str, ...]
    seeds: Table | None
    variants: tuple[str, ...]


def render_claims(verdicts: Sequence[Verdict], frame: pd.DataFrame, table: Table) -> Markup:
    """Render the table of claims with a strip per claim: the forest plot, row by row.

    `table` has one row per verdict, `frame` one per run.
    """
    forest_rows = forest.build_forest_rows(verdicts, frame)
    # Claims of one metric share a scale, so that their strips can be compared by eye.
    families: dict[tuple[str, str], list[ForestRow]] = {}
    for row in forest_rows:
        families.setdefault(forest.get_axis_key(row), []).append(row)
    strips = {
        row.name: _build_strip(row, families[forest.get_axis_key(row)]) for row in forest_rows if not isnan(row.mean)
    }
    rows = [
        ClaimRow(
            id=verdict.claim.id,
            word=verdict.verdict,
            cells=tuple(cell.to_text() for cell in row.cells),
            strip=strips.get(verdict.claim.id),
        )
        for verdict, row in zip(verdicts, table.rows, strict=True)
    ]
    return render_template(
        "claims.html", table=table, rows=rows, scale=_describe_scale(families), width=_STRIP_WIDTH, height=_STRIP_HEIGHT
    )


def _describe_scale(families: Mapping[tuple[str, str], Sequence[ForestRow]]) -> str:
    """Describe the common scale of the strips: the meaning of the left side, and both ends."""
    if len(families) != 1:
        return "each metric on its own scale" if families else "a − b"
    [((metric, unit), rows)] = families.items()
    low, high = (numbers.format_compact(end, 1) for end in forest.compute_forest_limits(rows))
    side = "right" if get_metric(metric).higher_is_better else "left"
    better = "" if " per " in unit else f"; {side} of 0: a is better"
    return f"{low} to {high} {unit}{better}"


def render_evidence(report: Report) -> Markup:
    """Render the numbers behind every claim, one folded part each, in the study's order."""
    cards = [_build_evidence(report, verdict) for verdict in report.shown_verdicts]
    return render_template("evidence.html", cards=cards)


def index_record_keys(report: Report) -> Mapping[tuple[str, int], str]:
    """Return the record key of every (variant, seed)."""
    columns = report.frame[["variant", "seed", "key"]].itertuples(index=False)
    return {(str(variant), int(seed)): str(key) for variant, seed, key in columns}


def format_record_link(key: str) -> str:
    """Return the path of a record relative to the page."""
    return f"records/{key}.json"


def _build_evidence(report: Report, verdict: Verdict) -> ClaimEvidence:
    few_seeds = sum(other.n for other in report.shown_verdicts) <= MAX_SEED_ROWS
    # A claim on the share of trained runs has outcomes per seed and no differences.
    has_seeds = bool(verdict.n) and few_seeds and verdict.claim.metric != "trained"
    return ClaimEvidence(
        id=verdict.claim.id,
        text=verdict.claim.text,
        word=verdict.verdict,
        numbers=tuple(wording.explain_verdict(verdict)),
        seeds=_build_seed_table(report, verdict) if has_seeds else None,
        variants=tuple(verdict.weights),
    )


def _build_seed_table(report: Report, verdict: Verdict) -> Table:
    """Build a table with one row per seed: the difference, and both sides where each of them is one variant."""
    sides = list(verdict.weights) if len(verdict.weights) == 2 else []
    metric, sign = get_shown_metric(verdict.claim.metric), get_shown_sign(verdict.claim.metric)
    values = collect_by_seed(report.frame, metric)
    keys = index_record_keys(report)
    unit = get_claim_unit(verdict.claim)
    columns = (
        Column("seed"),
        *(Column(side) for side in sides),
        Column(f"difference, {unit}" if unit else "difference"),
    )
    rows = []
    for seed, gain in compute_gains(verdict, report.frame).items():
        own: list[TableCell] = [
            QuantityCell(values[side][seed], "fixed", format_record_link(keys[side, seed])) for side in sides
        ]
        rows.append(TableRow((CountCell(seed), *own, QuantityCell(sign * gain, "fixed"))))
    caption = f"{get_metric(metric).noun.capitalize()} by seed"
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
        label=f"interval of {row.name}; {row.word}",
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

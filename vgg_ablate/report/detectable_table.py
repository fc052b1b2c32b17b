"""The table of `plan`: the smallest difference that each claim can detect."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from vgg_ablate.analysis.detectable import DetectableEffect
from vgg_ablate.analysis.metrics import EXACT_METRICS, get_claim_unit, get_metric
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import CountCell, QuantityCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow


def build_detectable_table(effects: Sequence[DetectableEffect]) -> Table:
    """Build the table of the smallest difference that each claim can detect, one row per claim."""
    columns = (
        Column("claim", "left"),
        Column("metric", "left"),
        Column("seeds"),
        Column("detectable"),
        Column("sd"),
        Column("where the sd comes from", "left"),
    )
    rows = tuple(_build_detectable_row(effect) for effect in effects)
    note = (
        "With 80 % power, at the level of the claim's interval, before Holm's correction; "
        "sd: of the claim's difference between seeds."
    )
    return Table("foresight", "The smallest effect that each claim can detect", columns, rows, (note,))


def _build_detectable_row(effect: DetectableEffect) -> TableRow:
    metric, detectable = effect.claim.metric, effect.detectable
    exact, claim_unit = metric in EXACT_METRICS, get_claim_unit(effect.claim)
    shown = numbers.DASH if detectable is None else f"{numbers.format_compact(detectable)} {claim_unit}"
    return TableRow(
        (
            TextCell(effect.claim.id),
            TextCell(get_metric(metric).noun),
            CountCell(effect.seeds),
            TextCell("any" if exact else shown),
            QuantityCell(nan if effect.sd is None or exact else effect.sd, "plain"),
            TextCell(effect.source),
        )
    )

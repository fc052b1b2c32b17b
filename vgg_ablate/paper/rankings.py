"""The order of the nets by test error, between lengths of training, widths and data sets: a table and ranks.svg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vgg_ablate.analysis.stability import collect_level_differences, correlate_ranks
from vgg_ablate.analysis.summary import Report
from vgg_ablate.config.horizons import HorizonLevel
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import QuantityCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.paper.standing import ReadReport
from vgg_ablate.report.figures import canvas
from vgg_ablate.report.figures.ranks import plot_ranks

STUDIES = {"depth": "CIFAR-10", "depth-wide": "CIFAR-10, twice the width", "depth-fashion": "Fashion-MNIST"}


@dataclass(frozen=True)
class Ranking:
    """The mean test error of every net of one study at one length of the training."""

    data: str
    epochs: HorizonLevel
    errors: Mapping[str, float]  # net -> percent

    @property
    def order(self) -> tuple[str, ...]:
        """The nets, the lowest error first."""
        return tuple(sorted(self.errors, key=lambda net: self.errors[net]))

    def correlate(self, other: Ranking) -> float:
        """Return Kendall's tau-b of the errors of the nets that both have; NaN with fewer than three."""
        nets = [net for net in self.errors if net in other.errors]
        return correlate_ranks([self.errors[net] for net in nets], [other.errors[net] for net in nets])


def collect_rankings(read_report: ReadReport) -> list[Ranking]:
    """Return one ranking per study and level at which three nets or more have finished every seed."""
    reports = ((read_report(study), data) for study, data in STUDIES.items())
    return [ranking for report, data in reports if report is not None for ranking in _rank_nets(report, data)]


def _rank_nets(report: Report, data: str) -> list[Ranking]:
    errors: dict[HorizonLevel, dict[str, float]] = {}
    for variant in report.study.variants:
        net = "B" if variant.name == "base" else variant.name  # the base of these studies is B
        for level, seeds in collect_level_differences(report.study, report.frame, {variant.name: 1.0}).items():
            errors.setdefault(level, {})[net] = float(np.mean(seeds))
    return [Ranking(data, level, nets) for level, nets in sorted(errors.items()) if len(nets) >= 3]


def build_rankings_table(rankings: Sequence[Ranking]) -> Table | None:
    """Build the table of orders and their correlation with the longest training of `depth`; None without two."""
    if len(rankings) < 2:
        return None
    reference = max((item for item in rankings if item.data == STUDIES["depth"]), key=lambda item: item.epochs,
                    default=rankings[0])  # fmt: skip
    columns = (
        Column("data", "left"),
        Column("epochs"),
        Column("nets, the lowest error first", "left"),
        Column("Kendall's tau"),
    )
    rows = tuple(
        TableRow(
            (
                TextCell(ranking.data),
                TextCell(str(ranking.epochs)),
                TextCell(", ".join(f"{net} {numbers.format_number(ranking.errors[net], 2)}" for net in ranking.order)),
                TextCell("–") if ranking is reference else QuantityCell(ranking.correlate(reference), "plain"),
            )
        )
        for ranking in rankings
    )
    notes = (
        f"Mean test errors in percent. Tau: with the order on {reference.data} after {reference.epochs} epochs, over "
        "the nets that both have; 1: the same order, −1: the reverse.",
    )
    return Table("ranks", "The order of the nets between trainings, widths and data sets", columns, rows, notes)


def render_ranks(rankings: Sequence[Ranking]) -> str:
    """Draw a line per net over its ranks, as SVG; empty with fewer than two rankings."""
    if len(rankings) < 2:
        return ""
    labels = ["\n".join([*ranking.data.split(", "), f"{ranking.epochs} epochs"]) for ranking in rankings]
    return canvas.render_svg(lambda: plot_ranks(labels, [ranking.order for ranking in rankings]))

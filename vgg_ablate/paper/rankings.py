"""The order of the nets by test error, between lengths of training, widths and data sets: a table and ranks.svg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import kendalltau

from vgg_ablate.analysis.stability import collect_level_differences
from vgg_ablate.analysis.summary import Report, load_report
from vgg_ablate.config.horizons import HorizonLevel
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import QuantityCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.report.figures import canvas

STUDIES = {"depth": "CIFAR-10", "depth-wide": "CIFAR-10, twice the width", "depth-fashion": "Fashion-MNIST"}
_PANEL_HEIGHT, _LEFT, _RIGHT, _TOP, _FOOT = 1.9, 0.9, 1.1, 0.15, 0.55  # inches


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
        if len(nets) < 3:
            return float("nan")
        return float(kendalltau([self.errors[net] for net in nets], [other.errors[net] for net in nets]).statistic)


def collect_rankings(results: Path) -> list[Ranking]:
    """Return one ranking per study and level at which three nets or more have finished every seed."""
    rankings = []
    for study, data in STUDIES.items():
        if (results / study / "manifest.json").exists():
            rankings += _collect_of_study(load_report(results / study), data)
    return rankings


def _collect_of_study(report: Report, data: str) -> list[Ranking]:
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
        Column("data", "data", "left"),
        Column("epochs", "epochs"),
        Column("nets, the lowest error first", "order", "left"),
        Column("Kendall's tau", "tau"),
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
    return canvas.render_svg(lambda: _plot_ranks(rankings)) if len(rankings) > 1 else ""


def _plot_ranks(rankings: Sequence[Ranking]) -> Figure:
    figure = canvas.create_figure(canvas.WIDTH, _TOP + _PANEL_HEIGHT + _FOOT)
    axes = canvas.add_axes(figure, _LEFT, _TOP, canvas.WIDTH - _LEFT - _RIGHT, _PANEL_HEIGHT)
    nets = list(dict.fromkeys(net for ranking in rankings for net in ranking.order))
    for index, net in enumerate(nets):
        color = canvas.SERIES_COLORS[index % len(canvas.SERIES_COLORS)]
        marker = canvas.MARKERS[index // len(canvas.SERIES_COLORS) % len(canvas.MARKERS)]
        places = [(x, ranking.order.index(net) + 1) for x, ranking in enumerate(rankings) if net in ranking.errors]
        axes.plot(*zip(*places, strict=True), color=color, marker=marker, markersize=5, linewidth=1.4)
        for (x, place), offset, alignment in ((places[0], -8, "right"), (places[-1], 8, "left")):
            axes.annotate(net, (x, place), (offset, 0), textcoords="offset points", ha=alignment, va="center",
                          color=canvas.INK, fontsize=canvas.SMALL_FONT_SIZE)  # fmt: skip
    axes.set_xlim(-0.15, len(rankings) - 0.85)
    axes.set_ylim(max(len(ranking.errors) for ranking in rankings) + 0.4, 0.6)
    axes.set_xticks(
        range(len(rankings)), [f"{item.data.replace(', ', chr(10))}\n{item.epochs} ep." for item in rankings]
    )
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    return figure

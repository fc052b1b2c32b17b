"""The figure of ranks: one column per ranking, one line per item."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from vgg_ablate.report.figures import canvas

_PANEL_HEIGHT, _LEFT, _RIGHT, _TOP, _FOOT = 1.9, 0.9, 1.1, 0.15, 0.55  # inches


def plot_ranks(labels: Sequence[str], orders: Sequence[Sequence[str]]) -> Figure:
    """Draw the rank of every item in every order, the first at the top; an item may be missing in some."""
    figure = canvas.create_figure(canvas.WIDTH, _TOP + _PANEL_HEIGHT + _FOOT)
    axes = canvas.add_axes(figure, _LEFT, _TOP, canvas.WIDTH - _LEFT - _RIGHT, _PANEL_HEIGHT)
    for index, item in enumerate(dict.fromkeys(item for order in orders for item in order)):
        color = canvas.SERIES_COLORS[index % len(canvas.SERIES_COLORS)]
        marker = canvas.MARKERS[index // len(canvas.SERIES_COLORS) % len(canvas.MARKERS)]
        ranks = [(column, order.index(item) + 1) for column, order in enumerate(orders) if item in order]
        axes.plot(*zip(*ranks, strict=True), color=color, marker=marker, markersize=5, linewidth=1.4)
        for end, offset, alignment in ((ranks[0], -8, "right"), (ranks[-1], 8, "left")):
            axes.annotate(item, end, (offset, 0), textcoords="offset points", ha=alignment, va="center",
                          color=canvas.INK, fontsize=canvas.SMALL_FONT_SIZE)  # fmt: skip
    axes.set_xlim(-0.15, len(orders) - 0.85)
    axes.set_ylim(max(map(len, orders)) + 0.4, 0.6)
    axes.set_xticks(range(len(orders)), labels)
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    return figure

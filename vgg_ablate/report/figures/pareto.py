"""The Pareto front of a design space as a CSV file and as a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from math import log10
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgg_ablate.models.costs import Costs
from vgg_ablate.report.figures import canvas, scales

FrontMember = tuple[dict[str, Any], Costs]


def serialize_front(front: Sequence[FrontMember]) -> str:
    """Return CSV text with one row per net: its values in the space, then its costs, unrounded."""
    text = io.StringIO()
    paths = list(front[0][0]) if front else []
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*paths, *Costs.__slots__])
    writer.writerows([*point.values(), *costs.as_dict().values()] for point, costs in front)
    return text.getvalue()


def draw_front(front: Sequence[FrontMember], title: str) -> str:
    """Return SVG text of params against MACs; larger and darker marks have a larger receptive field."""
    return canvas.render_svg(lambda: _plot_front(front, title))


def _plot_front(front: Sequence[FrontMember], title: str) -> Figure:
    figure = canvas.create_figure(canvas.WIDTH, 3.6)
    axes = canvas.add_axes(figure, 0.7, 0.35, 5.9, 2.7)
    axes.set_title(f"{title}: Pareto front of {len(front)} nets")
    fields = sorted({costs.receptive_field for _, costs in front})
    _draw_nets(axes, front, fields)
    if front:
        scales.set_cost_scale(axes, [costs.params for _, costs in front], "x")
        scales.set_cost_scale(axes, [costs.macs for _, costs in front], "y")
    axes.set_xlabel("trained parameters")
    axes.set_ylabel("MACs for one example")
    if fields:
        axes.legend(
            title="receptive field",
            frameon=False,
            fontsize=canvas.SMALL_FONT_SIZE,
            title_fontsize=canvas.SMALL_FONT_SIZE,
            loc="best",
        )
    return figure


def _draw_nets(axes: Axes, front: Sequence[FrontMember], fields: Sequence[int]) -> None:
    # The legend names the smallest, the middle and the largest field: a front can have dozens.
    named = (fields[0], fields[len(fields) // 2], fields[-1]) if fields else ()
    for field in fields:
        nets = sorted((costs.params, costs.macs) for _, costs in front if costs.receptive_field == field)
        share = log10(field / fields[0] * 1.0001) / log10(fields[-1] / fields[0] * 1.0001) if len(fields) > 1 else 1.0
        axes.plot(
            *zip(*nets, strict=True),
            "o",
            color=canvas.ACCENT,
            alpha=0.35 + 0.65 * share,
            markersize=3 + 4 * share,
            label=f"{field} px" if field in named else None,
        )

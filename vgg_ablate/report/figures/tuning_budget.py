"""The expected best validation error against the number of trials, one line per variant (Dodge et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vgg_ablate.report.figures import canvas

MOST_LINES = 12
_LEFT, _TOP, _WIDTH, _HEIGHT = 0.55, 0.15, 4.4, 2.4


def plot_tuning_budget(expected: Mapping[str, Sequence[float]], epochs: int) -> Figure:
    """Draw the expected best error of 1, 2, ... trials of `epochs` epochs; names stand at the right, spread apart."""
    figure = canvas.create_figure(canvas.WIDTH, 3.1)
    axes = canvas.add_axes(figure, _LEFT, _TOP, _WIDTH, _HEIGHT)
    shown = dict(list(expected.items())[:MOST_LINES])
    low, high = canvas.compute_error_limits([error for line in shown.values() for error in line])
    most = max(len(line) for line in shown.values())
    axes.set_ylim(low, high)
    axes.set_xlim(0.8, most + 0.2)
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    heights = _spread([line[-1] for line in shown.values()], (high - low) * 0.13 / _HEIGHT, low, high)
    for index, ((name, line), height) in enumerate(zip(shown.items(), heights, strict=True)):
        colour = canvas.SERIES_COLORS[index % len(canvas.SERIES_COLORS)]
        marker = canvas.MARKERS[index // len(canvas.SERIES_COLORS) % len(canvas.MARKERS)]
        axes.plot(range(1, len(line) + 1), line, color=colour, marker=marker, markersize=3.5, linewidth=1.2)
        label = canvas.wrap_text(name, canvas.WIDTH - _LEFT - _WIDTH - 0.35, canvas.SMALL_FONT_SIZE, 1)[0]
        axes.annotate(
            label,
            (most + 0.2, line[-1]),
            (most + 0.2 + 0.2 * most / _WIDTH, height),
            color=canvas.INK,
            fontsize=canvas.SMALL_FONT_SIZE,
            verticalalignment="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0},
        )
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    canvas.set_plain_ticks(axes.yaxis)
    axes.set_xlabel(f"trials of {epochs} epoch{'s' * (epochs != 1)}")
    axes.set_ylabel("expected best validation error, %")
    return figure


def _spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights near the values, in their order, at least `gap` apart where there is room for that."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    heights = [values[index] for index in order]
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + gap)
    over = max(0.0, heights[-1] - high)
    heights = [height - over for height in heights]
    for index in range(len(heights) - 2, -1, -1):
        heights[index] = min(heights[index], heights[index + 1] - gap)
    placed = dict(zip(order, heights, strict=True))
    return [placed[index] for index in range(len(values))]

"""The figure of the expected best validation error against the number of trials (Dodge et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vgg_ablate.report.figures import canvas

MOST_LINES = 12
_LEFT, _TOP, _WIDTH, _HEIGHT = 0.55, 0.15, 4.4, 2.4  # inches
_NAME_HEIGHT = 0.13  # inches


def plot_tuning_budget(expected: Mapping[str, Sequence[float]], epochs: int) -> Figure:
    """Draw one line per variant: the expected best error in percent of 1, 2, ... trials of `epochs` epochs.

    Names stand at the right ends of the lines, moved apart where lines end close to each other.
    """
    figure = canvas.create_figure(canvas.WIDTH, 3.1)
    axes = canvas.add_axes(figure, _LEFT, _TOP, _WIDTH, _HEIGHT)
    shown = dict(list(expected.items())[:MOST_LINES])
    low, high = canvas.compute_error_limits([error for line in shown.values() for error in line])
    trials = max(len(line) for line in shown.values())
    right = trials + 0.2
    axes.set_ylim(low, high)
    axes.set_xlim(0.8, right)
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    heights = _spread_heights([line[-1] for line in shown.values()], (high - low) * _NAME_HEIGHT / _HEIGHT, high)
    for index, ((name, line), height) in enumerate(zip(shown.items(), heights, strict=True)):
        color = canvas.SERIES_COLORS[index % len(canvas.SERIES_COLORS)]
        marker = canvas.MARKERS[index // len(canvas.SERIES_COLORS) % len(canvas.MARKERS)]
        axes.plot(range(1, len(line) + 1), line, color=color, marker=marker, markersize=3.5, linewidth=1.2)
        _write_name(axes, name, (right, line[-1]), (right + 0.2 * trials / _WIDTH, height), color)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    canvas.set_plain_ticks(axes.yaxis)
    axes.set_xlabel(f"trials of {epochs} epoch{'s' * (epochs != 1)}")
    axes.set_ylabel("expected best validation error, %")
    return figure


def _write_name(axes: Axes, name: str, end: tuple[float, float], position: tuple[float, float], color: str) -> None:
    axes.annotate(
        canvas.wrap_text(name, canvas.WIDTH - _LEFT - _WIDTH - 0.35, canvas.SMALL_FONT_SIZE, 1)[0],
        end,
        position,
        color=canvas.INK,
        fontsize=canvas.SMALL_FONT_SIZE,
        verticalalignment="center",
        annotation_clip=False,
        # relpos: the line ends at the left edge of the name; from its centre it would cross neighbouring names.
        arrowprops={
            "arrowstyle": "-",
            "color": color,
            "linewidth": 0.7,
            "relpos": (0, 0.5),
            "shrinkA": 1,
            "shrinkB": 0,
            "patchA": None,
        },
    )


def _spread_heights(values: Sequence[float], gap: float, high: float) -> list[float]:
    """Return heights near the values, in the same order, at least `gap` apart and at most `high`."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    heights = [values[index] for index in order]
    # Push up from the lowest, shift the stack below the upper edge, then push down what that made too close.
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + gap)
    overflow = max(0.0, heights[-1] - high)
    heights = [height - overflow for height in heights]
    for index in range(len(heights) - 2, -1, -1):
        heights[index] = min(heights[index], heights[index + 1] - gap)
    by_index = dict(zip(order, heights, strict=True))
    return [by_index[index] for index in range(len(values))]

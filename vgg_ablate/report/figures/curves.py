"""The figure of learning curves: one panel per variant, one line per seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from vgg_ablate.analysis.summary import Report
from vgg_ablate.formatting import numbers
from vgg_ablate.report.figures import canvas

MAX_PANELS = 12
MAX_LINES = 12  # thin lines per panel; more overlap to one grey area
_MAX_POINTS = 60  # per line: at a panel's width of 1.5 inches, more points cannot be distinguished
_TITLE_WIDTH = 1.45  # inches
_GRID = canvas.PanelGrid(columns=4, left=0.55, gap=0.2, top=0.28, height=1.45, pitch=1.83, foot=0.45)
_ZERO_ERROR = 1e-9  # percent; 1 - accuracy of a perfect epoch can miss 0 by rounding

SeedCurves = Mapping[int, Sequence[tuple[int, float]]]  # seed -> (epoch, validation error in percent)


def collect_curves(report: Report) -> dict[str, SeedCurves]:
    """Return the curves of at most MAX_PANELS variants: the base, then those in claims, then the others."""
    claimed = {name for verdict in report.verdicts for name in verdict.weights}
    names = [row.name for row in report.rows]
    shown = sorted(names, key=lambda name: (name != names[0], name not in claimed, names.index(name)))[:MAX_PANELS]
    epochs = report.epochs[report.epochs["variant"].isin(shown)]
    curves = {str(name): _group_by_seed(rows) for name, rows in epochs.groupby("variant", sort=False)}
    return {name: curves[name] for name in names if name in curves}


def plot_curves(curves: Mapping[str, SeedCurves]) -> Figure:
    """Draw one panel per variant, the base first; every other panel shows the base's mean for comparison."""
    figure, panels = _GRID.create_figure(len(curves))
    base = next(iter(curves))
    for (name, lines), (axes, is_leftmost, is_lowest) in zip(curves.items(), panels, strict=True):
        _set_scales(axes, curves)
        _draw_panel(axes, name, lines, None if name == base else curves[base])
        axes.tick_params(labelleft=is_leftmost, labelbottom=is_lowest)
        if is_lowest:
            axes.set_xlabel("epoch")
    panels[0].axes.set_ylabel("validation error, %")
    return figure


def _group_by_seed(rows: pd.DataFrame) -> SeedCurves:
    curves: dict[int, list[tuple[int, float]]] = {}
    for seed, epoch, accuracy in rows[["seed", "epoch", "val_accuracy"]].itertuples(index=False):
        curves.setdefault(int(seed), []).append((int(epoch), 100 * (1 - float(accuracy))))
    return curves


def _draw_panel(axes: Axes, name: str, lines: SeedCurves, base: SeedCurves | None) -> None:
    color = canvas.ACCENT if base is None else canvas.INK
    axes.set_title(canvas.shorten_name(name, _TITLE_WIDTH), color=color)
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    if base is not None:
        mean = _thin_out(_average_by_epoch(base))
        axes.plot(*zip(*mean, strict=True), color=canvas.ACCENT, linewidth=1.1, dashes=(3, 1.5), zorder=2)
    for points in list(lines.values())[:MAX_LINES]:
        axes.plot(*zip(*_thin_out(points), strict=True), color=color, alpha=0.3, linewidth=0.7, zorder=3)
    axes.plot(*zip(*_thin_out(_average_by_epoch(lines)), strict=True), color=color, linewidth=1.5, zorder=4)


def _thin_out(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """Return at most _MAX_POINTS evenly spaced points, counted from the last one, which is always kept."""
    step = ceil(len(points) / _MAX_POINTS)
    return points[::-step][::-1]


def _average_by_epoch(lines: SeedCurves) -> list[tuple[int, float]]:
    """Return the mean error per epoch over the seeds that reached the epoch."""
    by_epoch: dict[int, list[float]] = {}
    for points in lines.values():
        for epoch, error in points:
            by_epoch.setdefault(epoch, []).append(error)
    return [(epoch, sum(errors) / len(errors)) for epoch, errors in sorted(by_epoch.items())]


def _set_scales(axes: Axes, curves: Mapping[str, SeedCurves]) -> None:
    """Use a log scale if errors span more than a decade; an error of 0 is drawn below the lowest positive one."""
    errors = [error for lines in curves.values() for points in lines.values() for _, error in points]
    epochs = [epoch for lines in curves.values() for points in lines.values() for epoch, _ in points]
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    lowest = min((error for error in errors if error > _ZERO_ERROR), default=1.0)
    if max(errors) < 10 * lowest:
        axes.set_ylim(*canvas.compute_limits(errors))
        canvas.set_plain_ticks(axes.yaxis, 4)
        return
    has_zero = min(errors) <= _ZERO_ERROR
    # symlog is linear below the lowest positive error, so that 0 has a finite position.
    axes.set_yscale("symlog", linthresh=lowest, linscale=0.4) if has_zero else axes.set_yscale("log")
    axes.set_ylim(-0.15 * lowest if has_zero else lowest / 1.25, min(100.0, max(errors) * 1.3))
    ticks = [tick for tick in (0.001, 0.01, 0.1, 0.3, 1, 3, 10, 30, 100) if lowest <= tick <= max(errors)]
    axes.yaxis.set_major_locator(FixedLocator([0.0, *ticks] if has_zero else ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: numbers.format_compact(value, 4)))
    axes.yaxis.set_minor_locator(NullLocator())

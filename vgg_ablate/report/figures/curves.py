"""Learning curves: a panel a variant, a line a seed."""

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

MAX_PANELS = 12  # panels
_LINES, _POINTS = 12, 60  # a panel, a line
_COLUMNS, _HEIGHT, _TITLE = 4, 1.55, 1.45
_LEFT, _GAP, _TOP, _FOOT = 0.55, 0.2, 0.28, 0.45

SeedCurves = Mapping[int, Sequence[tuple[int, float]]]  # seed -> (epoch, validation error in percent)


def collect_curves(report: Report) -> dict[str, SeedCurves]:
    """Of the base, then of the variants that claims are about, then of the others; at most MOST of them."""
    claimed = {name for verdict in report.verdicts for name in verdict.weights}
    names = [row.name for row in report.rows]
    shown = sorted(names, key=lambda name: (name != names[0], name not in claimed, names.index(name)))[:MAX_PANELS]
    epochs = report.epochs[report.epochs["variant"].isin(shown)]
    found = {str(name): _of(rows) for name, rows in epochs.groupby("variant", sort=False)}
    return {name: found[name] for name in names if name in found}


def plot_curves(found: Mapping[str, SeedCurves]) -> Figure:
    """Every panel has the base's mean in it, for comparison; the first is the base."""
    columns = min(_COLUMNS, len(found))
    rows = ceil(len(found) / columns)
    figure = canvas.create_figure(canvas.WIDTH, rows * (_TOP + _HEIGHT) + _FOOT)
    width = (canvas.WIDTH - _LEFT - (_COLUMNS - 1) * _GAP - 0.05) / _COLUMNS
    base = next(iter(found))
    for index, (name, lines) in enumerate(found.items()):
        row, column = divmod(index, columns)
        place = (_LEFT + column * (width + _GAP), _TOP + row * (_TOP + _HEIGHT))
        axes = canvas.add_axes(figure, *place, width, _HEIGHT - 0.1)
        _scaled(axes, found)
        _panel(axes, name, lines, None if name == base else found[base])
        last = index + columns >= len(found)
        axes.tick_params(labelleft=column == 0, labelbottom=last)
        if last:
            axes.set_xlabel("epoch")
        if column == 0 and row == 0:
            axes.set_ylabel("validation error, %")
    return figure


def _of(rows: pd.DataFrame) -> SeedCurves:
    by_seed: dict[int, list[tuple[int, float]]] = {}
    for seed, epoch, accuracy in rows[["seed", "epoch", "val_accuracy"]].itertuples(index=False):
        by_seed.setdefault(int(seed), []).append((int(epoch), 100 * (1 - float(accuracy))))
    return by_seed


def _panel(axes: Axes, name: str, lines: SeedCurves, base: SeedCurves | None) -> None:
    axes.set_title(_title(name), color=canvas.ACCENT if base is None else canvas.INK)
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    if base is not None:
        axes.plot(
            *zip(*_thinned(_mean(base)), strict=True), color=canvas.ACCENT, linewidth=1.1, dashes=(3, 1.5), zorder=2
        )
    colour = canvas.ACCENT if base is None else canvas.INK
    for points in list(lines.values())[:_LINES]:
        axes.plot(*zip(*_thinned(points), strict=True), color=colour, alpha=0.3, linewidth=0.7, zorder=3)
    axes.plot(*zip(*_thinned(_mean(lines)), strict=True), color=colour, linewidth=1.5, zorder=4)


def _title(name: str) -> str:
    """What fits above a panel: of `kernel=five+norm=none`, where that is too long, the levels alone."""
    parts = [part.partition("=") for part in name.split("+")]
    if canvas.measure_text_inches(name) > _TITLE and all(level for _, _, level in parts):
        name = ", ".join(level for _, _, level in parts)
    return canvas.wrap_text(name, _TITLE, canvas.FONT_SIZE, 1)[0]


def _thinned(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """At most so many points of a line that they cannot be told apart, the last one among them."""
    step = ceil(len(points) / _POINTS)
    return points[::-step][::-1]


def _mean(lines: SeedCurves) -> list[tuple[int, float]]:
    """Over the seeds that reached the epoch."""
    by_epoch: dict[int, list[float]] = {}
    for points in lines.values():
        for epoch, error in points:
            by_epoch.setdefault(epoch, []).append(error)
    return [(epoch, sum(errors) / len(errors)) for epoch, errors in sorted(by_epoch.items())]


def _scaled(axes: Axes, found: Mapping[str, SeedCurves]) -> None:
    """Errors on a log scale where they span more than a decade; an error of 0 has its own place below it."""
    errors = [error for lines in found.values() for points in lines.values() for _, error in points]
    epochs = [epoch for lines in found.values() for points in lines.values() for epoch, _ in points]
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    least = min((error for error in errors if error > 1e-9), default=1.0)
    if max(errors) < 10 * least:
        axes.set_ylim(*canvas.compute_limits(errors))
        canvas.set_plain_ticks(axes.yaxis, 4)
        return
    zero = min(errors) <= 1e-9
    axes.set_yscale("symlog", linthresh=least, linscale=0.4) if zero else axes.set_yscale("log")
    axes.set_ylim(-0.15 * least if zero else least / 1.25, min(100.0, max(errors) * 1.3))
    ticks = [tick for tick in (0.001, 0.01, 0.1, 0.3, 1, 3, 10, 30, 100) if least <= tick <= max(errors)]
    axes.yaxis.set_major_locator(FixedLocator([0.0, *ticks] if zero else ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: numbers.format_compact(value, 4)))
    axes.yaxis.set_minor_locator(NullLocator())

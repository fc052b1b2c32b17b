"""Test error at the levels of each factor: a panel a factor, a thin line a seed, the mean on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isnan, nan, sqrt

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgg_ablate.analysis.effects import FactorialEffects
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.summary import PRIMARY_METRIC, Report
from vgg_ablate.report.figures import canvas

_COLUMNS, _HEIGHT = 3, 1.7
_LEFT, _GAP, _TOP, _FOOT = 0.55, 0.3, 0.3, 0.5


@dataclass(frozen=True)
class PlottedLevel:
    """A level of a factor: test errors in percent, one a seed in the order of the study's; NaN: there is none."""

    label: str
    is_base: bool
    errors: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds that are there."""
        known = [error for error in self.errors if not isnan(error)]
        return sum(known) / len(known) if known else nan

    @property
    def sd(self) -> float:
        """Over the seeds that are there; NaN with fewer than two."""
        known = [error for error in self.errors if not isnan(error)]
        return sqrt(sum((one - self.mean) ** 2 for one in known) / (len(known) - 1)) if len(known) > 1 else nan


LevelsByFactor = Mapping[str, Sequence[PlottedLevel]]


def collect_factor_levels(report: Report) -> dict[str, list[PlottedLevel]]:
    """The variants of each factor; the base is one of each, at its own level."""
    errors = collect_by_seed(report.frame, PRIMARY_METRIC)

    def level(label: str, name: str, *, is_base: bool = False) -> PlottedLevel:
        own = errors.get(name, {})
        return PlottedLevel(label, is_base, tuple(own.get(seed, nan) for seed in report.study.seed_list))

    base = report.base.variant
    found: dict[str, list[PlottedLevel]] = {}
    for row in report.rows[1:]:
        for factor, label in row.variant.levels.items():
            first = level(base.levels.get(factor, "base"), base.name, is_base=True)
            found.setdefault(factor, [first]).append(level(label, row.name))
    return {factor: _ordered(levels) for factor, levels in found.items()}


def average_factor_levels(effects: FactorialEffects, base: Mapping[str, str]) -> dict[str, list[PlottedLevel]]:
    """The levels of a factorial design, each the mean over all variants at it."""
    return {
        factor: _ordered(
            [PlottedLevel(label, label == base.get(factor), effects.means[factor, label]) for label in labels]
        )
        for factor, labels in effects.factors.items()
    }


def plot_factor_levels(found: LevelsByFactor) -> Figure:
    """Panels side by side, on one scale of errors."""
    columns = min(_COLUMNS, len(found))
    rows = ceil(len(found) / columns)
    figure = canvas.create_figure(canvas.WIDTH, rows * (_TOP + _HEIGHT + _FOOT))
    width = (canvas.WIDTH - _LEFT - (_COLUMNS - 1) * _GAP - 0.05) / _COLUMNS
    limits = canvas.compute_error_limits(
        [error for levels in found.values() for level in levels for error in level.errors if not isnan(error)]
    )
    for index, (factor, levels) in enumerate(found.items()):
        row, column = divmod(index, columns)
        top = _TOP + row * (_TOP + _HEIGHT + _FOOT)
        axes = canvas.add_axes(figure, _LEFT + column * (width + _GAP), top, width, _HEIGHT)
        axes.set_ylim(*limits)
        canvas.set_plain_ticks(axes.yaxis)
        axes.set_title(canvas.wrap_text(factor.removeprefix("arch."), width, canvas.FONT_SIZE, 1)[0])
        _panel(axes, levels)
        canvas.set_level_ticks(axes, [level.label for level in levels], width)
        axes.tick_params(labelleft=column == 0)
        if index == 0:
            axes.set_ylabel("test error, %")
    return figure


def _ordered(levels: list[PlottedLevel]) -> list[PlottedLevel]:
    """By size where every level is a number."""
    try:
        return sorted(levels, key=lambda level: float(level.label))
    except ValueError:
        return levels


def _panel(axes: Axes, levels: Sequence[PlottedLevel]) -> None:
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    for errors in zip(*(level.errors for level in levels), strict=True):
        axes.plot(range(len(levels)), errors, color=canvas.SOFT, alpha=0.35, linewidth=0.7, zorder=2)
    for x, level in enumerate(levels):
        colour = canvas.ACCENT if level.is_base else canvas.INK
        if not isnan(level.sd):
            axes.plot([x, x], [level.mean - level.sd, level.mean + level.sd], color=colour, linewidth=1.4, zorder=3)
        axes.plot([x], [level.mean], "D" if level.is_base else "o", color=colour, markersize=6, zorder=4)

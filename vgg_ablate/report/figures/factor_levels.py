"""The figure of test error at the levels of each factor: one panel per factor, one thin line per seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgg_ablate.analysis.effects import FactorialEffects
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.variant_rows import PRIMARY_METRIC
from vgg_ablate.report.figures import canvas

_GRID = canvas.PanelGrid(columns=3, left=0.55, gap=0.3, top=0.3, height=1.7, pitch=2.5)


@dataclass(frozen=True)
class PlottedLevel:
    """A level of a factor with its test errors in percent: one per seed in the study's order, NaN for no result."""

    label: str
    is_base: bool
    errors: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds with a result; NaN without one."""
        known = [error for error in self.errors if not isnan(error)]
        return sum(known) / len(known) if known else nan

    @property
    def sd(self) -> float:
        """Sample standard deviation over the seeds with a result; NaN for fewer than two."""
        known = [error for error in self.errors if not isnan(error)]
        return sqrt(sum((error - self.mean) ** 2 for error in known) / (len(known) - 1)) if len(known) > 1 else nan


LevelsByFactor = Mapping[str, Sequence[PlottedLevel]]


def collect_factor_levels(report: Report) -> dict[str, list[PlottedLevel]]:
    """Return the variants of each factor of a one-factor-at-a-time design, the base among them at its own level."""
    errors = collect_by_seed(report.frame, PRIMARY_METRIC)

    def build_level(label: str, variant: str, *, is_base: bool = False) -> PlottedLevel:
        own = errors.get(variant, {})
        return PlottedLevel(label, is_base, tuple(own.get(seed, nan) for seed in report.study.seed_list))

    base = report.base.variant
    factors: dict[str, list[PlottedLevel]] = {}
    for row in report.rows[1:]:
        for factor, label in row.variant.levels.items():
            if factor not in factors:
                factors[factor] = [build_level(base.levels.get(factor, "base"), base.name, is_base=True)]
            factors[factor].append(build_level(label, row.name))
    return {factor: _sort_levels(levels) for factor, levels in factors.items()}


def average_factor_levels(effects: FactorialEffects, base: Mapping[str, str]) -> dict[str, list[PlottedLevel]]:
    """Return the levels of a factorial design, each averaged over all variants at that level."""
    return {
        factor: _sort_levels(
            [PlottedLevel(label, label == base.get(factor), effects.means[factor, label]) for label in labels]
        )
        for factor, labels in effects.factors.items()
    }


def plot_factor_levels(factors: LevelsByFactor) -> Figure:
    """Draw one panel per factor; all panels share the scale of errors."""
    figure, panels = _GRID.create_figure(len(factors))
    limits = canvas.compute_error_limits(
        [error for levels in factors.values() for level in levels for error in level.errors if not isnan(error)]
    )
    for (factor, levels), (axes, is_leftmost, _) in zip(factors.items(), panels, strict=True):
        axes.set_ylim(*limits)
        canvas.set_plain_ticks(axes.yaxis)
        axes.set_title(canvas.wrap_text(factor.removeprefix("arch."), _GRID.width, canvas.FONT_SIZE, 1)[0])
        _draw_panel(axes, levels)
        canvas.set_level_ticks(axes, [level.label for level in levels], _GRID.width)
        axes.tick_params(labelleft=is_leftmost)
    panels[0].axes.set_ylabel("test error, %")
    return figure


def _sort_levels(levels: list[PlottedLevel]) -> list[PlottedLevel]:
    """Sort levels by size if all are numbers; otherwise keep their order in the study file."""
    try:
        return sorted(levels, key=lambda level: float(level.label))
    except ValueError:
        return levels


def _draw_panel(axes: Axes, levels: Sequence[PlottedLevel]) -> None:
    axes.grid(axis="y", color=canvas.BAND, linewidth=0.8)
    for errors in zip(*(level.errors for level in levels), strict=True):
        axes.plot(range(len(levels)), errors, color=canvas.SOFT, alpha=0.35, linewidth=0.7, zorder=2)
    for x, level in enumerate(levels):
        color = canvas.ACCENT if level.is_base else canvas.INK
        if not isnan(level.sd):
            axes.plot([x, x], [level.mean - level.sd, level.mean + level.sd], color=color, linewidth=1.4, zorder=3)
        axes.plot([x], [level.mean], "D" if level.is_base else "o", color=color, markersize=6, zorder=4)

"""The figure of effects against the levels of the horizons: one panel per claim, with the interval at every level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from vgg_ablate.analysis.stability import Crossing
from vgg_ablate.analysis.stats import FloatArray, estimate_paired
from vgg_ablate.analysis.summary import Report
from vgg_ablate.config.horizons import HorizonLevel
from vgg_ablate.formatting import numbers
from vgg_ablate.report.figures import canvas

MAX_PANELS = 12
_GRID = canvas.PanelGrid(columns=3, left=0.5, gap=0.35, top=0.47, height=1.25, pitch=1.77, foot=0.47, right=0.1)


@dataclass(frozen=True)
class EffectPoint:
    """The mean difference at one level with its 95 % interval."""

    level: float
    mean: float
    low: float
    high: float
    withdrawn: bool = False  # from a study that decides nothing any more


@dataclass(frozen=True)
class EffectPanel:
    """The differences of one comparison over the levels."""

    title: str  # of two lines at most
    points: tuple[EffectPoint, ...]
    smallest_effect: float | None = None
    crossing: Crossing | None = None
    reference: float | None = None  # a published difference, marked at the right edge


def collect_effect_panels(report: Report) -> list[EffectPanel]:
    """Return one panel per claim on errors that has a difference at two levels or more."""
    return [
        EffectPanel(
            effects.verdict.claim.text,
            tuple(build_point(level, seeds) for level, seeds in effects.differences.items()),
            effects.verdict.claim.smallest_effect,
            effects.crossing,
        )
        for effects in report.claim_effects
    ][:MAX_PANELS]


def build_point(level: HorizonLevel, seeds: FloatArray) -> EffectPoint:
    """Return the mean of differences, one per seed, with its 95 % interval."""
    estimate = estimate_paired(seeds)
    low, high = estimate.compute_interval()
    return EffectPoint(float(level), float(estimate.mean), float(low), float(high))


def plot_level_effects(panels: Sequence[EffectPanel], label: str, unit: str = "a − b, points") -> Figure:
    """Draw the panels with common axes; `label` names the level, `unit` the difference."""
    figure, places = _GRID.create_figure(len(panels))
    limits = _compute_limits(panels)
    levels = sorted({point.level for panel in panels for point in panel.points})
    for panel, (axes, is_leftmost, is_lowest) in zip(panels, places, strict=True):
        axes.set_ylim(*limits)
        _set_level_scale(axes, levels)
        title = canvas.wrap_text(panel.title, _GRID.width + 0.5 * _GRID.gap, canvas.SMALL_FONT_SIZE, 2)
        axes.set_title("\n".join(title), fontsize=canvas.SMALL_FONT_SIZE)
        _draw_panel(axes, panel)
        canvas.set_plain_ticks(axes.yaxis, 4)
        axes.tick_params(labelleft=is_leftmost, labelbottom=is_lowest)
        if is_lowest:
            axes.set_xlabel(label)
        if is_leftmost:
            axes.set_ylabel(unit)
    return figure


def _draw_panel(axes: Axes, panel: EffectPanel) -> None:
    axes.axhline(0, color=canvas.SOFT, linewidth=0.8, zorder=1)
    if panel.smallest_effect:
        axes.axhspan(-panel.smallest_effect, panel.smallest_effect, color=canvas.BAND, linewidth=0, zorder=0)
    registered = [point for point in panel.points if not point.withdrawn]
    axes.plot([p.level for p in registered], [p.mean for p in registered], color=canvas.ACCENT, linewidth=1, zorder=2)
    for point in panel.points:
        color = canvas.INCONCLUSIVE_COLOR if point.withdrawn else canvas.ACCENT
        axes.plot([point.level] * 2, [point.low, point.high], color=color, linewidth=2.2, zorder=3)
        face = canvas.PAPER if point.withdrawn else color
        axes.plot([point.level], [point.mean], "o", color=color, markerfacecolor=face, markersize=5, zorder=4)
    if panel.crossing:
        low, high = panel.crossing.low, panel.crossing.high
        axes.plot([low, high], [0, 0], color=canvas.REFUTED_COLOR, linewidth=2.2, zorder=3)
        axes.plot([panel.crossing.level], [0], "|", color=canvas.REFUTED_COLOR, markersize=9, zorder=4)
    if panel.reference is not None:
        axes.plot([1], [panel.reference], "<", color=canvas.INK, markersize=6, zorder=4, clip_on=False,
                  transform=axes.get_yaxis_transform())  # fmt: skip


def _compute_limits(panels: Sequence[EffectPanel]) -> tuple[float, float]:
    ends = [end for panel in panels for point in panel.points for end in (point.low, point.high) if isfinite(end)]
    references = [panel.reference for panel in panels if panel.reference is not None]
    return canvas.compute_limits([*ends, *references, 0.0], 0.06)


def _set_level_scale(axes: Axes, levels: Sequence[float]) -> None:
    axes.set_xscale("log")
    factor = (levels[-1] / levels[0]) ** 0.1
    axes.set_xlim(levels[0] / factor, levels[-1] * factor)
    axes.xaxis.set_major_locator(FixedLocator(_choose_ticks(levels)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: numbers.format_count(round(value))))


def _choose_ticks(levels: Sequence[float]) -> list[float]:
    """Return the levels, without those closer than a factor of 1.5 to a tick on their left."""
    ticks: list[float] = []
    for level in levels:
        if not ticks or level >= 1.5 * ticks[-1]:
            ticks.append(level)
    return ticks

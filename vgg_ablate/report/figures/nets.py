"""The nets of the variants below each other, layer by layer; what differs from the base is marked.

Blocks and marks are those that `describe` shows; this picture has no scale, so that many nets fit below each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vgg_ablate.analysis.summary import Report
from vgg_ablate.config.arch import Arch
from vgg_ablate.diagrams.blocks import Block, ItemPair, LayerItem, align_blocks, build_blocks, sort_block_names
from vgg_ablate.diagrams.table1 import format_value
from vgg_ablate.models.layers import build_layers
from vgg_ablate.report.figures import canvas

MAX_NETS = 16  # nets
_LEFT, _PITCH, _HIGH = 1.75, 0.5, 0.34  # inches
_GAP = 0.35  # between blocks, in boxes
_TINY = 6.0  # points


@dataclass(frozen=True)
class NetRow:
    """A variant: what was changed, in words, and its blocks, marked against the base's."""

    name: str
    changes: str
    blocks: tuple[tuple[ItemPair, ...], ...]

    @property
    def length(self) -> float:
        """In boxes."""
        return sum(_is_box(one) for block in self.blocks for one in block) + _GAP * (len(self.blocks) - 1)


def collect_nets(report: Report) -> list[NetRow]:
    """The base and the variants that have a record, as they were trained; empty where the base has none."""
    archs = _archs(report)
    if report.base.name not in archs:
        return []
    base = _named(archs[report.base.name])
    shown = [row for row in report.rows if row.name in archs][:MAX_NETS]
    return [NetRow(row.name, _changes(row.variant.changes), _beside(_named(archs[row.name]), base)) for row in shown]


def format_layer(item: LayerItem) -> tuple[str, str]:
    """The two lines of text in a box."""
    if item.kind == "lrn":
        return "LRN", ""
    if item.kind == "pool" and item.kernel is None:
        return "avg", f"{item.size}×{item.size}"
    if item.kind == "dense":
        return "fc", f"{item.channels}"
    rows, columns = item.kernel or (0, 0)
    return f"{rows}×{columns}{'/2' if item.kind == 'pool' else ''}", f"{item.channels}"


def plot_nets(found: Sequence[NetRow]) -> Figure:
    """One row a net."""
    figure = canvas.create_figure(canvas.WIDTH, _PITCH * len(found) + 0.1)
    width = canvas.WIDTH - _LEFT - 0.05
    axes = canvas.add_axes(figure, _LEFT, 0.05, width, _PITCH * len(found))
    axes.set_axis_off()
    axes.set_ylim(_PITCH * len(found), 0)
    axes.set_xlim(0, width)
    unit = min(0.36, width / max(net.length for net in found))
    for index, net in enumerate(found):
        middle = _PITCH * (index + 0.5)
        _train(axes, net, middle, unit)
        _words(figure, net, middle + 0.05, is_base=index == 0)
    return figure


def _archs(report: Report) -> Mapping[str, Arch]:
    found: dict[str, Arch] = {}
    for cell in report.results.manifest.planned:
        record = report.results.records.get(cell.key)
        if record is not None:
            found.setdefault(cell.variant, record.run.arch)
    return found


def _named(arch: Arch) -> dict[str, Block]:
    return {block.name: block for block in build_blocks(build_layers(arch))}


def _beside(these: Mapping[str, Block], base: Mapping[str, Block]) -> tuple[tuple[ItemPair, ...], ...]:
    return tuple(align_blocks(these.get(name), base.get(name)) for name in sort_block_names({*these, *base}))


def _is_box(one: ItemPair) -> bool:
    """Is it a layer, not the stroke of a stage's pooling?"""
    item = one.item or one.base
    return item is not None and (item.kind != "pool" or item.pooling in ("conv", "adaptive"))


def _changes(changes: Mapping[str, object]) -> str:
    return ", ".join(f"{path.removeprefix('arch.')}: {format_value(value)}" for path, value in changes.items())


def _train(axes: Axes, net: NetRow, middle: float, unit: float) -> None:
    x = 0.0
    for block in net.blocks:
        for one in block:
            if _is_box(one):
                _box(axes, one, x, middle, unit)
                x += unit
            else:
                colour = canvas.RULE if one.is_missing else canvas.ACCENT if one.differs else canvas.SOFT
                axes.plot([x + 0.1 * unit] * 2, [middle - _HIGH / 2, middle + _HIGH / 2], color=colour, linewidth=1.6)
        x += _GAP * unit


def _box(axes: Axes, one: ItemPair, x: float, middle: float, unit: float) -> None:
    new = one.differs and not one.is_missing
    patch = Rectangle(
        (x + 0.03 * unit, middle - _HIGH / 2),
        0.94 * unit,
        _HIGH,
        facecolor="none" if one.is_missing else canvas.ACCENT if new else canvas.BAND,
        edgecolor=canvas.RULE if one.is_missing else canvas.ACCENT if new else canvas.RULE,
        linewidth=0.8,
        linestyle=(0, (2, 1.5)) if one.is_missing else "-",
    )
    axes.add_patch(patch)
    if one.item is None:
        return
    if one.item.kind == "conv" and not one.item.activation:
        axes.plot([x + 0.03 * unit, x + 0.97 * unit], [middle + _HIGH / 2] * 2, color=canvas.REFUTED_COLOR, linewidth=2)
    colour = canvas.PAPER if new else canvas.INK
    for text, by in zip(format_layer(one.item), (-0.07, 0.075), strict=True):
        size = min(_TINY + 0.5, (_TINY + 0.5) * 0.86 * unit / max(canvas.measure_text_inches(text, _TINY + 0.5), 0.01))
        axes.text(x + unit / 2, middle + by, text, ha="center", va="center", fontsize=size, color=colour)


def _words(figure: Figure, net: NetRow, middle: float, *, is_base: bool) -> None:
    tall = figure.get_size_inches()[1]
    lines = [canvas.wrap_text(net.name, _LEFT - 0.2, canvas.FONT_SIZE * 1.08, 1)[0]]
    lines += canvas.wrap_text(net.changes, _LEFT - 0.15, _TINY + 0.5, 2)
    top = middle - 0.07 * len(lines)
    for index, line in enumerate(lines):
        size = _TINY + 0.5 if index else canvas.FONT_SIZE
        figure.text(
            0.02 / canvas.WIDTH,
            1 - (top + (0.16 + 0.12 * (index - 1) if index else 0.0)) / tall,
            line,
            va="top",
            fontsize=size,
            fontweight="normal" if index else "bold",
            color=canvas.SOFT if index else canvas.ACCENT if is_base else canvas.INK,
        )

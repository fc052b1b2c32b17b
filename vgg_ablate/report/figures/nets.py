"""The figure of the variants' nets, layer by layer; layers that differ from the base are marked.

Blocks and marks are those of the `describe` command. Unlike its drawing, this one has no scale: every layer takes the
same width, so that many nets fit below each other.
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

MAX_NETS = 16
_LEFT, _PITCH, _BOX_HEIGHT = 1.75, 0.5, 0.34  # inches: names, height of a row, height of a box
_MAX_BOX_WIDTH = 0.36  # inches
_BLOCK_GAP = 0.35  # boxes
_FONT_SIZE = 6.5  # points


@dataclass(frozen=True)
class NetRow:
    """A variant: a description of its changes, and its blocks aligned with the base's."""

    name: str
    changes: str
    blocks: tuple[tuple[ItemPair, ...], ...]

    @property
    def length(self) -> float:
        """Width of the row in boxes, gaps between blocks included."""
        return sum(_is_box(pair) for block in self.blocks for pair in block) + _BLOCK_GAP * (len(self.blocks) - 1)


def collect_nets(report: Report) -> list[NetRow]:
    """Return the base and the variants with a record, as they were trained; empty if the base has no record."""
    archs = _collect_archs(report)
    if report.base.name not in archs:
        return []
    base = _index_blocks(archs[report.base.name])
    return [
        NetRow(row.name, _describe_changes(row.variant.changes), _align(_index_blocks(archs[row.name]), base))
        for row in [row for row in report.rows if row.name in archs][:MAX_NETS]
    ]


def format_layer(item: LayerItem) -> tuple[str, str]:
    """Return the two lines of text in a layer's box."""
    if item.kind == "lrn":
        return "LRN", ""
    if item.kind == "pool" and item.kernel is None:
        return "avg", f"{item.size}×{item.size}"
    if item.kind == "dense":
        return "fc", f"{item.channels}"
    rows, columns = item.kernel or (0, 0)
    return f"{rows}×{columns}{'/2' if item.kind == 'pool' else ''}", f"{item.channels}"


def plot_nets(nets: Sequence[NetRow]) -> Figure:
    """Draw one row per net, the base first."""
    figure = canvas.create_figure(canvas.WIDTH, _PITCH * len(nets) + 0.1)
    width = canvas.WIDTH - _LEFT - 0.05
    axes = canvas.add_axes(figure, _LEFT, 0.05, width, _PITCH * len(nets))
    axes.set_axis_off()
    axes.set_ylim(_PITCH * len(nets), 0)
    axes.set_xlim(0, width)
    box_width = min(_MAX_BOX_WIDTH, width / max(net.length for net in nets))
    for index, net in enumerate(nets):
        middle = _PITCH * (index + 0.5)
        _draw_net(axes, net, middle, box_width)
        _write_texts(figure, net, middle + 0.05, is_base=index == 0)
    return figure


def _collect_archs(report: Report) -> Mapping[str, Arch]:
    """Return the arch of every variant with a record: of the record, because matched widths are resolved in it."""
    archs: dict[str, Arch] = {}
    for cell in report.results.manifest.planned:
        record = report.results.records.get(cell.key)
        if record is not None:
            archs.setdefault(cell.variant, record.run.arch)
    return archs


def _index_blocks(arch: Arch) -> dict[str, Block]:
    return {block.name: block for block in build_blocks(build_layers(arch))}


def _align(blocks: Mapping[str, Block], base: Mapping[str, Block]) -> tuple[tuple[ItemPair, ...], ...]:
    return tuple(align_blocks(blocks.get(name), base.get(name)) for name in sort_block_names({*blocks, *base}))


def _is_box(pair: ItemPair) -> bool:
    """Return whether the layer is drawn as a box; the pooling of a stage without weights is drawn as a stroke."""
    item = pair.item or pair.base
    return item is not None and (item.kind != "pool" or item.pooling in ("conv", "adaptive"))


def _describe_changes(changes: Mapping[str, object]) -> str:
    return ", ".join(f"{path.removeprefix('arch.')}: {format_value(value)}" for path, value in changes.items())


def _draw_net(axes: Axes, net: NetRow, middle: float, box_width: float) -> None:
    top, bottom = middle - _BOX_HEIGHT / 2, middle + _BOX_HEIGHT / 2
    x = 0.0
    for block in net.blocks:
        for pair in block:
            if _is_box(pair):
                _draw_box(axes, pair, x, middle, box_width)
                x += box_width
            else:
                color = canvas.RULE if pair.is_missing else canvas.ACCENT if pair.differs else canvas.SOFT
                axes.plot([x + 0.1 * box_width] * 2, [top, bottom], color=color, linewidth=1.6)
        x += _BLOCK_GAP * box_width


def _draw_box(axes: Axes, pair: ItemPair, x: float, middle: float, width: float) -> None:
    is_new = pair.differs and not pair.is_missing
    bottom = middle + _BOX_HEIGHT / 2
    patch = Rectangle(
        (x + 0.03 * width, middle - _BOX_HEIGHT / 2),
        0.94 * width,
        _BOX_HEIGHT,
        facecolor="none" if pair.is_missing else canvas.ACCENT if is_new else canvas.BAND,
        edgecolor=canvas.ACCENT if is_new else canvas.RULE,
        linewidth=0.8,
        linestyle=(0, (2, 1.5)) if pair.is_missing else "-",
    )
    axes.add_patch(patch)
    if pair.item is None:
        return
    if pair.item.kind == "conv" and not pair.item.activation:
        axes.plot([x + 0.03 * width, x + 0.97 * width], [bottom] * 2, color=canvas.REFUTED_COLOR, linewidth=2)
    color = canvas.PAPER if is_new else canvas.INK
    for text, dy in zip(format_layer(pair.item), (-0.07, 0.075), strict=True):
        text_width = max(canvas.measure_text_inches(text, _FONT_SIZE), 0.01)  # the second line can be empty
        size = min(_FONT_SIZE, _FONT_SIZE * 0.86 * width / text_width)
        axes.text(x + width / 2, middle + dy, text, ha="center", va="center", fontsize=size, color=color)


def _write_texts(figure: Figure, net: NetRow, middle: float, *, is_base: bool) -> None:
    height = figure.get_size_inches()[1]
    # The name is bold, and bold letters are about 8 % wider than the regular ones that wrap_text measures.
    lines = [canvas.shorten_name(net.name, _LEFT - 0.2, canvas.FONT_SIZE * 1.08)]
    lines += canvas.wrap_text(net.changes, _LEFT - 0.15, _FONT_SIZE, 2)
    top = middle - 0.07 * len(lines)
    for index, line in enumerate(lines):
        figure.text(
            0.02 / canvas.WIDTH,
            1 - (top + (0.16 + 0.12 * (index - 1) if index else 0.0)) / height,
            line,
            va="top",
            fontsize=_FONT_SIZE if index else canvas.FONT_SIZE,
            fontweight="normal" if index else "bold",
            color=canvas.SOFT if index else canvas.ACCENT if is_base else canvas.INK,
        )

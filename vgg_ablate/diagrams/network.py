"""Drawings of nets to scale, as SVG: one box per layer, as high as its maps and as wide as its channels.

Sides grow with the square root of map size and channels, so that a map of 7x7 is visible beside one of 224x224. A
shape or a text repeats what a colour means, for readers who cannot distinguish colours: a convolution is darker the
larger its kernel, a pooling is a wedge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import sqrt
from typing import NamedTuple

from vgg_ablate.diagrams.blocks import HEAD_BLOCK, Block, LayerItem, align_blocks, build_blocks, sort_block_names
from vgg_ablate.diagrams.svg import SvgSheet, measure_text_width, truncate_text
from vgg_ablate.diagrams.table1 import NetDescription
from vgg_ablate.formatting import numbers

INK, SOFT, RULE = "#1c2126", "#5c656e", "#c9cfd5"
_KERNEL_COLORS = {1: "#8fd0f5", 3: "#2f8fd0", 5: "#0b5fa5", 7: "#08365f"}  # the larger, the darker
_POOL, _DENSE, _LRN, _NORM = "#e08e45", "#2a9d78", "#cc79a7", "#f4e04d"
_OTHER_KINDS = (("lrn", _LRN, "LRN"), ("pool", _POOL, "pooling"), ("dense", _DENSE, "fully connected"))
_DASHED = f'stroke="{SOFT}" stroke-dasharray="3 2"'

# Font sizes and lengths in pixels.
_TITLE_SIZE, _LABEL_SIZE, _SMALL_SIZE = 14.0, 10.0, 9.5
_MARGIN, _GAP, _BLOCK_GAP = 18.0, 4.0, 16.0
_MIN_PITCH = 15.0  # from one box to the next: room for an upright label
_MAX_TEXT_WIDTH = 860.0  # the subtitle widens the drawing up to this width, and is truncated beyond it
_BAR_HEIGHT = 34.0  # of the largest share


class _Box(NamedTuple):
    item: LayerItem
    differs: bool
    is_missing: bool  # drawn dashed, in the size that the layer has in the base


@dataclass(frozen=True, slots=True)
class _BoxedBlock:
    """One block of one net, with a box for each of its layers and for those that only the base has."""

    block: Block
    boxes: tuple[_Box, ...]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Conversion of map sizes and channels to pixels, the same for all nets of a drawing."""

    max_height: float  # pixels of the largest map
    largest_map: int
    unit_width: float  # pixels of a layer with one channel

    def get_height(self, size: int) -> float:
        return max(7.0, self.max_height * sqrt(size / self.largest_map))

    def get_width(self, item: LayerItem) -> float:
        if item.kind in ("pool", "lrn"):  # they have the channels of the layer before them
            return 13.0
        return max(11.0, self.unit_width * sqrt(item.channels))

    def get_pitch(self, item: LayerItem) -> float:
        """Return the distance from the left edge of a box to that of the next."""
        return max(self.get_width(item) + _GAP, _MIN_PITCH)


Columns = dict[str, tuple[float, float]]  # name of a block -> its left edge and width


def draw_networks(nets: Sequence[NetDescription]) -> str:
    """Return one net, with its layers' shares of params and MACs, or several below each other, as an SVG document.

    The first of several nets is the base; what differs from it is marked in the others.
    """
    alone = nets[0] if len(nets) == 1 else None
    rows = _box_nets(nets)
    scale = _choose_scale(rows, 150.0 if alone else 64.0)
    columns = _place_blocks(rows, scale, alone)
    right = max(x + width for x, width in columns.values())
    longest = max(measure_text_width(_format_costs(net, nets[0]), _LABEL_SIZE) for net in nets)
    width = max(right + _MARGIN, min(longest, _MAX_TEXT_WIDTH) + 2 * _MARGIN)
    sheet, y = SvgSheet(), _MARGIN
    for net, row in zip(nets, rows, strict=True):
        y = _draw_net(sheet, net, nets[0], row, scale, columns, y, width)
    if alone:
        y = _draw_shares(sheet, rows[0], alone, scale, columns, y)
    y = _draw_legend(sheet, rows, y + 8, width)
    names = ", ".join(net.name for net in nets)
    reading = "Layers from left to right; heights follow the size of maps, widths the number of channels."
    costs = f"{nets[0].name}: {_format_costs(nets[0], nets[0])}."
    return sheet.render(width, y + _MARGIN, names, f"{reading} {costs}")


def _box_nets(nets: Sequence[NetDescription]) -> list[list[_BoxedBlock]]:
    """Return the blocks of every net; a block that only the base has is kept, with boxes of missing layers."""
    blocks_per_net = [{block.name: block for block in build_blocks(net.layers)} for net in nets]
    names = sort_block_names({name for blocks in blocks_per_net for name in blocks})
    base = blocks_per_net[0]
    return [
        [boxed for name in names if (boxed := _box_block(blocks.get(name), base.get(name))) is not None]
        for blocks in blocks_per_net
    ]


def _box_block(block: Block | None, base: Block | None) -> _BoxedBlock | None:
    if (either := block or base) is None:
        return None
    boxes = [
        _Box(item, pair.differs, pair.is_missing)
        for pair in align_blocks(block, base)
        if (item := pair.item or pair.base) is not None
    ]
    return _BoxedBlock(either, tuple(boxes))


def _choose_scale(rows: Sequence[Sequence[_BoxedBlock]], max_height: float) -> _Scale:
    items = [box.item for row in rows for boxed in row for box in boxed.boxes]
    convs = max((item.channels for item in items if item.kind == "conv"), default=1)
    dense = max((item.channels for item in items if item.kind == "dense"), default=1)
    largest_map = max(max(item.size_in, item.size) for item in items)
    # The widest convolution gets 42 pixels, unless the widest dense layer would then get more than 110.
    return _Scale(max_height, largest_map, min(42 / sqrt(convs), 110 / sqrt(dense)))


def _place_blocks(rows: Sequence[Sequence[_BoxedBlock]], scale: _Scale, with_shares: NetDescription | None) -> Columns:
    """Return the columns of the blocks; blocks of one name are below each other in all nets."""
    widths: dict[str, float] = {}
    for row in rows:
        for boxed in row:
            texts = [_format_size(boxed.block), *(_format_shares(boxed, with_shares) if with_shares else [])]
            boxes_width = sum(scale.get_pitch(box.item) for box in boxed.boxes) - _GAP
            needed = max(boxes_width, *(measure_text_width(text, _SMALL_SIZE) for text in texts))
            widths[boxed.block.name] = max(widths.get(boxed.block.name, 0.0), needed)
    columns: Columns = {}
    x = _MARGIN + (measure_text_width("params", _SMALL_SIZE) + 8 if with_shares else 0.0)
    for name in sort_block_names(widths):
        columns[name] = (x, widths[name])
        x += widths[name] + _BLOCK_GAP
    return columns


def _draw_net(
    sheet: SvgSheet,
    net: NetDescription,
    base: NetDescription,
    row: Sequence[_BoxedBlock],
    scale: _Scale,
    columns: Columns,
    y: float,
    width: float,
) -> float:
    """Draw one net from `y` downwards and return its lower edge."""
    text_width = width - 2 * _MARGIN
    sheet.add_text(_MARGIN, y + _TITLE_SIZE, net.name, size=_TITLE_SIZE, fill=INK, bold=True)
    costs = truncate_text(_format_costs(net, base), _LABEL_SIZE, text_width)
    sheet.add_text(_MARGIN, y + 30, costs, size=_LABEL_SIZE, fill=SOFT)
    top = y + 48
    if net.changes:
        changes = truncate_text(net.changes, _LABEL_SIZE, text_width)
        sheet.add_text(_MARGIN, y + 44, changes, size=_LABEL_SIZE, fill=INK)
        top += 14
    ground = top + 12 + scale.get_height(max(boxed.block.size for boxed in row))
    left = min(x for x, _ in columns.values())
    right = max(sum(columns[boxed.block.name]) for boxed in row)
    sheet.add_line((left - 6, ground + 0.5), (right + 6, ground + 0.5), SOFT, 1)
    for boxed in row:
        x, _ = columns[boxed.block.name]
        heights = [scale.get_height(max(box.item.size_in, box.item.size)) for box in boxed.boxes]
        size_y = ground - max(heights, default=0.0) - 7
        sheet.add_text(x, size_y, _format_size(boxed.block), size=_SMALL_SIZE, fill=SOFT)
        _draw_block(sheet, boxed, scale, x, ground)
    return ground + 10 + max(_find_longest_label(row), 10.0) + 12


def _draw_block(sheet: SvgSheet, boxed: _BoxedBlock, scale: _Scale, x: float, ground: float) -> None:
    for box in boxed.boxes:
        item, bold, width = box.item, box.differs, scale.get_width(box.item)
        _draw_box(sheet, box, scale, x, ground)
        if box.differs and not box.is_missing:
            height = scale.get_height(item.size_in if item.kind == "pool" else item.size)
            outline = f'stroke="{INK}" stroke-width="1.6"'
            sheet.add_box(x - 2, ground - height - 2, width + 4, height + 2, "none", outline)
        label, middle = _format_label(box), x + width / 2
        if measure_text_width(label, _LABEL_SIZE, bold=bold) <= width:
            sheet.add_text(middle, ground + 14, label, size=_LABEL_SIZE, fill=INK, anchor="middle", bold=bold)
        else:  # upright, centred on the box: 3.6 is half the height of the letters
            corner = (middle + 3.6, ground + 7)
            sheet.add_text(*corner, label, size=_LABEL_SIZE, fill=INK, anchor="end", bold=bold, upwards=True)
        x += scale.get_pitch(item)


def _draw_box(sheet: SvgSheet, box: _Box, scale: _Scale, x: float, ground: float) -> None:
    item, width, height = box.item, scale.get_width(box.item), scale.get_height(box.item.size)
    fill, attributes = ("none", _DASHED) if box.is_missing else (_choose_fill(item), "")
    if item.kind == "pool":
        height_in, right = scale.get_height(item.size_in), x + width
        corners = [(x, ground), (x, ground - height_in), (right, ground - height), (right, ground)]
        sheet.add_polygon(corners, fill, attributes)
        return
    sheet.add_box(x, ground - height, width, height, fill, attributes)
    if item.norm and not box.is_missing:
        sheet.add_box(x + width - 6, ground - height, 3, height, _NORM)
    if item.activation and not box.is_missing:
        sheet.add_box(x + width - 3, ground - height, 3, height, INK)


def _choose_fill(item: LayerItem) -> str:
    if item.kind == "conv":
        side = max(item.kernel or (3, 3))
        return _KERNEL_COLORS[min(_KERNEL_COLORS, key=lambda known: (abs(known - side), known))]
    return {"pool": _POOL, "dense": _DENSE, "lrn": _LRN}[item.kind]


def _format_label(box: _Box) -> str:
    if box.is_missing:
        return "missing *"
    item = box.item
    label = f"{item.label} linear" if item.kind == "conv" and not item.activation else item.label
    return f"{label} *" if box.differs else label


def _find_longest_label(row: Sequence[_BoxedBlock]) -> float:
    return max(
        measure_text_width(_format_label(box), _LABEL_SIZE, bold=box.differs) for boxed in row for box in boxed.boxes
    )


def _format_size(block: Block) -> str:
    return "head" if block.name == HEAD_BLOCK else f"{block.size}×{block.size}"


def _format_costs(net: NetDescription, base: NetDescription) -> str:
    costs, base_costs = net.costs, base.costs

    def format_ratio(value: int, base_value: int) -> str:
        return "" if net is base else f" (×{numbers.format_compact(value / base_value)})"

    texts = [
        f"{numbers.format_count(costs.params)} params{format_ratio(costs.params, base_costs.params)}",
        f"{numbers.format_count(costs.macs)} MACs{format_ratio(costs.macs, base_costs.macs)}",
        f"{costs.weight_layers} weight layers",
        f"receptive field {costs.receptive_field} px",
    ]
    return " · ".join([*texts, f"matched: {net.mismatch}"] if net.mismatch else texts)


_SHARED_COSTS: dict[str, Callable[[LayerItem], int]] = {
    "params": lambda item: item.params,
    "MACs": lambda item: item.macs,
}


def _format_shares(boxed: _BoxedBlock, net: NetDescription) -> list[str]:
    """Return a block's shares of the params and of the MACs of the net that is drawn: of an ensemble, the first."""
    costs = net.nets[0].costs
    totals = {"params": costs.params, "MACs": costs.macs}
    return [
        numbers.format_percentage(sum(get_cost(box.item) for box in boxed.boxes) / totals[name])
        for name, get_cost in _SHARED_COSTS.items()
    ]


def _draw_shares(
    sheet: SvgSheet,
    row: Sequence[_BoxedBlock],
    net: NetDescription,
    scale: _Scale,
    columns: Columns,
    y: float,
) -> float:
    """Draw bars of every layer's params and MACs, with the share of every block, and return their lower edge."""
    for index, (name, get_cost) in enumerate(_SHARED_COSTS.items()):
        largest = max(get_cost(box.item) for boxed in row for box in boxed.boxes)
        ground = y + _BAR_HEIGHT
        sheet.add_text(_MARGIN, ground, name, size=_SMALL_SIZE, fill=INK)
        for boxed in row:
            x, width = columns[boxed.block.name]
            sheet.add_line((x, ground + 0.5), (x + width, ground + 0.5), RULE)
            share = _format_shares(boxed, net)[index]
            sheet.add_text(x + width / 2, ground + 13, share, size=_SMALL_SIZE, fill=SOFT, anchor="middle")
            for box in boxed.boxes:
                height = _BAR_HEIGHT * get_cost(box.item) / largest
                if height > 0:
                    height = max(height, 0.6)  # a layer with any weights stays visible
                    sheet.add_box(x, ground - height, scale.get_width(box.item), height, SOFT)
                x += scale.get_pitch(box.item)
        y = ground + 24
    return y


def _draw_legend(sheet: SvgSheet, rows: Sequence[Sequence[_BoxedBlock]], y: float, width: float) -> float:
    """Draw a legend of what the drawing contains and return its lower edge."""
    x = _MARGIN
    for fill, text in _collect_legend([box for row in rows for boxed in row for box in boxed.boxes]):
        needed = 16 + measure_text_width(text, _SMALL_SIZE) + 14
        if x > _MARGIN and x + needed > width - _MARGIN:
            x, y = _MARGIN, y + 16
        outline = f'stroke="{INK}" stroke-width="1.4"' if fill == "none" else ""
        sheet.add_box(x, y, 10, 10, fill, outline)
        sheet.add_text(x + 15, y + 9, text, size=_SMALL_SIZE, fill=SOFT)
        x += needed
    return y + 10


def _collect_legend(boxes: Sequence[_Box]) -> list[tuple[str, str]]:
    """Return the fill and the text of every entry."""
    items = [box.item for box in boxes if not box.is_missing]
    kernels = {item.kernel: _choose_fill(item) for item in items if item.kind == "conv" and item.kernel}
    by_size = sorted(kernels, key=lambda kernel: (max(kernel), kernel))
    entries = [
        (fill, "conv " + ", ".join(f"{rows}×{columns}" for rows, columns in group))
        for fill, group in groupby(by_size, key=lambda kernel: kernels[kernel])
    ]
    kinds = {item.kind for item in items}
    entries += [(fill, text) for kind, fill, text in _OTHER_KINDS if kind in kinds]
    if any(item.norm for item in items):
        entries.append((_NORM, "norm"))
    if any(item.activation for item in items):
        entries.append((INK, "activation"))
    if any(box.differs for box in boxes):
        entries.append(("none", "* differs from the base"))
    return entries

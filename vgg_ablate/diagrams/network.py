"""A net as a train of blocks, as SVG: a carriage a layer, as high as its maps and as wide as its channels.

Sides grow with the square root of map size and channels, so that a 7x7 map can be seen beside one of 224x224. What a
colour says is also said by a shape or a word: a convolution is darker the larger its kernel, a pooling is a wedge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import sqrt

from vgg_ablate.diagrams.blocks import HEAD_BLOCK, Block, LayerItem, align_blocks, build_blocks, sort_block_names
from vgg_ablate.diagrams.svg import SvgSheet, measure_text_width, truncate_text
from vgg_ablate.diagrams.table1 import NetDescription
from vgg_ablate.formatting import numbers

INK, SOFT, RULE, BAND = "#1c2126", "#5c656e", "#c9cfd5", "#eef1f4"
_KERNELS = {1: "#8fd0f5", 3: "#2f8fd0", 5: "#0b5fa5", 7: "#08365f"}  # the larger, the darker
_POOL, _DENSE, _LRN, _NORM = "#e08e45", "#2a9d78", "#cc79a7", "#f4e04d"
_TITLE, _LABEL, _SMALL = 14.0, 10.0, 9.5
_MARGIN, _GAP, _BETWEEN, _PITCH = 18.0, 4.0, 16.0, 15.0
_READABLE = 860.0  # pixels of a line of words that may make a picture wider than its trains
_BARS = 34.0  # pixels of the highest bar
_DASHES = f'stroke="{SOFT}" stroke-dasharray="3 2"'


@dataclass(frozen=True, slots=True)
class _Wagon:
    """One block of one train: its carriages, those that stand for missing ones with the base's size."""

    block: Block
    cars: tuple[tuple[LayerItem, bool, bool], ...]  # what is drawn, does it differ, is it missing


@dataclass(frozen=True, slots=True)
class _Scale:
    """Pixels of maps and channels; the same for all trains of a picture."""

    highest: float  # pixels of the largest map
    largest: int
    across: float  # pixels of a layer with one channel

    def height(self, size: int) -> float:
        """Of a map's side."""
        return max(7.0, self.highest * sqrt(size / self.largest))

    def width(self, item: LayerItem) -> float:
        """Of a carriage."""
        if item.kind in ("pool", "lrn"):
            return 13.0
        return max(11.0, self.across * sqrt(item.channels))


def draw_networks(nets: Sequence[NetDescription]) -> str:
    """One net with its layers' shares of params and MACs; or several under each other, the first being the base."""
    trains = _trains(nets)
    scale = _scale(trains, 150.0 if len(nets) == 1 else 64.0)
    columns = _columns(trains, scale, shares=nets[0] if len(nets) == 1 else None)
    right = max(x + width for x, width in columns.values())
    longest = max(measure_text_width(_costs_words(one, nets[0]), _LABEL) for one in nets)
    width = max(right + _MARGIN, min(longest, _READABLE) + 2 * _MARGIN)
    sheet = SvgSheet()
    y = _MARGIN
    for one, train in zip(nets, trains, strict=True):
        y = _train(sheet, one, nets[0], train, scale, columns, y, width)
    if len(nets) == 1:
        y = _shares(sheet, trains[0], nets[0], scale, columns, y)
    y = _legend(sheet, trains, y + 8, width)
    names = ", ".join(one.name for one in nets)
    about = "Layers from left to right; heights follow the size of maps, widths the number of channels."
    return sheet.written(width, y + _MARGIN, names, f"{about} {_spoken(nets[0])}")


def _trains(nets: Sequence[NetDescription]) -> list[list[_Wagon]]:
    found = [{block.name: block for block in build_blocks(one.net)} for one in nets]
    return [
        [wagon for name in _names(found) if (wagon := _wagon(each.get(name), found[0].get(name)))] for each in found
    ]


def _names(found: Sequence[dict[str, Block]]) -> list[str]:
    return sort_block_names({name for each in found for name in each})


def _wagon(block: Block | None, base: Block | None) -> _Wagon | None:
    named = block or base
    if named is None:
        return None
    pairs = align_blocks(block, base)
    cars = ((shown, pair.differs, pair.is_missing) for pair in pairs if (shown := pair.item or pair.base) is not None)
    return _Wagon(named, tuple(cars))


def _scale(trains: Sequence[Sequence[_Wagon]], highest: float) -> _Scale:
    items = [item for train in trains for wagon in train for item, _, _ in wagon.cars]
    convs = max((item.channels for item in items if item.kind == "conv"), default=1)
    dense = max((item.channels for item in items if item.kind == "dense"), default=1)
    largest = max(max(item.size_in, item.size) for item in items)
    return _Scale(highest, largest, min(42 / sqrt(convs), 110 / sqrt(dense)))


def _columns(
    trains: Sequence[Sequence[_Wagon]], scale: _Scale, shares: NetDescription | None
) -> dict[str, tuple[float, float]]:
    """Where every block stands: left and width; blocks of one name stand under each other."""
    widths: dict[str, float] = {}
    for train in trains:
        for wagon in train:
            words = [_size_words(wagon.block), *(_share_words(wagon, shares) if shares else [])]
            needed = max([_length(wagon, scale), *(measure_text_width(one, _SMALL) for one in words)])
            widths[wagon.block.name] = max(widths.get(wagon.block.name, 0.0), needed)
    found, x = dict[str, tuple[float, float]](), _MARGIN + (measure_text_width("params", _SMALL) + 8 if shares else 0.0)
    for name in sort_block_names(widths):
        found[name] = (x, widths[name])
        x += widths[name] + _BETWEEN
    return found


def _length(wagon: _Wagon, scale: _Scale) -> float:
    return sum(_pitch(item, scale) for item, _, _ in wagon.cars) - _GAP


def _pitch(item: LayerItem, scale: _Scale) -> float:
    return max(scale.width(item) + _GAP, _PITCH)


def _train(
    sheet: SvgSheet,
    one: NetDescription,
    base: NetDescription,
    train: Sequence[_Wagon],
    scale: _Scale,
    columns: dict[str, tuple[float, float]],
    y: float,
    width: float,
) -> float:
    """One net, from `y` downwards; returns where the next thing may begin."""
    sheet.text(_MARGIN, y + _TITLE, one.name, size=_TITLE, fill=INK, bold=True)
    sheet.text(
        _MARGIN, y + 30, truncate_text(_costs_words(one, base), _LABEL, width - 2 * _MARGIN), size=_LABEL, fill=SOFT
    )
    top = y + 48
    if one.changes:
        sheet.text(_MARGIN, y + 44, truncate_text(one.changes, _LABEL, width - 2 * _MARGIN), size=_LABEL, fill=INK)
        top += 14
    rail = top + 12 + scale.height(max(wagon.block.size for wagon in train))
    left = min(x for x, _ in columns.values())
    right = max(columns[wagon.block.name][0] + columns[wagon.block.name][1] for wagon in train)
    sheet.line((left - 6, rail + 0.5), (right + 6, rail + 0.5), SOFT, 1)
    for wagon in train:
        x, _ = columns[wagon.block.name]
        high = max((scale.height(max(item.size_in, item.size)) for item, _, _ in wagon.cars), default=0.0)
        sheet.text(x, rail - high - 7, _size_words(wagon.block), size=_SMALL, fill=SOFT)
        _wagon_drawn(sheet, wagon, scale, x, rail)
    return rail + 10 + max(_label_length(train), 10.0) + 12


def _wagon_drawn(sheet: SvgSheet, wagon: _Wagon, scale: _Scale, x: float, rail: float) -> None:
    for item, differs, missing in wagon.cars:
        pitch, across = _pitch(item, scale), scale.width(item)
        _car(sheet, item, scale, x, rail, missing)
        if differs and not missing:
            high = scale.height(item.size_in if item.kind == "pool" else item.size)
            sheet.box(x - 2, rail - high - 2, across + 4, high + 2, "none", f'stroke="{INK}" stroke-width="1.6"')
        words = _label(item, differs, missing)
        if measure_text_width(words, _LABEL, bold=differs) <= across:
            sheet.text(x + across / 2, rail + 14, words, size=_LABEL, fill=INK, anchor="middle", bold=differs)
        else:
            where = (x + across / 2 + 3.6, rail + 7)
            sheet.text(*where, words, size=_LABEL, fill=INK, anchor="end", bold=differs, upwards=True)
        x += pitch


def _car(sheet: SvgSheet, item: LayerItem, scale: _Scale, x: float, rail: float, missing: bool) -> None:
    across, high = scale.width(item), scale.height(item.size)
    fill, more = ("none", _DASHES) if missing else (_fill(item), "")
    if item.kind == "pool":
        before = scale.height(item.size_in)
        sheet.polygon([(x, rail), (x, rail - before), (x + across, rail - high), (x + across, rail)], fill, more)
        return
    sheet.box(x, rail - high, across, high, fill, more)
    if item.norm and not missing:
        sheet.box(x + across - 6, rail - high, 3, high, _NORM)
    if item.activation and not missing:
        sheet.box(x + across - 3, rail - high, 3, high, INK)


def _fill(item: LayerItem) -> str:
    if item.kind == "conv":
        side = max(item.kernel or (3, 3))
        return _KERNELS[min(_KERNELS, key=lambda known: (abs(known - side), known))]
    return {"pool": _POOL, "dense": _DENSE, "lrn": _LRN}[item.kind]


def _label(item: LayerItem, differs: bool, missing: bool) -> str:
    if missing:
        return "gone *"
    words = f"{item.label} linear" if item.kind == "conv" and not item.activation else item.label
    return f"{words} *" if differs else words


def _label_length(train: Sequence[_Wagon]) -> float:
    return max(
        measure_text_width(_label(item, differs, missing), _LABEL, bold=differs)
        for wagon in train
        for item, differs, missing in wagon.cars
    )


def _size_words(block: Block) -> str:
    return "head" if block.name == HEAD_BLOCK else f"{block.size}×{block.size}"


def _costs_words(one: NetDescription, base: NetDescription) -> str:
    cost, other = one.costs, base.costs
    words = [
        f"{numbers.format_count(cost.params)} params{_ratio(cost.params, other.params, one is base)}",
        f"{numbers.format_count(cost.macs)} MACs{_ratio(cost.macs, other.macs, one is base)}",
        f"{cost.weight_layers} weight layers",
        f"receptive field {cost.receptive_field} px",
    ]
    return " · ".join([*words, f"matched: {one.mismatch}"] if one.mismatch else words)


def _ratio(value: int, base: int, is_base: bool) -> str:
    return "" if is_base else f" (×{numbers.format_compact(value / base)})"


def _spoken(one: NetDescription) -> str:
    return f"{one.name}: {_costs_words(one, one)}."


_COSTS: dict[str, Callable[[LayerItem], int]] = {"params": lambda item: item.params, "MACs": lambda item: item.macs}


def _share_words(wagon: _Wagon, one: NetDescription) -> list[str]:
    drawn = one.nets[0].costs
    whole = {"params": drawn.params, "MACs": drawn.macs}
    return [
        numbers.format_percentage(sum(cost(item) for item, _, _ in wagon.cars) / whole[name])
        for name, cost in _COSTS.items()
    ]


def _shares(
    sheet: SvgSheet,
    train: Sequence[_Wagon],
    one: NetDescription,
    scale: _Scale,
    columns: dict[str, tuple[float, float]],
    y: float,
) -> float:
    """Two rows of bars under the carriages: whose params and MACs they are; and the share of every block."""
    for row, (name, cost) in enumerate(_COSTS.items()):
        most = max(cost(item) for wagon in train for item, _, _ in wagon.cars)
        floor = y + _BARS
        sheet.text(_MARGIN, floor, name, size=_SMALL, fill=INK)
        for wagon in train:
            x, room = columns[wagon.block.name]
            sheet.line((x, floor + 0.5), (x + room, floor + 0.5), RULE)
            sheet.text(x + room / 2, floor + 13, _share_words(wagon, one)[row], size=_SMALL, fill=SOFT, anchor="middle")
            for item, _, _ in wagon.cars:
                high = _BARS * cost(item) / most
                if high > 0:
                    sheet.box(x, floor - max(high, 0.6), scale.width(item), max(high, 0.6), SOFT)
                x += _pitch(item, scale)
        y = floor + 24
    return y


def _legend(sheet: SvgSheet, trains: Sequence[Sequence[_Wagon]], y: float, width: float) -> float:
    """What stands for what, as far as it is in the picture."""
    cars = [car for train in trains for wagon in train for car in wagon.cars]
    items = [item for item, _, missing in cars if not missing]
    entries: list[tuple[str, str]] = []
    kernels = {item.kernel: _fill(item) for item in items if item.kind == "conv" and item.kernel}
    for fill, same in groupby(sorted(kernels, key=lambda kernel: (max(kernel), kernel)), key=lambda one: kernels[one]):
        entries.append((fill, "conv " + ", ".join(f"{rows}×{columns}" for rows, columns in same)))
    present = {item.kind for item in items}
    entries += [(fill, words) for kind, fill, words in _OTHERS if kind in present]
    if any(item.norm for item in items):
        entries.append((_NORM, "norm"))
    if any(item.activation for item in items):
        entries.append((INK, "activation"))
    if any(differs for _, differs, _ in cars):
        entries.append(("none", "* differs from the base"))
    x = _MARGIN
    for fill, words in entries:
        needed = 16 + measure_text_width(words, _SMALL) + 14
        if x > _MARGIN and x + needed > width - _MARGIN:
            x, y = _MARGIN, y + 16
        outline = f'stroke="{INK}" stroke-width="1.4"' if fill == "none" else ""
        sheet.box(x, y, 10, 10, fill, outline)
        sheet.text(x + 15, y + 9, words, size=_SMALL, fill=SOFT)
        x += needed
    return y + 10


_OTHERS = (("lrn", _LRN, "LRN"), ("pool", _POOL, "pooling"), ("dense", _DENSE, "fully connected"))

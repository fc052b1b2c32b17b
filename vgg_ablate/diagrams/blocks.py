"""Nets as blocks of layers, as in the paper's Table 1: one block per stage, on maps of one size, then the head.

`describe` and the figures of a report draw different pictures of these blocks. Which layers a block has, and which
differ from the base, is decided here for both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, NamedTuple

from vgg_ablate.config.arch import LocalResponseNorm
from vgg_ablate.models.costs import count_macs, count_params
from vgg_ablate.models.layers import Activation, Conv, Dense, Dropout, Layer, Norm, Pool, split_head

ItemKind = Literal["conv", "lrn", "pool", "dense"]
HEAD_BLOCK = "head"
_POOLS = {"max": "maxpool", "average": "avgpool"}


@dataclass(frozen=True, slots=True)
class LayerItem:
    """A layer together with the norm, the activation and the dropout that follow it."""

    name: str
    kind: ItemKind
    channels: int
    size_in: int
    size: int  # side of its output maps; 1 for a vector
    kernel: tuple[int, int] | None = None  # rows, columns
    pooling: str = ""  # "max", "average", "adaptive" or "conv"
    norm: str = ""  # "batch" or "group"
    activation: str = ""
    dropout: float = 0.0
    params: int = 0  # including those of its norm
    macs: int = 0

    @property
    def label(self) -> str:
        """The layer as Table 1 writes it: conv3-64, maxpool, FC-4096."""
        if self.kind == "lrn":
            return "LRN"
        if self.kind == "pool":
            return self._format_pooling()
        if self.kind == "dense" and self.kernel is None:
            return f"FC-{self.channels}"
        return f"conv{format_kernel(self.kernel)}-{self.channels}"

    @property
    def extras(self) -> str:
        """The steps after the layer where they are not the paper's ReLU alone: BN, GELU, linear, dropout 0.5."""
        norm = {"": "", "batch": "BN", "group": "GN"}[self.norm]
        without = "linear" if self.kind == "conv" else ""  # a pooling or a class layer has no activation anyway
        activation = {"": without, "relu": ""}.get(self.activation, self.activation.upper()).replace("_", " ")
        dropout = f"dropout {self.dropout:g}" if self.dropout else ""
        return ", ".join(part for part in (norm, activation, dropout) if part)

    @property
    def description(self) -> str:
        """The label and the extras."""
        return ", ".join(part for part in (self.label, self.extras) if part)

    def is_like(self, other: LayerItem) -> bool:
        """Return whether both are the same layer, whatever their positions and input channels."""
        return (self.kind, self.description) == (other.kind, other.description)

    def _format_pooling(self) -> str:
        if self.pooling == "adaptive":
            return "global average" if self.size == 1 else f"average to {self.size}x{self.size}"
        if self.pooling == "conv":
            return f"conv2-{self.channels}, stride 2"
        return _POOLS[self.pooling]


@dataclass(frozen=True, slots=True)
class Block:
    """One stage, with its pooling as the last item, or the head."""

    name: str  # "1", "2", ..., HEAD_BLOCK
    size: int  # side of its input maps
    items: tuple[LayerItem, ...]


def build_blocks(net: tuple[Layer, ...]) -> tuple[Block, ...]:
    """Return the blocks of a net's layers, in order."""
    blocks: list[Block] = []
    for name, group in groupby(_name_blocks(net), key=lambda pair: pair[0]):
        items = tuple(_build_items((layer for _, layer in group), in_head=name == HEAD_BLOCK))
        blocks.append(Block(name, items[0].size_in, items))
    return tuple(blocks)


def format_kernel(kernel: tuple[int, int] | None) -> str:
    """Return a kernel as the paper writes it: "3" for 3x3; and "1x3" where rows and columns differ."""
    if kernel is None:
        return ""
    rows, columns = kernel
    return str(rows) if rows == columns else f"{rows}x{columns}"


def sort_block_names(names: Iterable[str]) -> list[str]:
    """Return names of blocks in the order of the net: by number, the head last."""
    return sorted(names, key=lambda name: (name == HEAD_BLOCK, 0 if name == HEAD_BLOCK else int(name)))


class ItemPair(NamedTuple):
    """The item in one slot of a block, and the item that the base has there; None where a slot is empty."""

    item: LayerItem | None
    base: LayerItem | None

    @property
    def differs(self) -> bool:
        """Whether the item is not as in the base. A missing layer is a difference too."""
        if self.item is None or self.base is None:
            return self.item is not self.base
        return not self.item.is_like(self.base)

    @property
    def is_missing(self) -> bool:
        """Whether only the base has an item here."""
        return self.item is None and self.base is not None


class SlotCounts(NamedTuple):
    """Numbers of slots that align the layers of several blocks."""

    first: int  # of a head: the pooling before its layers
    middle: int
    last: int  # a stage's pooling, or a head's class layer


def count_slots(blocks: Iterable[Block | None]) -> SlotCounts:
    """Return the smallest numbers of slots that hold every one of the blocks."""
    split_blocks = [_split_block(block) for block in blocks]
    return SlotCounts(*(max(len(part) for part in parts) for parts in zip(*split_blocks, strict=True)))


def align_blocks(block: Block | None, base: Block | None, slots: SlotCounts | None = None) -> tuple[ItemPair, ...]:
    """Return a block beside the base's, slot by slot.

    Poolings are aligned with poolings, and class layers with class layers. Where a block has fewer layers between them,
    the last ones count as missing.
    """
    slots = slots or count_slots([block, base])
    pairs: list[ItemPair] = []
    for items, base_items, length in zip(_split_block(block), _split_block(base), slots, strict=True):
        pairs += map(ItemPair, _fill_slots(items, length), _fill_slots(base_items, length))
    return tuple(pairs)


def _split_block(block: Block | None) -> tuple[list[LayerItem], list[LayerItem], list[LayerItem]]:
    """Return the items with a fixed slot at the start, those in between, and those with a fixed slot at the end."""
    items = [] if block is None else list(block.items)
    in_head = block is not None and block.name == HEAD_BLOCK
    first = [item for item in items if in_head and item.kind == "pool"]
    rest = items[len(first) :]
    last = [item for item in rest[-1:] if in_head or item.kind == "pool"]
    return first, rest[: len(rest) - len(last)], last


def _fill_slots(items: list[LayerItem], length: int) -> list[LayerItem | None]:
    return [*items, *[None] * (length - len(items))]


def _name_blocks(net: tuple[Layer, ...]) -> Iterator[tuple[str, Layer]]:
    """Yield every layer with the name of its block. The names of layers hold the number of their stage."""
    body, head = split_head(net)
    for layer in body:
        match = re.search(r"(\d+)(?:_\d+)?$", layer.name)
        assert match is not None, layer.name
        yield match.group(1), layer
    yield from ((HEAD_BLOCK, layer) for layer in head)


def _build_items(net: Iterable[Layer], *, in_head: bool) -> Iterator[LayerItem]:
    """Yield one item per layer that is drawn, with the layers that follow it added to it."""
    last: LayerItem | None = None
    for layer in net:
        item = _build_item(layer, in_head=in_head)
        if item is not None:
            if last is not None:
                yield last
            last = item
        elif last is not None and isinstance(layer, Norm | Activation | Dropout):
            last = _add_follower(last, layer)
    if last is not None:
        yield last


def _build_item(layer: Layer, *, in_head: bool) -> LayerItem | None:
    match layer:
        case Conv(name, _, channels, kernel, stride):
            # A convolution with stride 2 is a pooling (`arch.pool: conv`), one in the head a dense layer that slides.
            kind: ItemKind = "dense" if in_head else "pool" if stride == 2 else "conv"
            pooling = "conv" if stride == 2 else ""
            item = LayerItem(name, kind, channels, layer.size_in, layer.size, kernel, pooling)
        case Dense():
            item = LayerItem(layer.name, "dense", layer.features, 1, 1)
        case Pool():
            item = LayerItem(layer.name, "pool", layer.channels, layer.size_in, layer.size, pooling=layer.kind)
        case Norm(spec=LocalResponseNorm()):
            item = LayerItem(layer.name, "lrn", layer.channels, layer.size, layer.size)
        case _:
            return None
    return replace(item, params=count_params(layer), macs=count_macs(layer))


def _add_follower(item: LayerItem, layer: Norm | Activation | Dropout) -> LayerItem:
    match layer:
        case Activation():
            return replace(item, activation=layer.kind)
        case Dropout():
            return replace(item, dropout=layer.probability)
    return replace(item, norm=layer.spec.kind, params=item.params + count_params(layer))

"""A net as people draw it: blocks of convolutions on maps of one size, then the head, as in the paper's Table 1."""

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
    """A layer with what belongs to it: the norm and the activation that follow a convolution."""

    name: str
    kind: ItemKind
    channels: int
    size_in: int
    size: int  # of its maps; 1: a vector
    kernel: tuple[int, int] | None = None  # rows, columns
    pooling: str = ""  # max, average, adaptive, conv
    norm: str = ""  # batch, group
    activation: str = ""
    dropout: float = 0.0
    params: int = 0  # with those of its norm
    macs: int = 0

    @property
    def label(self) -> str:
        """As in Table 1: conv3-64, maxpool, FC-4096; what the paper's nets do not have stands behind it."""
        if self.kind == "lrn":
            return "LRN"
        if self.kind == "pool":
            return self._pooling()
        if self.kind == "dense" and self.kernel is None:
            return f"FC-{self.channels}"
        return f"conv{format_kernel(self.kernel)}-{self.channels}"

    @property
    def extras(self) -> str:
        """What follows a layer, where it is not the paper's ReLU alone: BN, GELU, linear, dropout 0.5."""
        norm = {"": "", "batch": "BN", "group": "GN"}[self.norm]
        act = {"": "linear" if self.kind == "conv" else "", "relu": ""}.get(self.activation, self.activation.upper())
        drop = f"dropout {self.dropout:g}" if self.dropout else ""
        return ", ".join(part for part in (norm, act.replace("_", " "), drop) if part)

    @property
    def described(self) -> str:
        """Label and extras."""
        return ", ".join(part for part in (self.label, self.extras) if part)

    def same_as(self, other: LayerItem) -> bool:
        """Is it the same kind of layer? Where it stands, and what goes into it, does not matter."""
        return (self.kind, self.described) == (other.kind, other.described)

    def _pooling(self) -> str:
        if self.pooling == "adaptive":
            return "global average" if self.size == 1 else f"average to {self.size}x{self.size}"
        if self.pooling == "conv":
            return f"conv2-{self.channels}, stride 2"
        return _POOLS[self.pooling]


@dataclass(frozen=True, slots=True)
class Block:
    """What works on maps of one size; its pooling is its last item. Or the head."""

    name: str  # 1, 2, ..., head
    size: int  # of the maps that come in
    items: tuple[LayerItem, ...]


def build_blocks(net: tuple[Layer, ...]) -> tuple[Block, ...]:
    """The blocks of a net's layers, in order."""
    found: list[Block] = []
    for name, placed in groupby(_placed(net), key=lambda one: one[0]):
        items = tuple(_items((layer for _, layer in placed), in_head=name == HEAD_BLOCK))
        found.append(Block(name, items[0].size_in, items))
    return tuple(found)


def format_kernel(kernel: tuple[int, int] | None) -> str:
    """3 for 3x3, as the paper writes it; 1x3."""
    if kernel is None:
        return ""
    rows, columns = kernel
    return str(rows) if rows == columns else f"{rows}x{columns}"


def sort_block_names(names: Iterable[str]) -> list[str]:
    """Names of blocks as they follow each other: 1, 2, ..., head."""
    return sorted(names, key=lambda name: (name == HEAD_BLOCK, 0 if name == HEAD_BLOCK else int(name)))


class ItemPair(NamedTuple):
    """What stands at one place of a block, and what the base has there; None: nothing."""

    item: LayerItem | None
    base: LayerItem | None

    @property
    def differs(self) -> bool:
        """Is it not as in the base? A layer less is a difference too."""
        if self.item is None or self.base is None:
            return self.item is not self.base
        return not self.item.same_as(self.base)

    @property
    def is_missing(self) -> bool:
        """Does only the base have something here?"""
        return self.item is None and self.base is not None


class SlotCounts(NamedTuple):
    """How many places blocks need so that their layers stand side by side."""

    first: int  # of a head: the pooling before its layers
    middle: int
    last: int  # a stage's pooling, or a head's class layer


def count_slots(these: Iterable[Block | None]) -> SlotCounts:
    """The places that are enough for every one of the blocks."""
    split = [_split(block) for block in these]
    return SlotCounts(*(max(len(part) for part in parts) for parts in zip(*split, strict=True)))


def align_blocks(block: Block | None, base: Block | None, room: SlotCounts | None = None) -> tuple[ItemPair, ...]:
    """A block beside the base's, place by place; of one that has fewer layers, the last of them are missing.

    Poolings stand beside poolings, and a class layer beside the class layer.
    """
    room = room or count_slots([block, base])
    pairs: list[ItemPair] = []
    for here, there, length in zip(_split(block), _split(base), room, strict=True):
        pairs += map(ItemPair, _padded(here, length), _padded(there, length))
    return tuple(pairs)


def _split(block: Block | None) -> tuple[list[LayerItem], list[LayerItem], list[LayerItem]]:
    """What comes first, what may be more or less, what comes last."""
    items = [] if block is None else list(block.items)
    in_head = block is not None and block.name == HEAD_BLOCK
    first = [item for item in items if in_head and item.kind == "pool"]
    rest = items[len(first) :]
    last = [item for item in rest[-1:] if in_head or item.kind == "pool"]
    return first, rest[: len(rest) - len(last)], last


def _padded(items: list[LayerItem], length: int) -> list[LayerItem | None]:
    return [*items, *[None] * (length - len(items))]


def _placed(net: tuple[Layer, ...]) -> Iterator[tuple[str, Layer]]:
    """Every layer with the name of its block: the number of its stage, or the head."""
    body, head = split_head(net)
    for layer in body:
        number = re.search(r"(\d+)(?:_\d+)?$", layer.name)
        assert number is not None, layer.name
        yield number.group(1), layer
    yield from ((HEAD_BLOCK, layer) for layer in head)


def _items(net: Iterable[Layer], *, in_head: bool) -> Iterator[LayerItem]:
    last: LayerItem | None = None
    for layer in net:
        made = _item(layer, in_head=in_head)
        if made is not None:
            if last is not None:
                yield last
            last = made
        elif last is not None and isinstance(layer, Norm | Activation | Dropout):
            last = _followed(last, layer)
    if last is not None:
        yield last


def _item(layer: Layer, *, in_head: bool) -> LayerItem | None:
    match layer:
        case Conv(name, _, channels, kernel, stride):
            kind: ItemKind = "dense" if in_head else "pool" if stride == 2 else "conv"
            made = LayerItem(name, kind, channels, layer.size_in, layer.size, kernel, "conv" if stride == 2 else "")
        case Dense():
            made = LayerItem(layer.name, "dense", layer.features, 1, 1)
        case Pool():
            made = LayerItem(layer.name, "pool", layer.channels, layer.size_in, layer.size, pooling=layer.kind)
        case Norm(spec=LocalResponseNorm()):
            made = LayerItem(layer.name, "lrn", layer.channels, layer.size, layer.size)
        case _:
            return None
    return replace(made, params=count_params(layer), macs=count_macs(layer))


def _followed(item: LayerItem, layer: Norm | Activation | Dropout) -> LayerItem:
    match layer:
        case Activation():
            return replace(item, activation=layer.kind)
        case Dropout():
            return replace(item, dropout=layer.probability)
    return replace(item, norm=layer.spec.kind, params=item.params + count_params(layer))

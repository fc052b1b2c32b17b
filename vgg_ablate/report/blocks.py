"""A net as people draw it: blocks of convolutions on maps of one size, then the head, as in the paper's Table 1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from vgg_ablate.net.costs import macs, params
from vgg_ablate.net.layers import Act, Conv, Dense, Dropout, Layer, Norm, Pool, parts
from vgg_ablate.spec.arch import LocalResponseNorm

Kind = Literal["conv", "lrn", "pool", "dense"]
HEAD = "head"
_POOLS = {"max": "maxpool", "average": "avgpool"}


@dataclass(frozen=True, slots=True)
class Item:
    """A layer with what belongs to it: the norm and the activation that follow a convolution."""

    name: str
    kind: Kind
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
        return f"conv{kernel_name(self.kernel)}-{self.channels}"

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

    def same_as(self, other: Item) -> bool:
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
    items: tuple[Item, ...]


def blocks(net: tuple[Layer, ...]) -> tuple[Block, ...]:
    """The blocks of a net's layers, in order."""
    found: list[Block] = []
    for name, placed in groupby(_placed(net), key=lambda one: one[0]):
        items = tuple(_items((layer for _, layer in placed), in_head=name == HEAD))
        found.append(Block(name, items[0].size_in, items))
    return tuple(found)


def kernel_name(kernel: tuple[int, int] | None) -> str:
    """3 for 3x3, as the paper writes it; 1x3."""
    if kernel is None:
        return ""
    rows, columns = kernel
    return str(rows) if rows == columns else f"{rows}x{columns}"


def convolutions(block: Block | None) -> int:
    """How many items stand before a block's pooling."""
    return len(_body(block))


def marked(block: Block | None, base: Block | None, length: int = 0) -> tuple[tuple[Item | None, bool], ...]:
    """A block's items, each with whether it differs from the base's at its place; None: nothing is there.

    Where the base has an item and the block has none, that is a difference. The pooling is compared with the base's
    pooling and stands last, after at least `length` places.
    """
    here, there = _body(block), _body(base)
    length = max(length, len(here), len(there))
    pairs = [*zip(_padded(here, length), _padded(there, length), strict=True)]
    if _pool(block) is not None or _pool(base) is not None:
        pairs.append((_pool(block), _pool(base)))
    return tuple((item, _differ(item, other)) for item, other in pairs)


def _differ(item: Item | None, other: Item | None) -> bool:
    if item is None or other is None:
        return item is not other
    return not item.same_as(other)


def _body(block: Block | None) -> list[Item]:
    return [] if block is None else [item for item in block.items if item is not _pool(block)]


def _pool(block: Block | None) -> Item | None:
    if block is None or not block.items or block.name == HEAD:
        return None
    return block.items[-1] if block.items[-1].kind == "pool" else None


def _padded(items: list[Item], length: int) -> list[Item | None]:
    return [*items, *[None] * (length - len(items))]


def _placed(net: tuple[Layer, ...]) -> Iterator[tuple[str, Layer]]:
    """Every layer with the name of its block: the number of its stage, or the head."""
    body, head = parts(net)
    for layer in body:
        number = re.search(r"(\d+)(?:_\d+)?$", layer.name)
        assert number is not None, layer.name
        yield number.group(1), layer
    yield from ((HEAD, layer) for layer in head)


def _items(net: Iterable[Layer], *, in_head: bool) -> Iterator[Item]:
    last: Item | None = None
    for layer in net:
        made = _item(layer, in_head=in_head)
        if made is not None:
            if last is not None:
                yield last
            last = made
        elif last is not None and isinstance(layer, Norm | Act | Dropout):
            last = _followed(last, layer)
    if last is not None:
        yield last


def _item(layer: Layer, *, in_head: bool) -> Item | None:
    match layer:
        case Conv(name, _, channels, kernel, stride):
            kind: Kind = "dense" if in_head else "pool" if stride == 2 else "conv"
            made = Item(name, kind, channels, layer.size_in, layer.size, kernel, "conv" if stride == 2 else "")
        case Dense():
            made = Item(layer.name, "dense", layer.features, 1, 1)
        case Pool():
            made = Item(layer.name, "pool", layer.channels, layer.size_in, layer.size, pooling=layer.kind)
        case Norm(spec=LocalResponseNorm()):
            made = Item(layer.name, "lrn", layer.channels, layer.size, layer.size)
        case _:
            return None
    return replace(made, params=params(layer), macs=macs(layer))


def _followed(item: Item, layer: Norm | Act | Dropout) -> Item:
    match layer:
        case Act():
            return replace(item, activation=layer.kind)
        case Dropout():
            return replace(item, dropout=layer.probability)
    return replace(item, norm=layer.spec.kind, params=item.params + params(layer))

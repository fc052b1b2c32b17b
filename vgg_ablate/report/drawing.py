"""A net as a train of blocks: one carriage a stage, as tall as its maps, its blocks as wide as their channels.

SVG written by hand, so that the same net is the same bytes everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from xml.sax.saxutils import escape

from vgg_ablate.net.costs import costs
from vgg_ablate.net.layers import Act, Conv, Dense, Layer, Norm, Pool, layers, parts
from vgg_ablate.report import numbers
from vgg_ablate.spec.arch import Arch

_TALL, _LOW = 150.0, 14.0  # heights of the largest and the smallest block
_WIDE, _NARROW = 30.0, 9.0  # widths
_GAP, _COUPLING, _MARGIN, _SKY = 3.0, 24.0, 24.0, 62.0
_STYLE = """\
text{font:11px system-ui,sans-serif;fill:#333}
.name{font-size:14px;font-weight:600}
.small{font-size:9px;fill:#666}
.conv{fill:#4477aa}.linear{fill:#99bbdd}.strided,.max,.average,.adaptive{fill:#cc6677}
.batch,.group,.lrn{fill:#ccbb44}.dense,.head{fill:#228833}
.rail{stroke:#999;stroke-width:1.5}
@media (prefers-color-scheme:dark){text{fill:#ddd}.small{fill:#aaa}}"""
_KEY = {  # colours, what they mean, and the kinds of blocks that have them
    "conv": ("convolution", {"conv"}),
    "linear": ("without activation", {"linear"}),
    "max": ("pooling", {"max", "average", "strided", "adaptive"}),
    "batch": ("norm", {"batch", "group", "lrn"}),
    "dense": ("head", {"dense", "head"}),
}


@dataclass(frozen=True, slots=True)
class _Block:
    x: float
    width: float
    height: float
    kind: str
    title: str
    under: str = ""  # what is written below it


def svg(arch: Arch, name: str) -> str:
    """The drawing of an arch in its normal form; ends with a newline."""
    net = layers(arch)
    blocks = list(_placed(net))
    width = max(blocks[-1].x + blocks[-1].width + _MARGIN, 420.0)
    floor = _SKY + _TALL
    found = costs(arch)
    subtitle = (
        f"{numbers.count(found.params)} params, {numbers.count(found.macs)} MACs, {found.weight_layers} weight layers, "
        f"sees {found.receptive_field} of {arch.image_size} px"
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(floor + 60)}" role="img"'
        f' width="{_n(width)}" height="{_n(floor + 60)}">',
        f"<title>{escape(name)}: {escape(arch.notation())}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="name" x="{_n(_MARGIN)}" y="22">{escape(name)}</text>',
        f'<text class="small" x="{_n(_MARGIN)}" y="37">{escape(subtitle)}</text>',
        *(_coupling(one, other, floor) for one, other in pairwise(blocks)),
        *(line for block in blocks for line in _drawn(block, floor)),
        *_key(floor + 44, {block.kind for block in blocks}),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _placed(net: tuple[Layer, ...]) -> Iterator[_Block]:
    """Blocks from left to right; a pooling and the head couple the carriages."""
    body, _ = parts(net)
    tallest = max((layer.size for layer in net if isinstance(layer, Conv)), default=1)
    channels = max((layer.channels for layer in body if isinstance(layer, Conv)), default=1)
    features = max((_width_of(layer) for layer in net[len(body) :]), default=1)
    x, fresh = _MARGIN, True
    for index, layer in enumerate(net):
        if isinstance(layer, Conv | Norm | Pool | Dense):
            after = net[index + 1 : index + 3]
            in_body = index < len(body)
            share = sqrt(_width_of(layer) / (channels if in_body else features))
            block = _block(layer, x, _kind(layer, after, in_body), share, tallest, labelled=fresh)
            yield block
            fresh = _couples(layer)
            x += block.width + (_COUPLING if fresh else _GAP)


def _block(layer: Layer, x: float, kind: str, share: float, tallest: int, *, labelled: bool) -> _Block:
    match layer:
        case Conv() if kind == "head":
            title = f"{layer.name}: {layer.kernel[0]}×{layer.kernel[1]}, {layer.in_channels} → {layer.channels}"
            return _Block(x, _NARROW, max(_LOW, _TALL * share), kind, title, f"{layer.channels}")
        case Conv():
            rows, columns = layer.kernel
            title = f"{layer.name}: {rows}×{columns}, {layer.in_channels} → {layer.channels}, {layer.size}×{layer.size}"
            under = f"{layer.channels} × {layer.size}²" if labelled else ""
            return _Block(x, max(_NARROW, _WIDE * share), _height(layer.size, tallest), kind, title, under)
        case Dense():
            title = f"{layer.name}: {layer.in_features} → {layer.features}"
            return _Block(x, _NARROW, max(_LOW, _TALL * share), kind, title, f"{layer.features}")
        case Norm() | Pool():
            title = f"{layer.name}: {layer.size}×{layer.size}"
            return _Block(x, 4.0, _height(layer.size, tallest), kind, title)
    raise TypeError(f"{layer.name} has no block")


def _height(size: int, tallest: int) -> float:
    return max(_LOW, _TALL * sqrt(size / tallest))


def _width_of(layer: Layer) -> int:
    return layer.channels if isinstance(layer, Conv) else layer.features if isinstance(layer, Dense) else 1


def _kind(layer: Layer, after: tuple[Layer, ...], in_body: bool) -> str:
    match layer:
        case Norm():
            return layer.spec.kind
        case Pool():
            return layer.kind
        case Dense():
            return "dense"
        case Conv() if not in_body:
            return "head"
        case Conv(stride=2):
            return "strided"
    bare = not any(isinstance(one, Act) for one in after[: 2 if isinstance(after[0], Norm) else 1]) if after else True
    return "linear" if bare else "conv"


def _couples(layer: Layer) -> bool:
    """Does a carriage end here?"""
    return isinstance(layer, Pool | Dense) or (
        isinstance(layer, Conv) and (layer.stride == 2 or layer.name[:2] == "fc")
    )


def _coupling(one: _Block, other: _Block, floor: float) -> str:
    y = floor - 5
    return f'<line class="rail" x1="{_n(one.x + one.width)}" y1="{_n(y)}" x2="{_n(other.x)}" y2="{_n(y)}"/>'


def _drawn(block: _Block, floor: float) -> Iterator[str]:
    top = floor - block.height
    yield (
        f'<rect class="{block.kind}" x="{_n(block.x)}" y="{_n(top)}" width="{_n(block.width)}"'
        f' height="{_n(block.height)}" rx="1.5"><title>{escape(block.title)}</title></rect>'
    )
    if block.under:
        yield f'<text class="small" x="{_n(block.x)}" y="{_n(floor + 14)}">{block.under}</text>'


def _key(y: float, kinds: set[str]) -> Iterator[str]:
    x = _MARGIN
    for colour, (text, meant) in _KEY.items():
        if meant & kinds:
            yield f'<rect class="{colour}" x="{_n(x)}" y="{_n(y - 8)}" width="9" height="9"/>'
            yield f'<text class="small" x="{_n(x + 13)}" y="{_n(y)}">{text}</text>'
            x += 26 + 5.2 * len(text)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

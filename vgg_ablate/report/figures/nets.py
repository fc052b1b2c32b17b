"""The nets of the variants below each other, layer by layer; what differs from the base is marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vgg_ablate.net.layers import Act, Conv, Dense, Dropout, Layer, Norm, Pool, layers
from vgg_ablate.report.figures import canvas
from vgg_ablate.report.model import Report
from vgg_ablate.spec.arch import Arch

MOST = 16  # nets
_LEFT, _PITCH, _HIGH = 1.75, 0.5, 0.34  # inches
_GAP = 0.35  # between stages, in boxes
_TINY = 6.0  # points

Mark = Literal["same", "new", "gone"]


@dataclass(frozen=True)
class Box:
    """A layer with weights, and what follows it; `upper` and `lower` are the two lines of text in it."""

    upper: str
    lower: str
    active: bool = True  # an activation follows
    after: str = ""  # norm and dropout that follow, by kind: part of what is compared
    ends: str = ""  # of a stage: the pooling that ends it


@dataclass(frozen=True)
class Net:
    """A variant: what was changed, in words, and its boxes, marked against the base's."""

    name: str
    changes: str
    boxes: tuple[tuple[Box, Mark], ...]


def nets(report: Report) -> list[Net]:
    """The base and the variants that have a record, as they were trained; empty where the base has none."""
    archs = _archs(report)
    base = archs.get(report.base.name)
    if base is None:
        return []
    of_base = tuple(boxes(base))
    shown = [row for row in report.rows if row.name in archs][:MOST]
    return [
        Net(row.name, _changes(row.variant.changes), tuple(marked(of_base, tuple(boxes(archs[row.name])))))
        for row in shown
    ]


def boxes(arch: Arch) -> Iterator[Box]:
    """The boxes of an arch in its normal form."""
    current: Box | None = None
    for layer in layers(arch):
        made = _box(layer)
        if made is not None:
            if current is not None:
                yield current
            current = made
        elif current is not None:
            current = _followed(current, layer)
    if current is not None:  # the class layer, after which there is never an activation
        yield replace(current, active=True)


def marked(base: Sequence[Box], other: Sequence[Box]) -> Iterator[tuple[Box, Mark]]:
    """The boxes of `other`, new where the base has others in their place; a box that is gone stands as a ghost.

    Stages are compared by their number, heads with heads.
    """
    for ours, theirs in zip_longest(_stages(base)[:-1], _stages(other)[:-1], fillvalue=()):
        yield from sorted(_beside(ours, theirs), key=lambda pair: bool(pair[0].ends))  # the pooling stays last
    yield from _beside(_stages(base)[-1], _stages(other)[-1])


def drawn(found: Sequence[Net]) -> Figure:
    """One row a net."""
    figure = canvas.blank(canvas.WIDTH, _PITCH * len(found) + 0.1)
    width = canvas.WIDTH - _LEFT - 0.05
    axes = canvas.axes(figure, _LEFT, 0.05, width, _PITCH * len(found))
    axes.set_axis_off()
    axes.set_ylim(_PITCH * len(found), 0)
    axes.set_xlim(0, width)
    unit = min(0.36, width / max(_length(net.boxes) for net in found))
    for index, net in enumerate(found):
        middle = _PITCH * (index + 0.5)
        _train(axes, net.boxes, middle, unit)
        _words(figure, net, middle + 0.05, is_base=index == 0)
    return figure


def _archs(report: Report) -> Mapping[str, Arch]:
    found: dict[str, Arch] = {}
    for cell in report.results.manifest.planned:
        record = report.results.records.get(cell.key)
        if record is not None:
            found.setdefault(cell.variant, record.run.arch)
    return found


def _changes(changes: Mapping[str, object]) -> str:
    return ", ".join(f"{path.removeprefix('arch.')}: {_value(value)}" for path, value in changes.items())


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_value(inner) for inner in value) or "none"
    return str(value)


def _box(layer: Layer) -> Box | None:
    match layer:
        case Conv():
            stride = "" if layer.stride == 1 else "/2"
            return Box(f"{layer.kernel[0]}×{layer.kernel[1]}{stride}", f"{layer.channels}", active=False)
        case Dense():
            return Box("fc", f"{layer.features}", active=False)
    return None


def _followed(box: Box, layer: Layer) -> Box:
    match layer:
        case Act():
            return replace(box, active=True, after=f"{box.after} {layer.kind}".strip())
        case Norm():
            return replace(box, after=f"{box.after} {layer.spec.kind}".strip())
        case Dropout():
            return replace(box, after=f"{box.after} dropout {layer.probability}".strip())
        case Pool():
            return replace(box, ends=layer.kind)
    return box


def _stages(train: Sequence[Box]) -> list[tuple[Box, ...]]:
    """The boxes up to each pooling, then those of the head, which may be none."""
    found, current = list[tuple[Box, ...]](), list[Box]()
    for box in train:
        if box.upper == "fc" and current and current[-1].upper != "fc":
            found.append(tuple(current))
            current = []
        current.append(box)
        if box.ends:
            found.append(tuple(current))
            current = []
    return [*found, tuple(current)]


def _beside(base: Sequence[Box], other: Sequence[Box]) -> Iterator[tuple[Box, Mark]]:
    if len(base) == len(other):
        yield from ((box, "same" if box == twin else "new") for box, twin in zip(other, base, strict=True))
        return
    for what, i, j, k, m in SequenceMatcher(None, base, other, autojunk=False).get_opcodes():
        yield from ((box, "same" if what == "equal" else "new") for box in other[k:m])
        yield from ((replace(box, ends=""), "gone") for box in base[i + (m - k) : j] if what in ("delete", "replace"))


def _length(train: Sequence[tuple[Box, Mark]]) -> float:
    return len(train) + _GAP * sum(bool(box.ends) for box, _ in train)


def _train(axes: Axes, train: Sequence[tuple[Box, Mark]], middle: float, unit: float) -> None:
    x = 0.0
    for box, mark in train:
        _one(axes, box, mark, x, middle, unit)
        x += unit
        if box.ends:
            colour = canvas.RULE if mark == "gone" else canvas.SOFT
            axes.plot([x + 0.1 * unit] * 2, [middle - _HIGH / 2, middle + _HIGH / 2], color=colour, linewidth=1.6)
            x += _GAP * unit


def _one(axes: Axes, box: Box, mark: Mark, x: float, middle: float, unit: float) -> None:
    new, gone = mark == "new", mark == "gone"
    patch = Rectangle(
        (x + 0.03 * unit, middle - _HIGH / 2),
        0.94 * unit,
        _HIGH,
        facecolor="none" if gone else canvas.ACCENT if new else canvas.BAND,
        edgecolor=canvas.RULE if gone else canvas.ACCENT if new else canvas.RULE,
        linewidth=0.8,
        linestyle=(0, (2, 1.5)) if gone else "-",
    )
    axes.add_patch(patch)
    if gone:
        return
    if not box.active:
        axes.plot([x + 0.03 * unit, x + 0.97 * unit], [middle + _HIGH / 2] * 2, color=canvas.REFUTED, linewidth=2)
    colour = canvas.PAPER if new else canvas.INK
    for text, by in ((box.upper, -0.07), (box.lower, 0.075)):
        size = min(_TINY + 0.5, (_TINY + 0.5) * 0.86 * unit / max(canvas.width_of(text, _TINY + 0.5), 0.01))
        axes.text(x + unit / 2, middle + by, text, ha="center", va="center", fontsize=size, color=colour)


def _words(figure: Figure, net: Net, middle: float, *, is_base: bool) -> None:
    tall = figure.get_size_inches()[1]
    lines = [canvas.wrapped(net.name, _LEFT - 0.2, canvas.SIZE * 1.08, 1)[0]]
    lines += canvas.wrapped(net.changes, _LEFT - 0.15, _TINY + 0.5, 2)
    top = middle - 0.07 * len(lines)
    for index, line in enumerate(lines):
        size = _TINY + 0.5 if index else canvas.SIZE
        figure.text(
            0.02 / canvas.WIDTH,
            1 - (top + (0.16 + 0.12 * (index - 1) if index else 0.0)) / tall,
            line,
            va="top",
            fontsize=size,
            fontweight="normal" if index else "bold",
            color=canvas.SOFT if index else canvas.ACCENT if is_base else canvas.INK,
        )

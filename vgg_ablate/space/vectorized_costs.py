"""The closed form of models/costs.py for many nets at once: the same rules, over columns of numpy integers.

Every function here takes columns, int64 of one length: a number a net.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.config import kernel_rewrites
from vgg_ablate.config.arch import Arch, BatchNorm, GroupNorm
from vgg_ablate.models.costs import Costs

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

MAX_HIDDEN = 3  # hidden dense layers at most (config/arch.py)


@dataclass(frozen=True, slots=True)
class StageRow:
    """One way to spell one stage, at width 1; `exists` False: no net has such a stage."""

    channels: tuple[int, ...] = ()
    kernels: tuple[tuple[int, int], ...] = ()
    then: tuple[str, ...] = ()
    pool: bool = False
    left: bool = False  # is a rewriting asked for that leaves something else than it writes?
    rewritten: bool = False  # did one find something in this stage?
    exists: bool = True

    @classmethod
    def of(cls, arch: Arch, index: int) -> Self:
        """The row of one stage; empty where the arch has fewer."""
        if index >= len(arch.stages):
            return cls()
        try:
            wide = arch.model_copy(update={"width": 1.0})
            stage = wide.build_plain_stage(index)
            before = wide.model_copy(update={"kernel": ()}).build_plain_stage(index)
        except ValueError:
            return cls(exists=False)
        convs = stage.convs
        return cls(
            tuple(conv.channels for conv in convs),
            tuple(conv.kernel for conv in convs),
            tuple(conv.then for conv in convs),
            stage.pool,
            not all(kernel_rewrites.is_rewritten(convs, rule) for rule in arch.kernel),
            stage != before,
        )


@dataclass(frozen=True, slots=True)
class FrameRow:
    """What every layer of a net shares, and its head."""

    image_size: int = 1
    in_channels: int = 1
    classes: int = 1
    groups: int = 1
    normed: bool = False
    bias: bool = True
    conv_pool: bool = False
    width: float = 1.0
    exists: bool = True

    @classmethod
    def of(cls, arch: Arch) -> Self:
        """Of an arch whose shape is known."""
        return cls(
            arch.image_size or 0,
            arch.in_channels or 0,
            arch.classes or 0,
            arch.norm.groups if isinstance(arch.norm, GroupNorm) else 1,
            isinstance(arch.norm, BatchNorm | GroupNorm),
            arch.bias,
            arch.pool == "conv",
            arch.width,
        )


@dataclass(frozen=True, slots=True)
class HeadRow:
    """A head: the side it pools to (0: none), and its hidden layers."""

    pool: int = 0
    hidden: tuple[int, ...] = ()
    exists: bool = True

    @classmethod
    def of(cls, arch: Arch) -> Self:
        """Of any arch."""
        pool = arch.head.pool
        return cls(1 if pool == "global" else 0 if pool == "none" else int(pool), arch.head.hidden)


class StageTable:
    """Rows as columns, a number a row; of convolutions a list of them: first, second, ..., 0 where there is none."""

    def __init__(self, rows: Sequence[StageRow]) -> None:
        depth = max((len(row.channels) for row in rows), default=0)
        self.channels = _listed([row.channels for row in rows], depth)
        self.areas = _listed([tuple(one * other for one, other in row.kernels) for row in rows], depth)
        self.normed = _listed([tuple(int(then != "nothing") for then in row.then) for row in rows], depth)
        self.longest = _ints(max((max(kernel) for kernel in row.kernels), default=0) for row in rows)
        self.reach = [_ints(sum(kernel[way] - 1 for kernel in row.kernels) for row in rows) for way in (0, 1)]
        self.count = _ints(len(row.channels) for row in rows)
        self.active = _ints(sum(then == "activation" for then in row.then) for row in rows)
        self.pool = _ints(row.pool for row in rows)
        self.left = np.array([row.left for row in rows])
        self.rewritten = np.array([row.rewritten for row in rows])
        self.exists = np.array([row.exists for row in rows])


class FrameTable:
    """Frames as columns."""

    def __init__(self, rows: Sequence[FrameRow]) -> None:
        for field in fields(FrameRow):
            setattr(self, field.name, _ints(getattr(row, field.name) for row in rows))
        self.width = np.array([row.width for row in rows])

    image_size: Ints
    in_channels: Ints
    classes: Ints
    groups: Ints
    normed: Ints
    bias: Ints
    conv_pool: Ints
    width: NDArray[np.float64]
    exists: Ints


class HeadTable:
    """Heads as columns; `hidden` is [row, layer]."""

    def __init__(self, rows: Sequence[HeadRow]) -> None:
        self.pool = _ints(row.pool for row in rows)
        self.count = _ints(len(row.hidden) for row in rows)
        self.hidden = _padded([row.hidden for row in rows], MAX_HIDDEN)
        self.exists = np.array([row.exists for row in rows])


@dataclass(slots=True)
class CostColumns:
    """Costs, a column each; `exists` says which nets there are at all."""

    exists: Flags
    unmatched: Flags  # could be built, but at no width meet their budget; they do not exist
    params: Ints
    macs: Ints
    activations: Ints
    receptive_field: Ints
    weight_layers: Ints
    activation_layers: Ints

    def of(self, index: int) -> Costs:
        """The costs of one net."""
        return Costs(**{field.name: int(getattr(self, field.name)[index]) for field in fields(Costs)})


class CostCounter:
    """The walk through the layers, for many nets side by side."""

    def __init__(self, frame: FrameTable, which: Ints, width: NDArray[np.float64] | None = None) -> None:
        """`which` row of `frame` every net has, and the width of each where it is not the row's."""
        count = len(which)
        self.width, self.groups = frame.width[which] if width is None else width, frame.groups[which]
        self.unscaled = self.width == 1.0
        self.grouped, self.with_norm = bool((self.groups > 1).any()), bool(frame.normed.any())
        self.normed, self.bias = frame.normed[which], frame.bias[which]
        self.conv_pool, self.classes = frame.conv_pool[which], frame.classes[which]
        self.channels, self.size = frame.in_channels[which], frame.image_size[which]
        self.fields = [np.ones(count, np.int64), np.ones(count, np.int64)]
        self.stride = np.ones(count, np.int64)
        self.left, self.gets = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        zeros = [np.zeros(count, np.int64) for _ in range(6)]
        self.total = CostColumns(frame.exists[which].astype(np.bool_), np.zeros(count, np.bool_), *zeros)

    def stage(self, table: StageTable, which: Ints, channels: Ints | None = None) -> None:
        """One stage; `channels`, where given, are those of all its convolutions, before width."""
        total, places = self.total, self.size**2
        total.exists &= table.exists[which] & (table.longest[which] <= 2 * self.size + 1)
        self.left |= table.left[which]
        self.gets |= table.rewritten[which]
        for index, column in enumerate(table.channels):
            wide = column[which]
            there = wide > 0
            wide = self._scaled(wide if channels is None else channels) * there
            self._convolution(wide, table.areas[index][which], table.normed[index], which, places)
            self.channels = np.where(there, wide, self.channels)
        for way in (0, 1):
            self.fields[way] += table.reach[way][which] * self.stride
        total.weight_layers += table.count[which]
        total.activation_layers += table.active[which]
        self._pooling(table.pool[which])

    def head(self, table: HeadTable, which: Ints) -> CostColumns:
        """The head; then the costs are complete."""
        total = self.total
        total.exists &= table.exists[which] & (~self.left | self.gets)
        total.receptive_field = np.maximum(*self.fields)
        side = np.where(table.pool[which] > 0, table.pool[which], self.size)
        features = self.channels * side**2
        for index in range(MAX_HIDDEN):
            there = (index < table.count[which]).astype(np.int64)
            hidden = table.hidden[which, index]
            self._dense(there, features, hidden)
            total.activation_layers += there
            features = np.where(there == 1, hidden, features)
        self._dense(np.ones_like(features), features, self.classes)
        return total

    def _scaled(self, channels: Ints) -> Ints:
        """As Arch rounds: half to even, and to a multiple of the groups; at width 1 nothing is rounded."""
        parts = np.multiply(channels, self.width, dtype=np.float64)  # widths may be whole numbers all
        if not self.grouped:
            return np.maximum(1, np.rint(parts, out=parts).astype(np.int64))  # at width 1: themselves
        scaled = self.groups * np.maximum(1, np.rint(parts / self.groups).astype(np.int64))
        return np.where(self.unscaled, channels, scaled)

    def _convolution(self, wide: Ints, area: Ints, normed: Ints, which: Ints, places: Ints) -> None:
        """One convolution of `wide` channels, 0 where there is none; the stages' rows say which have a norm."""
        total, window, outputs = self.total, self.channels * area, wide * places
        total.macs += outputs * window
        total.activations += outputs
        each = window + self.bias
        if self.with_norm:
            norms = normed[which] * self.normed
            each += 2 * norms
            if self.grouped:
                total.exists &= (norms * (wide % self.groups)) == 0
        total.params += wide * each

    def _pooling(self, there: Ints) -> None:
        total, conv = self.total, there * self.conv_pool
        total.exists &= (there == 0) | (self.size >= 2)
        self.size = np.where(there == 1, self.size // 2, self.size)
        outputs = conv * self.channels * self.size**2
        total.params += conv * self.channels * (4 * self.channels + self.bias)
        total.macs += outputs * 4 * self.channels
        total.activations += outputs
        total.weight_layers += conv
        for axis in (0, 1):
            self.fields[axis] += there * self.stride
        self.stride = self.stride * (1 + there)

    def _dense(self, there: Ints, before: Ints, after: Ints) -> None:
        self.total.params += there * after * (before + 1)
        self.total.macs += there * after * before
        self.total.activations += there * after
        self.total.weight_layers += there


def _ints(values: Iterable[int]) -> Ints:
    return np.array([int(value) for value in values], dtype=np.int64)


def _listed(rows: Sequence[Sequence[int]], depth: int) -> list[Ints]:
    return list(np.ascontiguousarray(_padded(rows, depth).T))


def _padded(rows: Sequence[Sequence[int]], depth: int) -> Ints:
    table = np.zeros((len(rows), depth), dtype=np.int64)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table

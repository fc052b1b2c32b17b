"""The closed form of models/costs.py for many nets at once: the same rules over columns of numpy integers.

A column is an int64 array with one number per net. A property test compares every cost with that of the net alone.
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
    """One form of one stage, at width 1. Where `exists` is False, no net can have this stage."""

    channels: tuple[int, ...] = ()
    kernels: tuple[tuple[int, int], ...] = ()
    then: tuple[str, ...] = ()
    pool: bool = False
    unmet: bool = False  # does a rule of `arch.kernel` leave other kernels than it writes?
    rewritten: bool = False  # did a rule change this stage?
    exists: bool = True

    @classmethod
    def from_arch(cls, arch: Arch, index: int) -> Self:
        """Return the row of the stage with this index; an empty one where the arch has fewer stages."""
        if index >= len(arch.stages):
            return cls()
        try:
            unscaled = arch.model_copy(update={"width": 1.0})
            stage = unscaled.build_plain_stage(index)
            before = unscaled.model_copy(update={"kernel": ()}).build_plain_stage(index)
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
    """The properties that all layers of a net share."""

    image_size: int = 1
    in_channels: int = 1
    classes: int = 1
    groups: int = 1
    normed: bool = False  # batch or group norm; local response normalisation has no weights
    bias: bool = True
    conv_pool: bool = False
    width: float = 1.0
    exists: bool = True

    @classmethod
    def from_arch(cls, arch: Arch) -> Self:
        """Return the row of an arch whose image size, channels and classes are known."""
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
    """A head: the side that it pools to (0: no pooling) and the widths of its hidden layers."""

    pool: int = 0
    hidden: tuple[int, ...] = ()
    exists: bool = True

    @classmethod
    def from_arch(cls, arch: Arch) -> Self:
        """Return the row of an arch."""
        pool = arch.head.pool
        return cls(1 if pool == "global" else 0 if pool == "none" else int(pool), arch.head.hidden)


class StageTable:
    """Stage rows as columns, with one number per row.

    What differs between the convolutions of a stage is a list of columns: of the first, the second, ...; 0 where a
    stage has fewer.
    """

    def __init__(self, rows: Sequence[StageRow]) -> None:
        depth = max((len(row.channels) for row in rows), default=0)
        self.channels = _build_columns([row.channels for row in rows], depth)
        self.areas = _build_columns([tuple(height * width for height, width in row.kernels) for row in rows], depth)
        self.normed = _build_columns([tuple(int(then != "nothing") for then in row.then) for row in rows], depth)
        self.longest_side = _to_column(max((max(kernel) for kernel in row.kernels), default=0) for row in rows)
        self.reach = [_to_column(sum(kernel[axis] - 1 for kernel in row.kernels) for row in rows) for axis in (0, 1)]
        self.count = _to_column(len(row.channels) for row in rows)
        self.activations = _to_column(sum(then == "activation" for then in row.then) for row in rows)
        self.pool = _to_column(row.pool for row in rows)
        self.unmet = np.array([row.unmet for row in rows])
        self.rewritten = np.array([row.rewritten for row in rows])
        self.exists = np.array([row.exists for row in rows])


class FrameTable:
    """Frame rows as columns."""

    def __init__(self, rows: Sequence[FrameRow]) -> None:
        for field in fields(FrameRow):
            setattr(self, field.name, _to_column(getattr(row, field.name) for row in rows))
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
    """Head rows as columns; `hidden` is rows x MAX_HIDDEN."""

    def __init__(self, rows: Sequence[HeadRow]) -> None:
        self.pool = _to_column(row.pool for row in rows)
        self.count = _to_column(len(row.hidden) for row in rows)
        self.hidden = _pad_rows([row.hidden for row in rows], MAX_HIDDEN)
        self.exists = np.array([row.exists for row in rows])


@dataclass(slots=True)
class CostColumns:
    """Costs of many nets, one column per cost. Where `exists` is False, the costs mean nothing."""

    exists: Flags
    unmatched: Flags  # nets that do not exist only because they meet their budget at no width
    params: Ints
    macs: Ints
    activations: Ints
    receptive_field: Ints
    weight_layers: Ints
    activation_layers: Ints

    def get_costs(self, index: int) -> Costs:
        """Return the costs of one net."""
        return Costs(**{field.name: int(getattr(self, field.name)[index]) for field in fields(Costs)})


class CostCounter:
    """A running sum of the costs of many nets side by side, from the first stage to the head."""

    def __init__(self, frame: FrameTable, rows: Ints, width: NDArray[np.float64] | None = None) -> None:
        """Start before the first stage.

        `rows` is the row of `frame` for every net; `width` replaces the widths of these rows.
        """
        count = len(rows)
        self.width = frame.width[rows] if width is None else width
        self.groups = frame.groups[rows]
        self.unscaled = self.width == 1.0
        self.grouped = bool((self.groups > 1).any())
        self.with_norm = bool(frame.normed.any())
        self.normed = frame.normed[rows]
        self.bias = frame.bias[rows]
        self.conv_pool = frame.conv_pool[rows]
        self.classes = frame.classes[rows]
        self.channels = frame.in_channels[rows]
        self.size = frame.image_size[rows]
        self.fields = [np.ones(count, np.int64), np.ones(count, np.int64)]  # receptive field: rows, columns
        self.stride = np.ones(count, np.int64)
        self.unmet = np.zeros(count, np.bool_)
        self.rewritten = np.zeros(count, np.bool_)
        zeros = [np.zeros(count, np.int64) for _ in range(6)]
        self.total = CostColumns(frame.exists[rows].astype(np.bool_), np.zeros(count, np.bool_), *zeros)

    def add_stage(self, table: StageTable, rows: Ints, channels: Ints | None = None) -> None:
        """Add one stage. `channels`, where given, replaces those of all its convolutions, before width."""
        total, positions = self.total, self.size**2
        # The kernel rule of models/layers.py: at most the outermost ring of a kernel may never meet the map.
        total.exists &= table.exists[rows] & (table.longest_side[rows] <= 2 * self.size + 1)
        self.unmet |= table.unmet[rows]
        self.rewritten |= table.rewritten[rows]
        for index, column in enumerate(table.channels):
            written = column[rows]
            present = written > 0
            outputs = self._scale_channels(written if channels is None else channels) * present
            self._add_convolution(outputs, table.areas[index][rows], table.normed[index][rows], positions)
            self.channels = np.where(present, outputs, self.channels)
        for axis in (0, 1):
            self.fields[axis] += table.reach[axis][rows] * self.stride
        total.weight_layers += table.count[rows]
        total.activation_layers += table.activations[rows]
        self._add_pooling(table.pool[rows])

    def add_head(self, table: HeadTable, rows: Ints) -> CostColumns:
        """Add the head and return the costs, which are then complete."""
        total = self.total
        # As in config/arch.py: a rule of `arch.kernel` that changes no stage is an error where a stage breaks it.
        total.exists &= table.exists[rows] & (~self.unmet | self.rewritten)
        total.receptive_field = np.maximum(*self.fields)
        side = np.where(table.pool[rows] > 0, table.pool[rows], self.size)
        features = self.channels * side**2
        for index in range(MAX_HIDDEN):
            present = (index < table.count[rows]).astype(np.int64)
            hidden = table.hidden[rows, index]
            self._add_dense(present, features, hidden)
            total.activation_layers += present
            features = np.where(present == 1, hidden, features)
        self._add_dense(np.ones_like(features), features, self.classes)
        return total

    def _scale_channels(self, channels: Ints) -> Ints:
        """Return the channels times the width, rounded as in `Arch`.

        Halves round to even; with a group norm, to multiples of the groups. At width 1 channels stay as written.
        """
        scaled = np.multiply(channels, self.width, dtype=np.float64)  # widths may all be whole numbers
        if not self.grouped:
            return np.maximum(1, np.rint(scaled, out=scaled).astype(np.int64))  # width 1 needs no special case here
        grouped = self.groups * np.maximum(1, np.rint(scaled / self.groups).astype(np.int64))
        return np.where(self.unscaled, channels, grouped)

    def _add_convolution(self, outputs: Ints, area: Ints, normed: Ints, positions: Ints) -> None:
        """Add one convolution with `outputs` channels, 0 for nets that do not have it."""
        total, window, elements = self.total, self.channels * area, outputs * positions
        total.macs += elements * window
        total.activations += elements
        params_per_channel = window + self.bias
        if self.with_norm:
            norms = normed * self.normed
            params_per_channel += 2 * norms
            if self.grouped:
                total.exists &= (norms * (outputs % self.groups)) == 0
        total.params += outputs * params_per_channel

    def _add_pooling(self, present: Ints) -> None:
        total, conv = self.total, present * self.conv_pool
        total.exists &= (present == 0) | (self.size >= 2)
        self.size = np.where(present == 1, self.size // 2, self.size)
        elements = conv * self.channels * self.size**2
        total.params += conv * self.channels * (4 * self.channels + self.bias)  # 2x2 kernels, channels to channels
        total.macs += elements * 4 * self.channels
        total.activations += elements
        total.weight_layers += conv
        for axis in (0, 1):
            self.fields[axis] += present * self.stride
        self.stride = self.stride * (1 + present)

    def _add_dense(self, present: Ints, inputs: Ints, outputs: Ints) -> None:
        self.total.params += present * outputs * (inputs + 1)
        self.total.macs += present * outputs * inputs
        self.total.activations += present * outputs
        self.total.weight_layers += present


def _to_column(values: Iterable[int]) -> Ints:
    return np.array([int(value) for value in values], dtype=np.int64)


def _build_columns(rows: Sequence[Sequence[int]], depth: int) -> list[Ints]:
    return list(np.ascontiguousarray(_pad_rows(rows, depth).T))


def _pad_rows(rows: Sequence[Sequence[int]], depth: int) -> Ints:
    table = np.zeros((len(rows), depth), dtype=np.int64)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table

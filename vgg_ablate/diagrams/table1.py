"""Nets as columns of the paper's Table 1, and variants beside their base with the differences marked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vgg_ablate.config.arch import Arch
from vgg_ablate.diagrams.blocks import (
    HEAD_BLOCK,
    Block,
    ItemPair,
    align_blocks,
    build_blocks,
    count_slots,
    sort_block_names,
)
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import CountCell, QuantityCell, TableCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.models.costs import Costs, combine_costs
from vgg_ablate.models.layers import Layer, build_layers
from vgg_ablate.models.width_matching import ResolvedVariant, WidthMatch

VARIANTS_PER_TABLE = 6  # as in the paper's Table 1, the base included
MARK = "*"


@dataclass(frozen=True, slots=True)
class NetDescription:
    """A net with its name and what distinguishes it from the base."""

    name: str
    arch: Arch  # in normal form, with its shape
    changes: str = ""
    mismatch: str = ""  # the remaining difference between a matched cost and its budget
    ensemble: tuple[Arch, ...] = ()  # further nets whose answers are averaged with its own

    @property
    def nets(self) -> tuple[NetDescription, ...]:
        """Each net alone: itself, and the further nets of an ensemble."""
        further = [NetDescription(f"{self.name}, net {number}", arch) for number, arch in enumerate(self.ensemble, 2)]
        return (replace(self, ensemble=()), *further)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers; of an ensemble, those of the first net."""
        return build_layers(self.arch)

    @property
    def costs(self) -> Costs:
        """The costs of one example's forward pass through all nets."""
        return combine_costs((self.arch, *self.ensemble))

    def get_differences(self) -> dict[str, str]:
        """Return what distinguishes the net from the base, by name, where there is anything."""
        differences = {"changes": self.changes, "mismatch": self.mismatch}
        return {name: text for name, text in differences.items() if text}


def describe_variant(resolved: ResolvedVariant) -> NetDescription:
    """Return the description of a variant of a study."""
    changes = ", ".join(f"{path}: {format_value(value)}" for path, value in resolved.variant.changes.items())
    mismatch = "" if resolved.matched is None else format_mismatch(resolved.matched)
    return NetDescription(resolved.variant.name, resolved.arch, changes, mismatch, resolved.ensemble)


def build_table1_column(net: NetDescription) -> Table:
    """Return a net as one column of the paper's Table 1 (section 2.1)."""
    rows = [_build_heading_row(f"input: {_format_input(net.arch)}")]
    for block in build_blocks(net.layers):
        rows.append(_build_heading_row(_format_heading(block)))
        rows += [TableRow((TextCell(item.description),)) for item in block.items]
    rows.append(TableRow((TextCell("soft-max"),)))
    caption = f"{net.name}: {net.costs.weight_layers} weight layers"
    return Table("column", caption, (Column(net.name, "left"),), tuple(rows))


def build_variant_tables(nets: Sequence[NetDescription]) -> list[Table]:
    """Return the costs of a study's variants, and their layers beside those of the base, which is the first net."""
    base, others = nets[0], nets[1:]
    width = VARIANTS_PER_TABLE - 1
    starts = range(0, max(1, len(others)), width)  # one table even where the base is alone
    return [build_cost_table(nets), *(_build_side_by_side(base, others[start : start + width]) for start in starts)]


def build_cost_table(nets: Sequence[NetDescription]) -> Table:
    """Return a table with one row of costs per variant; the first net is the base."""
    base = nets[0].costs
    rows = []
    for net in nets:
        costs = net.costs
        cells: tuple[TableCell, ...] = (
            TextCell(net.name),
            TextCell(net.changes),
            CountCell(costs.params),
            QuantityCell(costs.params / base.params, "plain"),
            CountCell(costs.macs),
            QuantityCell(costs.macs / base.macs, "plain"),
            CountCell(costs.activations),
            CountCell(costs.receptive_field),
            CountCell(costs.weight_layers),
            CountCell(costs.activation_layers),
            TextCell(net.mismatch),
        )
        rows.append(TableRow(cells, "base" if net is nets[0] else ""))
    columns: tuple[Column, ...] = _COST_COLUMNS
    if not any(net.mismatch for net in nets):
        columns, rows = columns[:-1], [TableRow(row.cells[:-1], row.style) for row in rows]
    notes = ["params and MACs are those of one example; × is the ratio to the base; receptive fields are in pixels"]
    if any(net.ensemble for net in nets):
        notes.append(_ENSEMBLE_NOTE)
    return Table("variants", "Costs of the variants", columns, tuple(rows), tuple(notes))


_ENSEMBLE_NOTE = (
    "ensembles: params, MACs and activations are sums over the nets; the other columns are those of the largest net"
)
_COST_COLUMNS = (
    Column("variant", "left"),
    Column("changes", "left"),
    Column("params"),
    Column("×"),
    Column("MACs"),
    Column("×"),
    Column("activations"),
    Column("receptive field"),
    Column("weight layers"),
    Column("activation layers"),
    Column("mismatch", "left"),
)


def _build_side_by_side(base: NetDescription, others: Sequence[NetDescription]) -> Table:
    """Return the layers of the base and of a few variants, with what differs from the base in bold and marked."""
    nets = [base, *others]
    blocks_per_net = [{block.name: block for block in build_blocks(net.layers)} for net in nets]
    rows: list[TableRow] = []
    for name in sort_block_names({name for blocks in blocks_per_net for name in blocks}):
        rows.append(_build_heading_row("head" if name == HEAD_BLOCK else f"block {name}"))
        rows += _build_aligned_rows([blocks.get(name) for blocks in blocks_per_net])
    columns = tuple(Column(net.name, "left") for net in nets)
    notes = [f"bold with {MARK}: differs from {base.name}; {numbers.DASH}: missing layer", _explain_labels(base.arch)]
    if any(net.ensemble for net in nets):
        notes.append("of an ensemble, the first net is shown")
    return Table("side_by_side", f"The variants beside {base.name}", columns, tuple(rows), tuple(notes))


def _build_aligned_rows(blocks: Sequence[Block | None]) -> list[TableRow]:
    """Return the rows of one block of every net; the first is the base's."""
    slots = count_slots(blocks)  # over all nets, so that rows are aligned across more than two columns
    columns = [align_blocks(block, blocks[0], slots) for block in blocks]
    rows = []
    for pairs in zip(*columns, strict=True):
        different = frozenset(index for index, pair in enumerate(pairs) if pair.differs)
        rows.append(TableRow(tuple(TextCell(_format_pair(pair)) for pair in pairs), bold=different))
    return rows


def _format_pair(pair: ItemPair) -> str:
    if pair.item is None:
        return f"{numbers.DASH} {MARK}" if pair.is_missing else ""
    return f"{pair.item.description} {MARK}" if pair.differs else pair.item.description


def _format_heading(block: Block) -> str:
    return "head" if block.name == HEAD_BLOCK else f"block {block.name}: maps of {block.size}x{block.size}"


def _format_input(arch: Arch) -> str:
    kind = {1: "grey", 3: "RGB"}.get(arch.in_channels or 0, f"{arch.in_channels}-channel")
    return f"{arch.image_size}x{arch.image_size} {kind} image"


def _explain_labels(arch: Arch) -> str:
    if arch.activation == "relu":
        return "convolutions and hidden dense layers are followed by a ReLU unless they name something else"
    return "convolutions and hidden dense layers name the activation that follows them; linear: none"


def _build_heading_row(text: str) -> TableRow:
    return TableRow((TextCell(text),), "block")


def format_mismatch(match: WidthMatch) -> str:
    """Return the remaining difference between a matched cost and its budget, such as "+0.31 % of 3.76 M MACs"."""
    percent = numbers.format_number(100 * match.mismatch, 2, signed=True)
    cost = "MACs" if match.cost == "macs" else match.cost
    return f"{percent} % of {numbers.format_count(match.budget)} {cost}"


def format_value(value: object) -> str:
    """Return a new value as a study file would hold it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {format_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(format_value(item) for item in value) + "]"
    return json.dumps(value) if isinstance(value, bool) or value is None else str(value)

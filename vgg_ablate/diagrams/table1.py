"""Nets as the columns of the paper's Table 1; variants beside their base, with what differs marked."""

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
from vgg_ablate.formatting.table import Column, CountCell, QuantityCell, Table, TableCell, TableRow, TextCell
from vgg_ablate.models.costs import Costs, combine_costs
from vgg_ablate.models.layers import Layer, build_layers
from vgg_ablate.models.width_matching import ResolvedVariant, WidthMatch

VARIANTS_PER_TABLE = 6  # variants in one table side by side, as in the paper's Table 1
MARK = "*"


@dataclass(frozen=True, slots=True)
class NetDescription:
    """A net with its name, and what sets it apart from the base."""

    name: str
    arch: Arch  # the normal form, with its shape
    changes: str = ""
    mismatch: str = ""  # what is left of the difference between a matched cost and its budget
    ensemble: tuple[Arch, ...] = ()  # further nets that answer with it

    @property
    def nets(self) -> tuple[NetDescription, ...]:
        """Each of its nets alone: itself, or itself and the others of the ensemble."""
        further = [NetDescription(f"{self.name}, net {place}", arch) for place, arch in enumerate(self.ensemble, 2)]
        return (replace(self, ensemble=()), *further)

    @property
    def net(self) -> tuple[Layer, ...]:
        """Its layers; of an ensemble, those of the first net."""
        return build_layers(self.arch)

    @property
    def costs(self) -> Costs:
        """Of one example's forward pass, through all nets."""
        return combine_costs((self.arch, *self.ensemble))

    def differences(self) -> dict[str, str]:
        """What sets it apart from the base, where anything does."""
        found = {"changes": self.changes, "mismatch": self.mismatch}
        return {name: words for name, words in found.items() if words}


def describe_variant(resolved: ResolvedVariant) -> NetDescription:
    """A variant of a study."""
    changes = ", ".join(f"{path}: {format_value(value)}" for path, value in resolved.variant.changes.items())
    left = "" if resolved.matched is None else format_mismatch(resolved.matched)
    return NetDescription(resolved.variant.name, resolved.arch, changes, left, resolved.ensemble)


def build_table1_column(one: NetDescription) -> Table:
    """The paper's Table 1 (section 2.1) has one such column a net."""
    rows = [_block_row(f"input: {_input(one.arch)}")]
    for block in build_blocks(one.net):
        rows.append(_block_row(_heading(block)))
        rows += [TableRow((TextCell(item.described),)) for item in block.items]
    rows.append(TableRow((TextCell("soft-max"),)))
    caption = f"{one.name}: {one.costs.weight_layers} weight layers"
    return Table("column", caption, (Column(one.name, "layer", "left"),), tuple(rows))


def build_variant_tables(nets: Sequence[NetDescription]) -> list[Table]:
    """Of a study's variants, the base first: what each costs, and Table 1 with what differs from the base marked."""
    return [
        build_cost_table(nets),
        *(_abreast(nets[0], nets[1:][at : at + VARIANTS_PER_TABLE - 1]) for at in _starts(len(nets) - 1)),
    ]


def build_cost_table(nets: Sequence[NetDescription]) -> Table:
    """One row a variant."""
    base = nets[0].costs
    rows = []
    for one in nets:
        cost = one.costs
        cells: tuple[TableCell, ...] = (
            TextCell(one.name),
            TextCell(one.changes),
            CountCell(cost.params),
            QuantityCell(cost.params / base.params, "plain"),
            CountCell(cost.macs),
            QuantityCell(cost.macs / base.macs, "plain"),
            CountCell(cost.activations),
            CountCell(cost.receptive_field),
            CountCell(cost.weight_layers),
            CountCell(cost.activation_layers),
            TextCell(one.mismatch),
        )
        rows.append(TableRow(cells, "base" if one is nets[0] else ""))
    columns: tuple[Column, ...] = _SUMMARY_COLUMNS
    if not any(one.mismatch for one in nets):
        columns, rows = columns[:-1], [TableRow(row.cells[:-1], row.style) for row in rows]
    notes = ["params and macs of one example; × is the ratio to the base; the receptive field is in pixels"]
    if any(one.ensemble for one in nets):
        notes.append(_ENSEMBLES)
    return Table("variants", "What the variants cost", columns, tuple(rows), tuple(notes))


_ENSEMBLES = "of an ensemble: params, macs and activations of all its nets; the rest of the net that has most"
_SUMMARY_COLUMNS = (
    Column("variant", "variant", "left"),
    Column("changes", "changes", "left"),
    Column("params", "params"),
    Column("×", "params_ratio"),
    Column("macs", "macs"),
    Column("×", "macs_ratio"),
    Column("activations", "activations"),
    Column("receptive field", "receptive_field"),
    Column("weight layers", "weight_layers"),
    Column("activation layers", "activation_layers"),
    Column("mismatch", "mismatch", "left"),
)


def _abreast(base: NetDescription, others: Sequence[NetDescription]) -> Table:
    """The base at the left; what differs from it in bold, with a mark."""
    shown = [base, *others]
    found = [{block.name: block for block in build_blocks(one.net)} for one in shown]
    rows: list[TableRow] = []
    for name in sort_block_names({name for each in found for name in each}):
        here = [each.get(name) for each in found]
        rows.append(_block_row("head" if name == HEAD_BLOCK else f"block {name}"))
        rows += _marked_rows(here)
    columns = tuple(Column(one.name, one.name, "left") for one in shown)
    notes = [f"bold with {MARK}: not as in {base.name}; –: a layer less", _reading(base.arch)]
    if any(one.ensemble for one in shown):
        notes.append("of an ensemble, its first net")
    return Table("side_by_side", f"The variants beside {base.name}", columns, tuple(rows), tuple(notes))


def _marked_rows(here: Sequence[Block | None]) -> list[TableRow]:
    columns = [align_blocks(block, here[0], count_slots(here)) for block in here]
    rows = []
    for cells in zip(*columns, strict=True):
        different = frozenset(index for index, cell in enumerate(cells) if cell.differs)
        rows.append(TableRow(tuple(TextCell(_marked_words(cell)) for cell in cells), bold=different))
    return rows


def _marked_words(cell: ItemPair) -> str:
    if cell.item is None:
        return f"{numbers.DASH} {MARK}" if cell.is_missing else ""
    return f"{cell.item.described} {MARK}" if cell.differs else cell.item.described


def _heading(block: Block) -> str:
    return "head" if block.name == HEAD_BLOCK else f"block {block.name}: maps of {block.size}x{block.size}"


def _input(arch: Arch) -> str:
    kind = {1: "grey", 3: "RGB"}.get(arch.in_channels or 0, f"{arch.in_channels}-channel")
    return f"{arch.image_size}x{arch.image_size} {kind} image"


def _reading(arch: Arch) -> str:
    if arch.activation == "relu":
        return "a ReLU follows every convolution and hidden dense layer that does not say otherwise"
    return "every convolution and hidden dense layer names the activation that follows it; linear: none"


def _block_row(text: str) -> TableRow:
    return TableRow((TextCell(text),), "block")


def _starts(others: int) -> range:
    return range(0, max(1, others), VARIANTS_PER_TABLE - 1)


def format_mismatch(met: WidthMatch) -> str:
    """+0.31 % of 3.76 M macs: what is left of the difference between a matched cost and its budget."""
    return f"{_percent(met.mismatch)} of {numbers.format_count(met.budget)} {met.cost}"


def _percent(fraction: float) -> str:
    return f"{numbers.format_number(100 * fraction, 2, signed=True)} %"


def format_value(value: object) -> str:
    """A new value as a person would write it in YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {format_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(format_value(inner) for inner in value) + "]"
    return json.dumps(value) if isinstance(value, bool) or value is None else str(value)

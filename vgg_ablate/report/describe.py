"""What a net is made of: the paper's Table 1, a table of its layers, variants side by side, and the same as data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from vgg_ablate.net.costs import activations, costs, macs, params
from vgg_ablate.net.layers import Act, Conv, Dense, Dropout, Flatten, Layer, Norm, Pool, layers
from vgg_ablate.net.match import Resolved
from vgg_ablate.net.memory import training
from vgg_ablate.net.sight import Sight, sights
from vgg_ablate.report import numbers
from vgg_ablate.report.table import Column, Count, Quantity, Row, Table, Value, Words
from vgg_ablate.spec.arch import Arch
from vgg_ablate.spec.paths import differences

_BATCH = 128  # of the memory estimate
_NORMS = {"batch": "BN", "group": "GN", "lrn": "LRN"}


def as_json(arch: Arch, name: str) -> str:
    """One document: the costs, and every layer with its kernel, channels, size, receptive field and costs."""
    return json.dumps(data(arch, name), indent=1)


def data(arch: Arch, name: str) -> dict[str, Any]:
    """The same as plain data, from an arch in its normal form."""
    net = layers(arch)
    rows = [_layer(layer, sight) for layer, sight in zip(net, sights(net), strict=True)]
    memory = training(arch, _BATCH)
    return {
        "name": name,
        "notation": arch.notation(),
        "image_size": arch.image_size,
        "in_channels": arch.in_channels,
        "classes": arch.classes,
        **costs(arch).as_dict(),
        "training_bytes": {"batch_size": _BATCH, "total": memory.total, "activations": memory.activations},
        "layers": rows,
    }


def _layer(layer: Layer, sight: Sight) -> dict[str, Any]:
    before, after = _channels(layer)
    return {
        "name": layer.name,
        "kind": kind(layer),
        "kernel": _window(layer),
        "in": before,
        "out": after,
        "size": _size(layer),
        "receptive_field": max(sight.field),
        "stride": sight.stride,
        "activations": activations(layer),
        "params": params(layer),
        "macs": macs(layer),
    }


def kind(layer: Layer) -> str:
    """A word for a kind of layer: conv, batch, group, lrn, relu, max, average, adaptive, flatten, dense, dropout."""
    match layer:
        case Norm():
            return layer.spec.kind
        case Act() | Pool():
            return layer.kind
    return type(layer).__name__.lower()


def layer_table(arch: Arch, name: str) -> Table:
    """Every layer with its window, channels, size, receptive field, and its share of params and macs."""
    whole = data(arch, name)
    rows = [_row(layer, whole) for layer in whole["layers"] if layer["kind"] not in ("flatten", "dropout")]
    total = ("total", "", "", "", "")
    sums = (Count(whole["params"]), Words(""), Count(whole["macs"]), Words(""))
    return Table(
        "layers",
        f"{name}: layers",
        (
            Column("layer", "layer", "left"),
            Column("kernel", "kernel", "left"),
            Column("in → out", "channels"),
            Column("size", "size"),
            Column("sees (px)", "receptive_field"),
            Column("params", "params"),
            Column("share", "params_share"),
            Column("MACs", "macs"),
            Column("share", "macs_share"),
        ),
        (*rows, Row((*map(Words, total), *sums), bold=frozenset({0, 5, 7}))),
        _notes(whole),
    )


def _row(layer: dict[str, Any], whole: dict[str, Any]) -> Row:
    kernel = "×".join(map(str, layer["kernel"])) if layer["kernel"] else ""
    changes = f"{layer['in']} → {layer['out']}" if layer["in"] != layer["out"] or layer["params"] else f"{layer['out']}"
    cells: list[Value] = [
        Words(layer["name"]),
        Words(kernel),
        Words(changes),
        Words(f"{layer['size']}×{layer['size']}"),
        Count(layer["receptive_field"]),
    ]
    for cost in ("params", "macs"):
        spent, total = layer[cost], whole[cost]
        cells += [Count(spent), Quantity(spent / total, "percentage")] if spent else [Words(""), Words("")]
    return Row(tuple(cells))


def _notes(whole: dict[str, Any]) -> tuple[str, ...]:
    memory = whole["training_bytes"]
    return (
        f"{whole['weight_layers']} weight layers, {whole['activation_layers']} activation layers; the last map sees "
        f"{whole['receptive_field']} of {whole['image_size']} px; {numbers.count(whole['activations'])} activations.",
        f"Training at batch {memory['batch_size']} in fp32 takes about {memory['total'] / 2**20:,.0f} MiB "
        f"({memory['activations'] / 2**20:,.0f} MiB of them activations), libraries' workspaces aside.",
    )


def table_1(nets: Sequence[tuple[str, Arch]]) -> Table:
    """Nets as the columns of the paper's Table 1; what differs from the first is marked."""
    columns = [_blocks(arch) for _, arch in nets]
    rows: list[Row] = []
    for blocks in zip_longest(*columns, fillvalue=[]):
        rows += [_compared(cells) for cells in zip_longest(*blocks, fillvalue="")]
    counted = [costs(arch) for _, arch in nets]
    for heading, cost in (("params", "params"), ("MACs", "macs"), ("sees (px)", "receptive_field")):
        values = [getattr(one, cost) for one in counted]
        rows.append(Row((Words(heading), *map(Count, values)), bold=_unlike_first(values)))
    depths = [one.weight_layers for one in counted]
    rows.insert(0, Row((Words("weight layers"), *map(Count, depths)), bold=_unlike_first(depths)))
    return Table(
        "table-1",
        "Nets, as in Table 1 of the paper",
        (Column("", "part", "left"), *(Column(name, name, "left") for name, _ in nets)),
        tuple(rows),
        ("Bold: not as in the first column.",) if len(nets) > 1 else (),
    )


def _compared(cells: Sequence[str]) -> Row:
    return Row((Words(""), *map(Words, cells)), bold=_unlike_first(cells))


def _unlike_first(values: Sequence[object]) -> frozenset[int]:
    return frozenset(index for index, value in enumerate(values, start=1) if value != values[0])


def _blocks(arch: Arch) -> list[list[str]]:
    """The lines of one column, a block a stage: input, stages with their poolings, head."""
    blocks = [[f"input {arch.image_size}×{arch.image_size}×{arch.in_channels}"]]
    for stage in arch.stages:
        block: list[str] = []
        for conv in stage.convs:
            bare = "" if conv.then == "activation" else " linear"
            rows, columns = conv.kernel
            window = f"{rows}" if rows == columns else f"{rows}×{columns}"
            block.append(f"conv{window}-{conv.channels}{_norm_mark(arch, conv.then)}{bare}")
        if arch.norm.kind == "lrn" and not len(blocks) > 1:
            block.insert(1, "LRN")
        blocks += [block, [f"{arch.pool}pool" if stage.pool else "(no pooling)"]]
    return [*blocks, _head_block(arch)]


def _norm_mark(arch: Arch, then: str) -> str:
    return f" {_NORMS[arch.norm.kind]}" if arch.norm.kind in ("batch", "group") and then != "nothing" else ""


def _head_block(arch: Arch) -> list[str]:
    head, word = arch.head, "conv" if arch.head.convolutional else "FC"
    pool = [] if head.pool == "none" else ["global average" if head.pool == "global" else f"average to {head.pool}"]
    drop = f", dropout {numbers.plain(head.dropout)}" if head.dropout else ""
    return [*pool, *(f"{word}-{width}{drop}" for width in head.hidden), f"{word}-{arch.classes}", "soft-max"]


def changes_table(resolved: Sequence[Resolved]) -> Table:
    """A row for every variant: what it changes, how its budget was met, what it costs."""
    rows = []
    for index, one in enumerate(resolved):
        matched = "" if one.matched is None else _matched(one)
        cells: tuple[Value, ...] = (
            Words(one.variant.name),
            Words(_changes(one, resolved[0])),
            Words(matched),
            Count(one.costs.params),
            Count(one.costs.macs),
            Count(one.costs.activations),
            Count(one.costs.receptive_field),
        )
        rows.append(Row(cells, "base" if index == 0 else ""))
    headings = [("variant", "variant"), ("changes", "changes"), ("match", "match")]
    sums = [("params", "params"), ("MACs", "macs"), ("activations", "activations"), ("sees (px)", "receptive_field")]
    return Table(
        "variants",
        "Variants, and what they change",
        (*(Column(text, name, "left") for text, name in headings), *(Column(text, name) for text, name in sums)),
        tuple(rows),
    )


def _matched(one: Resolved) -> str:
    assert one.matched is not None
    mismatch = numbers.number(100 * one.matched.mismatch, 2, signed=True)
    return f"{one.matched.cost} {mismatch} % at width {numbers.plain(one.matched.width, 4)}"


def _changes(one: Resolved, base: Resolved) -> str:
    if one.variant.changes:
        return ", ".join(f"{path} = {_value(value)}" for path, value in one.variant.changes.items())
    found = differences(base.variant.arch, one.variant.arch)
    return ", ".join(f"{path} = {_value(new)}" for path, (_, new) in found.items())


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _window(layer: Layer) -> list[int] | None:
    match layer:
        case Conv():
            return list(layer.kernel)
        case Pool(kind="adaptive"):
            return None
        case Pool():
            return [2, 2]
    return None


def _channels(layer: Layer) -> tuple[int, int]:
    match layer:
        case Conv():
            return layer.in_channels, layer.channels
        case Norm() | Pool() | Act():
            return layer.channels, layer.channels
        case Dense():
            return layer.in_features, layer.features
        case Flatten() | Dropout():
            return layer.features, layer.features


def _size(layer: Layer) -> int:
    return layer.size if isinstance(layer, Conv | Norm | Pool | Act) else 1

"""What a net is made of, layer by layer: as a table, and as data."""

from __future__ import annotations

import json
from typing import Any

from vgg_ablate.config.arch import Arch
from vgg_ablate.diagrams.table1 import NetDescription
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.table import Column, CountCell, QuantityCell, Table, TableCell, TableRow, TextCell
from vgg_ablate.models.costs import compute_costs, count_activations, count_macs, count_params
from vgg_ablate.models.layers import Activation, Conv, Dense, Dropout, Flatten, Layer, Norm, Pool, build_layers
from vgg_ablate.models.memory import estimate_training_memory
from vgg_ablate.models.receptive_field import ReceptiveField, trace_receptive_fields

_BATCH = 128  # of the memory estimate


def as_json(arch: Arch, name: str) -> str:
    """One document: the costs, and every layer with its kernel, channels, size, receptive field and costs."""
    return json.dumps(build_arch_data(arch, name), indent=1)


def build_variant_data(one: NetDescription) -> dict[str, Any]:
    """A variant as plain data: its net, what sets it apart; of an ensemble what all nets cost, and each further net."""
    found = {**build_arch_data(one.arch, one.name), **one.differences()}
    if one.ensemble:
        further = [build_arch_data(net.arch, net.name) for net in one.nets[1:]]
        bytes_each = [net.pop("training_bytes") for net in (found, *further)]
        summed = {name: sum(one[name] for one in bytes_each) for name in ("total", "activations")}
        found |= {**one.costs.as_dict(), "training_bytes": {"batch_size": _BATCH, **summed}, "ensemble": further}
    return found


def build_arch_data(arch: Arch, name: str) -> dict[str, Any]:
    """The same as plain data, from an arch in its normal form."""
    net = build_layers(arch)
    rows = [_layer(layer, sight) for layer, sight in zip(net, trace_receptive_fields(net), strict=True)]
    memory = estimate_training_memory(arch, _BATCH)
    return {
        "name": name,
        "notation": arch.to_notation(),
        "image_size": arch.image_size,
        "in_channels": arch.in_channels,
        "classes": arch.classes,
        **compute_costs(arch).as_dict(),
        "training_bytes": {"batch_size": _BATCH, "total": memory.total, "activations": memory.activations},
        "layers": rows,
    }


def _layer(layer: Layer, sight: ReceptiveField) -> dict[str, Any]:
    before, after = _channels(layer)
    return {
        "name": layer.name,
        "kind": get_layer_kind(layer),
        "kernel": _window(layer),
        "in": before,
        "out": after,
        "size": _size(layer),
        "receptive_field": max(sight.field),
        "stride": sight.stride,
        "activations": count_activations(layer),
        "params": count_params(layer),
        "macs": count_macs(layer),
    }


def get_layer_kind(layer: Layer) -> str:
    """A word for a kind of layer: conv, batch, group, lrn, relu, max, average, adaptive, flatten, dense, dropout."""
    match layer:
        case Norm():
            return layer.spec.kind
        case Activation() | Pool():
            return layer.kind
    return type(layer).__name__.lower()


def build_layer_table(arch: Arch, name: str) -> Table:
    """Every layer with its window, channels, size, receptive field, and its share of params and macs."""
    whole = build_arch_data(arch, name)
    rows = [_row(layer, whole) for layer in whole["layers"] if layer["kind"] not in ("flatten", "dropout")]
    total = ("total", "", "", "", "")
    sums = (CountCell(whole["params"]), TextCell(""), CountCell(whole["macs"]), TextCell(""))
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
        (*rows, TableRow((*map(TextCell, total), *sums), bold=frozenset({0, 5, 7}))),
        _notes(whole),
    )


def _row(layer: dict[str, Any], whole: dict[str, Any]) -> TableRow:
    kernel = "×".join(map(str, layer["kernel"])) if layer["kernel"] else ""
    changes = f"{layer['in']} → {layer['out']}" if layer["in"] != layer["out"] or layer["params"] else f"{layer['out']}"
    cells: list[TableCell] = [
        TextCell(layer["name"]),
        TextCell(kernel),
        TextCell(changes),
        TextCell(f"{layer['size']}×{layer['size']}"),
        CountCell(layer["receptive_field"]),
    ]
    for cost in ("params", "macs"):
        spent, total = layer[cost], whole[cost]
        cells += (
            [CountCell(spent), QuantityCell(spent / total, "percentage")] if spent else [TextCell(""), TextCell("")]
        )
    return TableRow(tuple(cells))


def _notes(whole: dict[str, Any]) -> tuple[str, ...]:
    memory = whole["training_bytes"]
    return (
        f"{whole['weight_layers']} weight layers, {whole['activation_layers']} activation layers; the last map sees "
        f"{whole['receptive_field']} px of an image of {whole['image_size']}; "
        f"{numbers.format_count(whole['activations'])} activations.",
        f"Training at batch {memory['batch_size']} in fp32 takes about {_bytes(memory['total'])} "
        f"({_bytes(memory['activations'])} of them activations), libraries' workspaces aside.",
    )


def _bytes(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"


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
        case Norm() | Pool() | Activation():
            return layer.channels, layer.channels
        case Dense():
            return layer.in_features, layer.features
        case Flatten() | Dropout():
            return layer.features, layer.features


def _size(layer: Layer) -> int:
    return layer.size if isinstance(layer, Conv | Norm | Pool | Activation) else 1

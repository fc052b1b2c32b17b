"""A net layer by layer, as a table and as plain data for JSON."""

from __future__ import annotations

from typing import Any

from vgg_ablate.config.arch import Arch
from vgg_ablate.diagrams.table1 import NetDescription
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import CountCell, QuantityCell, TableCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.models.costs import compute_costs, count_activations, count_macs, count_params
from vgg_ablate.models.layers import Activation, Conv, Dense, Dropout, Flatten, Layer, Norm, Pool, build_layers
from vgg_ablate.models.memory import estimate_training_memory
from vgg_ablate.models.receptive_field import ReceptiveField, trace_receptive_fields

_BATCH_SIZE = 128  # of the memory estimate


def build_variant_data(net: NetDescription) -> dict[str, Any]:
    """Return a variant as plain data: its layers and costs, and what differs from the base.

    For an ensemble, the costs are those of all nets together, and the further nets are listed under `ensemble`.
    """
    data = {**build_arch_data(net.arch, net.name), **net.get_differences()}
    if net.ensemble:
        further = [build_arch_data(other.arch, other.name) for other in net.nets[1:]]
        bytes_per_net = [net_data.pop("training_bytes") for net_data in (data, *further)]
        summed = {name: sum(net_bytes[name] for net_bytes in bytes_per_net) for name in ("total", "activations")}
        data |= {
            **net.costs.as_dict(),
            "training_bytes": {"batch_size": _BATCH_SIZE, **summed},
            "ensemble": further,
        }
    return data


def build_arch_data(arch: Arch, name: str) -> dict[str, Any]:
    """Return the costs and the layers of an arch in its normal form as plain data."""
    net = build_layers(arch)
    layers = [_build_layer_data(layer, field) for layer, field in zip(net, trace_receptive_fields(net), strict=True)]
    memory = estimate_training_memory(arch, _BATCH_SIZE)
    return {
        "name": name,
        "notation": arch.to_notation(),
        "image_size": arch.image_size,
        "in_channels": arch.in_channels,
        "classes": arch.classes,
        **compute_costs(arch).as_dict(),
        "training_bytes": {"batch_size": _BATCH_SIZE, "total": memory.total, "activations": memory.activations},
        "layers": layers,
    }


def _build_layer_data(layer: Layer, receptive_field: ReceptiveField) -> dict[str, Any]:
    inputs, outputs = _get_channels(layer)
    return {
        "name": layer.name,
        "kind": get_layer_kind(layer),
        "kernel": _get_kernel(layer),
        "in": inputs,
        "out": outputs,
        "size": _get_size(layer),
        "receptive_field": max(receptive_field.field),
        "stride": receptive_field.stride,
        "activations": count_activations(layer),
        "params": count_params(layer),
        "macs": count_macs(layer),
    }


def get_layer_kind(layer: Layer) -> str:
    """Return the kind of a layer in one word.

    It is one of conv, batch, group, lrn, max, average, adaptive, flatten, dense, dropout, or the name of an activation.
    """
    match layer:
        case Norm():
            return layer.spec.kind
        case Activation() | Pool():
            return layer.kind
    return type(layer).__name__.lower()


def build_layer_table(arch: Arch, name: str) -> Table:
    """Return a table of the layers: kernel, channels, size, receptive field, and shares of params and MACs."""
    net = build_arch_data(arch, name)
    # A flatten and a dropout change neither shape nor costs of what is shown.
    rows = [_build_row(layer, net) for layer in net["layers"] if layer["kind"] not in ("flatten", "dropout")]
    names: list[TableCell] = [TextCell("total"), *[TextCell("") for _ in range(4)]]
    sums: list[TableCell] = [CountCell(net["params"]), TextCell(""), CountCell(net["macs"]), TextCell("")]
    return Table(
        "layers",
        f"{name}: layers",
        (
            Column("layer", "left"),
            Column("kernel", "left"),
            Column("in → out"),
            Column("size"),
            Column("receptive field (px)"),
            Column("params"),
            Column("share"),
            Column("MACs"),
            Column("share"),
        ),
        (*rows, TableRow((*names, *sums), bold=frozenset({0, 5, 7}))),
        _build_notes(net),
    )


def _build_row(layer: dict[str, Any], net: dict[str, Any]) -> TableRow:
    kernel = "×".join(map(str, layer["kernel"])) if layer["kernel"] else ""
    inputs, outputs = layer["in"], layer["out"]
    cells: list[TableCell] = [
        TextCell(layer["name"]),
        TextCell(kernel),
        TextCell(f"{inputs} → {outputs}" if inputs != outputs or layer["params"] else f"{outputs}"),
        TextCell(f"{layer['size']}×{layer['size']}"),
        CountCell(layer["receptive_field"]),
    ]
    for cost in ("params", "macs"):
        if layer[cost]:
            cells += [CountCell(layer[cost]), QuantityCell(layer[cost] / net[cost], "percentage")]
        else:  # nothing, and not 0 %: most rows are activations and poolings
            cells += [TextCell(""), TextCell("")]
    return TableRow(tuple(cells))


def _build_notes(net: dict[str, Any]) -> tuple[str, ...]:
    memory = net["training_bytes"]
    return (
        f"{net['weight_layers']} weight layers, {net['activation_layers']} activation layers. "
        f"The receptive field of the last map is {net['receptive_field']} px of {net['image_size']} px. "
        f"{numbers.format_count(net['activations'])} activations.",
        f"Training at batch size {memory['batch_size']} in fp32 takes about {numbers.format_bytes(memory['total'])} "
        f"({numbers.format_bytes(memory['activations'])} of them activations), without library workspaces.",
    )


def _get_kernel(layer: Layer) -> list[int] | None:
    match layer:
        case Conv():
            return list(layer.kernel)
        case Pool(kind="adaptive"):
            return None
        case Pool():
            return [2, 2]
    return None


def _get_channels(layer: Layer) -> tuple[int, int]:
    match layer:
        case Conv():
            return layer.in_channels, layer.channels
        case Norm() | Pool() | Activation():
            return layer.channels, layer.channels
        case Dense():
            return layer.in_features, layer.features
        case Flatten() | Dropout():
            return layer.features, layer.features


def _get_size(layer: Layer) -> int:
    return layer.size if isinstance(layer, Conv | Norm | Pool | Activation) else 1

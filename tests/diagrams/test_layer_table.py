"""Layers and costs that `describe` prints, against the numbers of the design's contract."""

from __future__ import annotations

from hypothesis import given, settings

from tests.models.nets import archs, make_arch
from vgg_ablate.config.arch import Arch
from vgg_ablate.diagrams import layer_table
from vgg_ablate.formatting import table


def test_the_data_of_d_hold_the_numbers_of_the_contract() -> None:
    data = layer_table.build_arch_data(make_arch("D"), "D")
    assert (data["params"], data["macs"], data["activations"]) == (138_357_544, 15_470_264_320, 13_556_712)
    assert (data["receptive_field"], data["weight_layers"], data["activation_layers"]) == (212, 16, 15)
    conv = next(layer for layer in data["layers"] if layer["name"] == "conv3_2")
    assert conv == {
        "name": "conv3_2",
        "kind": "conv",
        "kernel": [3, 3],
        "in": 256,
        "out": 256,
        "size": 56,
        "receptive_field": 32,
        "stride": 4,
        "activations": 256 * 56 * 56,
        "params": 590_080,
        "macs": 256 * 256 * 9 * 56 * 56,
    }


@given(archs())
@settings(max_examples=60, deadline=None)
def test_the_layers_add_up_to_the_net(net: Arch) -> None:
    data = layer_table.build_arch_data(net, "net")
    for cost in ("params", "macs", "activations"):
        assert sum(layer[cost] for layer in data["layers"]) == data[cost]
    assert table.render_markdown(layer_table.build_layer_table(net, "net"))

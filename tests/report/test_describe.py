"""What `describe` says of a net: the numbers of the design's contract, Table 1, and a drawing that never changes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings

from tests.net.nets import IMAGENET, arch, family
from vgg_ablate.net.costs import costs
from vgg_ablate.net.match import resolve
from vgg_ablate.report import describe, drawing, table
from vgg_ablate.spec.arch import Arch
from vgg_ablate.spec.recipe import Data, Train
from vgg_ablate.spec.study import Variant

TABLE_1_C = (
    "conv3-64 conv3-64 maxpool conv3-128 conv3-128 maxpool conv3-256 conv3-256 conv1-256 maxpool conv3-512 conv3-512 "
    "conv1-512 maxpool conv3-512 conv3-512 conv1-512 maxpool"
)


def test_the_data_have_what_the_design_promises() -> None:
    found = describe.data(arch("D"), "D")
    assert (found["params"], found["macs"], found["activations"]) == (138_357_544, 15_470_264_320, 13_556_712)
    assert (found["receptive_field"], found["weight_layers"], found["activation_layers"]) == (212, 16, 15)
    conv = next(layer for layer in found["layers"] if layer["name"] == "conv3_2")
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


@given(family())
@settings(max_examples=60, deadline=None)
def test_the_layers_add_up_to_the_net(net: Arch) -> None:
    found = describe.data(net, "net")
    for cost in ("params", "macs", "activations"):
        assert sum(layer[cost] for layer in found["layers"]) == found[cost]
    assert table.markdown(describe.layer_table(net, "net"))


def test_a_column_is_that_of_table_1() -> None:
    column = [row.cells[1].shown() for row in describe.table_1([("C", arch("C"))]).rows]
    assert " ".join(column[2:-7]) == TABLE_1_C
    assert column[-7:-3] == ["FC-4096, dropout 0.5", "FC-4096, dropout 0.5", "FC-1000", "soft-max"]


def test_what_differs_from_the_first_net_is_marked() -> None:
    rows = describe.table_1([("C", arch("C")), ("D", arch("D"))]).rows
    marked = [[cell.shown() for cell in row.cells[1:]] for row in rows if row.bold]
    assert marked[:3] == [["conv1-256", "conv3-256"], ["conv1-512", "conv3-512"], ["conv1-512", "conv3-512"]]
    assert [len(row) for row in marked] == [2] * 6  # three convolutions, params, MACs, receptive field


def test_variants_are_shown_with_their_changes_and_what_is_left_of_a_mismatch() -> None:
    small = {"stages": "16 16 | 32 32", "head": {"hidden": [16]}}
    matched = {**small, "kernel": 5, "match": {"macs": "base", "tolerance": "5%"}}
    data, train = Data(name="digits"), Train()
    variants = [
        Variant(name="base", arch=Arch.model_validate(small), data=data, train=train),
        Variant(name="five", arch=Arch.model_validate(matched), data=data, train=train, changes={"arch.kernel": 5}),
    ]
    rows = describe.changes_table(resolve(variants)).rows
    assert rows[0].style == "base"
    assert rows[1].cells[1].shown() == "arch.kernel = 5"
    assert rows[1].cells[2].shown().startswith("macs ")


@given(family())
@settings(max_examples=60, deadline=None)
def test_a_drawing_is_well_formed_and_the_same_every_time(net: Arch) -> None:
    drawn = drawing.svg(net, "<net> & co")
    assert drawn == drawing.svg(net, "<net> & co")
    root = ElementTree.fromstring(drawn)
    rectangles = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(rectangles) >= costs(net).weight_layers


@pytest.mark.parametrize("name", ["A", "E"])
def test_blocks_are_as_tall_as_their_maps_and_as_wide_as_their_channels(name: str) -> None:
    root = ElementTree.fromstring(drawing.svg(arch(name, IMAGENET), name))
    blocks = [one.attrib for one in root.iter("{http://www.w3.org/2000/svg}rect") if len(one)]
    convs = [one for one in blocks if one["class"] == "conv"]
    assert [float(one["height"]) for one in convs] == sorted((float(one["height"]) for one in convs), reverse=True)
    assert [float(one["width"]) for one in convs] == sorted(float(one["width"]) for one in convs)

"""Costs in closed form against the paper's numbers; names and shapes against torchvision's models."""

from __future__ import annotations

import pytest
import torch
from torchvision import models

from tests.models.nets import make_arch
from vgg_ablate.models.costs import compute_costs, count_activations, count_params
from vgg_ablate.models.layers import Conv, Dense, build_layers
from vgg_ablate.models.receptive_field import trace_receptive_fields
from vgg_ablate.models.vgg import build_model

# paper.md, sections 1 and 5: exact parameters, GMAC at 224 px, receptive field of pool5, weight layers
PAPER = {
    "A": (132_863_336, 7.6091, 150, 11),
    "A-LRN": (132_863_336, 7.6091, 150, 11),
    "B": (133_047_848, 11.3085, 156, 13),
    "C": (133_638_952, 11.7709, 156, 16),
    "D": (138_357_544, 15.4703, 212, 16),
    "E": (143_667_240, 19.6321, 268, 19),
    "shallow": (134_503_528, 9.3560, 156, 8),
    "note": (138_320_616, None, None, 15),
}


@pytest.mark.parametrize("name", PAPER)
def test_a_preset_costs_what_the_paper_says(name: str) -> None:
    params, gmacs, field, depth = PAPER[name]
    costs = compute_costs(make_arch(name))
    assert costs.params == params
    assert costs.weight_layers == depth
    if gmacs is not None:
        assert round(costs.macs / 1e9, 4) == gmacs
        assert costs.receptive_field == field


TORCHVISION = ["vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_torchvision_preset_has_its_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        theirs = models.get_model(name, weights=None).state_dict()
        ours = build_model(make_arch(name)).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


# paper.md, section 5: 32 px, 10 classes: convolutions, with head 512-10, with 512-512-10, what batch norm adds
CIFAR = {
    "A": (9_220_480, 9_225_610, 9_750_922, 5_504),
    "B": (9_404_992, 9_410_122, 9_935_434, 5_888),
    "C": (9_996_096, 10_001_226, 10_526_538, 8_448),
    "D": (14_714_688, 14_719_818, 15_245_130, 8_448),
    "E": (20_024_384, 20_029_514, 20_554_826, 11_008),
    "shallow": (10_860_672, 10_865_802, 11_391_114, 2_944),
}


@pytest.mark.parametrize("name", CIFAR)
def test_on_cifar_a_preset_costs_what_section_5_says(name: str) -> None:
    shape = {"preset": name, "image_size": 32, "classes": 10}

    def count(*hidden: int, norm: str = "none") -> int:
        return compute_costs(make_arch({**shape, "head": {"hidden": list(hidden)}, "norm": norm})).params

    convs = count() - 5_130
    assert (convs, count(), count(512, 512), count(norm="batch") - count()) == CIFAR[name]


def test_the_parameters_of_d_lie_where_section_5_says() -> None:
    net = build_layers(make_arch("D"))
    convs = [count_params(layer) for layer in net if isinstance(layer, Conv)]
    expected = [1_792, 36_928, 73_856, 147_584, 295_168, 590_080, 590_080, 1_180_160, *[2_359_808] * 5]
    assert convs == expected
    assert sum(convs) == 14_714_688
    assert [count_params(layer) for layer in net if isinstance(layer, Dense)] == [102_764_544, 16_781_312, 4_097_000]


# paper.md, section 1: receptive fields of the last convolution, pool5 and fc6; elements that convolutions put out
FIELDS = {
    "A": (134, 150, 342, 7_426_048),
    "B": (140, 156, 348, 12_242_944),
    "C": (140, 156, 348, 13_547_520),
    "D": (196, 212, 404, 13_547_520),
    "E": (252, 268, 460, 14_852_096),
}


@pytest.mark.parametrize("name", FIELDS)
def test_receptive_fields_of_a_preset_are_those_of_section_1(name: str) -> None:
    net = build_layers(make_arch(name))
    fields = {layer.name: traced.field[0] for layer, traced in zip(net, trace_receptive_fields(net), strict=True)}
    last = [layer.name for layer in net if isinstance(layer, Conv)][-1]
    outputs = sum(count_activations(layer) for layer in net if isinstance(layer, Conv))
    assert (fields[last], fields["pool5"], fields["fc6"], outputs) == FIELDS[name]

"""The closed form against the paper's Table 2, against fvcore's tracing, and against torchvision's own models."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import models

from vgg_ablate.net.audit import audit
from vgg_ablate.net.costs import costs
from vgg_ablate.net.model import build
from vgg_ablate.spec.arch import Arch
from vgg_ablate.spec.datasets import Shape

IMAGENET = Shape(224, 3, 1000)

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


def preset(name: str, shape: Shape = IMAGENET) -> Arch:
    return Arch.model_validate(name).with_shape(shape).spelled_out()


@pytest.mark.parametrize("name", PAPER)
def test_a_preset_costs_what_the_paper_says(name: str) -> None:
    params, gmacs, field, depth = PAPER[name]
    counted = costs(preset(name))
    assert counted.params == params
    assert counted.weight_layers == depth
    if gmacs is not None:
        assert round(counted.macs / 1e9, 4) == gmacs
        assert counted.receptive_field == field


TORCHVISION = ["vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_torchvision_preset_has_its_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        theirs = models.get_model(name, weights=None).state_dict()
        ours = build(preset(name)).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


@st.composite
def family(draw: st.DrawFn) -> Arch:
    """Small members of the family, at random."""
    kernel = st.sampled_from([1, 3, 5])
    conv = st.builds(lambda channels, side: f"{channels}@{side}", st.integers(1, 6).map(lambda n: 4 * n), kernel)
    stages = draw(st.lists(st.lists(conv, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=3))
    given = {
        "stages": " | ".join(stages),
        "norm": draw(st.sampled_from(["none", "batch", "lrn", {"kind": "group", "groups": 4}])),
        "pool": draw(st.sampled_from(["max", "average", "conv"])),
        "bias": draw(st.booleans()),
        "activation": draw(st.sampled_from(["relu", "gelu", "elu", "tanh"])),
        "head": {
            "hidden": draw(st.lists(st.integers(1, 20), max_size=3)),
            "dropout": 0.5,
            "pool": draw(st.sampled_from(["none", "global", 2])),
        },
    }
    return Arch.model_validate(given).with_shape(Shape(draw(st.integers(12, 20)), 3, 7)).spelled_out()


@settings(max_examples=40, deadline=None)
@given(family())
def test_the_closed_form_is_what_fvcore_counts(arch: Arch) -> None:
    assert audit(arch) == {"params": costs(arch).params, "macs": costs(arch).macs}

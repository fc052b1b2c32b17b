"""A net that slides over larger images says what its dense head says of every window of the last map, on average."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.net.nets import family
from vgg_ablate.net.dense import class_map, convolutional, slid
from vgg_ablate.net.model import Vgg, build
from vgg_ablate.spec.arch import Arch
from vgg_ablate.train.swift import folded


def with_head(arch: Arch, pool: str | int, seed: int) -> Vgg:
    head = arch.head.model_copy(update={"pool": pool, "convolutional": False})
    generator = torch.Generator().manual_seed(seed)
    return build(arch.model_copy(update={"head": head}), generator).double().eval()


def larger(model: Vgg, by: int, seed: int) -> Tensor:
    side = (model.arch.image_size or 0) + by
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(2, model.arch.in_channels or 0, side, side, generator=draw, dtype=torch.float64)


def windows(model: Vgg, images: Tensor) -> Tensor:
    """The dense head, asked about every window of the last map: N x classes x rows x columns."""
    maps = model.features(images)
    side = model.features(images[:, :, : model.arch.image_size, : model.arch.image_size]).shape[2]
    places = maps.shape[2] - side + 1
    said = [
        [model.classifier(maps[:, :, top : top + side, left : left + side].flatten(1)) for left in range(places)]
        for top in range(places)
    ]
    return torch.stack([torch.stack(row, -1) for row in said], -2)


@settings(max_examples=30, deadline=None)
@given(family(), st.sampled_from([0, 4, 8]), st.integers(0, 2**20))
def test_sliding_a_net_is_asking_its_dense_head_about_every_window(arch: Arch, by: int, seed: int) -> None:
    model = with_head(arch, "none", seed)
    images = larger(model, by, seed)
    with torch.inference_mode():
        asked = windows(model, images)
        assert torch.allclose(class_map(slid(model), images), asked, rtol=1e-9, atol=1e-9)
        over = folded(slid(model), torch.float64)(images)
    assert torch.allclose(over, asked.mean((2, 3)), rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(family(), st.integers(0, 2**20))
def test_a_net_that_pools_globally_says_what_it_says_as_it_is(arch: Arch, seed: int) -> None:
    model = with_head(arch, "global", seed)
    images = larger(model, 8, seed)
    with torch.inference_mode():
        assert torch.allclose(slid(model)(images), model(images), rtol=1e-9, atol=1e-9)


def test_a_net_that_pools_to_the_side_its_maps_have_slides_and_to_another_does_not() -> None:
    arch = Arch.model_validate({"stages": "4 | 8", "image_size": 8, "in_channels": 3, "classes": 5}).spelled_out()
    same, smaller = with_head(arch, 2, 0), with_head(arch, 1, 0)
    images = larger(same, 4, 0)
    with torch.inference_mode():
        assert torch.allclose(slid(same)(images), windows(same, images).mean((2, 3)), rtol=1e-9, atol=1e-9)
        assert torch.allclose(slid(smaller)(images), smaller(images), rtol=1e-9, atol=1e-9)


def test_sliding_shares_the_nets_weights_and_leaves_it_as_it_was() -> None:
    arch = Arch.model_validate({"stages": "4 | 8", "norm": "batch", "image_size": 8, "in_channels": 3, "classes": 5})
    model = build(arch.spelled_out(), torch.Generator().manual_seed(0)).train()
    over = slid(model)
    assert over.training
    assert [part.get_parameter("weight").dim() for part in (model.classifier[0], over.classifier[0])] == [2, 4]
    assert {weight.data_ptr() for weight in over.parameters()} == {weight.data_ptr() for weight in model.parameters()}
    assert slid(over).arch == over.arch == convolutional(model.arch)

"""A net that slides over larger images says what its dense head says of every window of the last map, on average."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.models.nets import archs, compute_class_map
from vgg_ablate.config.arch import Arch, GroupNorm, NoNorm
from vgg_ablate.config.datasets import Shape
from vgg_ablate.config.presets import PRESETS
from vgg_ablate.config.training import Evaluate
from vgg_ablate.data.views import iterate_views
from vgg_ablate.models.dense_coverage import compute_coverage, compute_covered_sides, compute_dense_side
from vgg_ablate.models.dense_head import convert_head, convert_model
from vgg_ablate.models.vgg import Vgg, build_model
from vgg_ablate.training.fusion import fold_batch_norms


def with_head(arch: Arch, pool: str | int, seed: int) -> Vgg:
    head = arch.head.model_copy(update={"pool": pool, "convolutional": False})
    generator = torch.Generator().manual_seed(seed)
    return build_model(arch.model_copy(update={"head": head}), generator).double().eval()


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
@given(archs(), st.sampled_from([0, 4, 8]), st.integers(0, 2**20))
def test_sliding_a_net_is_asking_its_dense_head_about_every_window(arch: Arch, by: int, seed: int) -> None:
    model = with_head(arch, "none", seed)
    images = larger(model, by, seed)
    with torch.inference_mode():
        asked = windows(model, images)
        assert torch.allclose(compute_class_map(convert_model(model), images), asked, rtol=1e-9, atol=1e-9)
        over = fold_batch_norms(convert_model(model), torch.float64)(images)
    assert torch.allclose(over, asked.mean((2, 3)), rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(archs(), st.integers(0, 2**20))
def test_a_net_that_pools_globally_says_what_it_says_as_it_is(arch: Arch, seed: int) -> None:
    model = with_head(arch, "global", seed)
    images = larger(model, 8, seed)
    with torch.inference_mode():
        assert torch.allclose(convert_model(model)(images), model(images), rtol=1e-9, atol=1e-9)


def test_a_net_that_pools_to_the_side_its_maps_have_slides_and_to_another_does_not() -> None:
    arch = Arch.model_validate({"stages": "4 | 8", "image_size": 8, "in_channels": 3, "classes": 5}).to_normal_form()
    same, smaller = with_head(arch, 2, 0), with_head(arch, 1, 0)
    images = larger(same, 4, 0)
    with torch.inference_mode():
        assert torch.allclose(convert_model(same)(images), windows(same, images).mean((2, 3)), rtol=1e-9, atol=1e-9)
        assert torch.allclose(convert_model(smaller)(images), smaller(images), rtol=1e-9, atol=1e-9)


SMALL: dict[str, dict[str, Any]] = {
    "two poolings": {"stages": "4 4 | 8 8 | 8 8 /"},
    "three poolings": {"stages": "4 | 8 8 | 8"},
    "1x1 and 5x5": {"stages": "4@1 | 8@1 / 8@5 | 8@1"},
    "one way": {"stages": "4@1x3 | 8@3x1 4@1x5 | 8@1x3"},
    "conv pooling": {"stages": "4 | 8@1 | 8", "pool": "conv"},
}
HEADS: tuple[dict[str, Any], ...] = (
    {"pool": "none"},
    {"pool": "none", "convolutional": True},
    {"pool": "global"},
    {"pool": "global", "convolutional": True},
    {"pool": 2},
    {"pool": 7, "hidden": [4]},
)


def positive(given: dict[str, Any], size: int) -> Vgg:
    """A net in which every gradient is positive: no pixel's influence is cancelled, or lost to a larger neighbour.

    Where a max-pooling looks, an average pooling looks too.
    """
    shown = Arch.model_validate(given).with_shape(Shape(size, 3, 5))
    pool = "average" if shown.pool == "max" else shown.pool
    model = build_model(shown.model_copy(update={"pool": pool}).to_normal_form()).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.rand_like(weight).add(0.5) / weight[0].numel())
    return model


def influence(model: Vgg, scale: int) -> Tensor:
    """bool, scale x scale: the pixels that the logits of a dense evaluation depend on, by autograd."""
    places = torch.arange(scale, dtype=torch.uint8)
    pixels = torch.stack(torch.meshgrid(places, places, indexing="ij"), -1)[None]  # every pixel says where it is
    (view,) = iterate_views(pixels, Evaluate(view=("dense",), scales=(scale,)), model.arch)
    rows, columns = view.images[0].long().unbind(-1)
    images = torch.rand(1, 3, scale, scale, dtype=torch.float64).add(0.5).requires_grad_()
    convert_model(model)(images[:, :, rows, columns]).sum().backward()
    assert images.grad is not None
    return images.grad[0].ne(0).any(0)


def agrees(model: Vgg, scale: int) -> None:
    """Fail where autograd and the arithmetic differ."""
    side = compute_dense_side(model.arch, scale)
    first = (scale - side) // 2
    rows, columns = compute_covered_sides(model.arch, side)
    wanted = torch.zeros(scale, scale, dtype=torch.bool)
    wanted[first : first + rows, first : first + columns] = True
    seen = influence(model, scale)
    assert torch.equal(seen, wanted), f"{model.arch.to_notation()} at {scale}: {side}, {rows} x {columns}"
    assert compute_coverage(model.arch, scale) == seen.sum().item() / scale**2


@pytest.mark.parametrize("name", PRESETS)
def test_dense_evaluation_of_a_preset_sees_the_centre_that_the_arithmetic_says(name: str) -> None:
    for size, scales in ((32, (32, 33, 36, 48, 55, 63, 64, 73, 96)), (45, (45, 46, 64, 76, 77, 80))):
        model = positive({"preset": name, "width": 1 / 64, "head": {"hidden": [4]}}, size)
        for scale in scales:
            agrees(model, scale)


@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_dense_evaluation_of_a_small_net_sees_the_centre_that_the_arithmetic_says(
    name: str, head: dict[str, Any]
) -> None:
    for size in (28, 30, 32):
        model = positive({**SMALL[name], "head": head}, size)
        for scale in (*range(size, size + 10), 48, 55, 64):
            agrees(model, scale)


@settings(max_examples=50, deadline=None)
@given(archs(), st.integers(0, 20))
def test_dense_evaluation_of_any_net_sees_the_centre_that_the_arithmetic_says(arch: Arch, by: int) -> None:
    norm = NoNorm(kind="none") if isinstance(arch.norm, GroupNorm) else arch.norm  # its statistics see every pixel
    size = arch.image_size or 0
    given = arch.model_copy(update={"norm": norm, "in_channels": 3}).model_dump()
    agrees(positive(given, size), size + by)


@settings(max_examples=30, deadline=None)
@given(archs(), st.integers(0, 20))
def test_the_crop_before_dense_evaluation_takes_no_place_from_the_class_map(arch: Arch, by: int) -> None:
    scale = (arch.image_size or 0) + by
    side = compute_dense_side(arch, scale)
    model = convert_model(build_model(arch).eval())
    with torch.inference_mode():
        sides = [
            compute_class_map(model, torch.zeros(1, arch.in_channels or 0, one, one)).shape for one in (scale, side)
        ]
    assert sides[0] == sides[1]
    assert side <= scale
    assert compute_dense_side(arch, arch.image_size or 0) == arch.image_size


def test_sliding_shares_the_nets_weights_and_leaves_it_as_it_was() -> None:
    arch = Arch.model_validate({"stages": "4 | 8", "norm": "batch", "image_size": 8, "in_channels": 3, "classes": 5})
    model = build_model(arch.to_normal_form(), torch.Generator().manual_seed(0)).train()
    over = convert_model(model)
    assert over.training
    assert [part.get_parameter("weight").dim() for part in (model.classifier[0], over.classifier[0])] == [2, 4]
    assert {weight.data_ptr() for weight in over.parameters()} == {weight.data_ptr() for weight in model.parameters()}
    assert convert_model(over).arch == over.arch == convert_head(model.arch)

"""Sliding a net over a larger image gives the mean of its dense head's logits over every window of the last map."""

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


def build_with_pool(arch: Arch, pool: str | int, seed: int) -> Vgg:
    head = arch.head.model_copy(update={"pool": pool, "convolutional": False})
    generator = torch.Generator().manual_seed(seed)
    return build_model(arch.model_copy(update={"head": head}), generator).double().eval()


def draw_larger_images(model: Vgg, extra: int, seed: int) -> Tensor:
    side = (model.arch.image_size or 0) + extra
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, model.arch.in_channels or 0, side, side, generator=generator, dtype=torch.float64)


def run_windows(model: Vgg, images: Tensor) -> Tensor:
    """Return the dense head's logits for every window of the last map: N x classes x rows x columns."""
    maps = model.features(images)
    side = model.features(images[:, :, : model.arch.image_size, : model.arch.image_size]).shape[2]
    positions = maps.shape[2] - side + 1
    logits = [
        [model.classifier(maps[:, :, top : top + side, left : left + side].flatten(1)) for left in range(positions)]
        for top in range(positions)
    ]
    return torch.stack([torch.stack(row, -1) for row in logits], -2)


@settings(max_examples=30, deadline=None)
@given(archs(), st.sampled_from([0, 4, 8]), st.integers(0, 2**20))
def test_sliding_a_net_is_running_its_dense_head_on_every_window(arch: Arch, extra: int, seed: int) -> None:
    model = build_with_pool(arch, "none", seed)
    images = draw_larger_images(model, extra, seed)
    with torch.inference_mode():
        expected = run_windows(model, images)
        assert torch.allclose(compute_class_map(convert_model(model), images), expected, rtol=1e-9, atol=1e-9)
        folded = fold_batch_norms(convert_model(model), torch.float64)(images)
    assert torch.allclose(folded, expected.mean((2, 3)), rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(archs(), st.integers(0, 2**20))
def test_sliding_a_net_that_pools_globally_changes_nothing(arch: Arch, seed: int) -> None:
    model = build_with_pool(arch, "global", seed)
    images = draw_larger_images(model, 8, seed)
    with torch.inference_mode():
        assert torch.allclose(convert_model(model)(images), model(images), rtol=1e-9, atol=1e-9)


def test_a_net_slides_if_it_pools_to_the_side_of_its_maps_and_not_otherwise() -> None:
    arch = Arch.model_validate({"stages": "4 | 8", "image_size": 8, "in_channels": 3, "classes": 5}).to_normal_form()
    same, smaller = build_with_pool(arch, 2, 0), build_with_pool(arch, 1, 0)
    images = draw_larger_images(same, 4, 0)
    with torch.inference_mode():
        assert torch.allclose(convert_model(same)(images), run_windows(same, images).mean((2, 3)), rtol=1e-9, atol=1e-9)
        assert torch.allclose(convert_model(smaller)(images), smaller(images), rtol=1e-9, atol=1e-9)


SMALL: dict[str, dict[str, Any]] = {
    "two poolings": {"stages": "4 4 | 8 8 | 8 8 /"},
    "three poolings": {"stages": "4 | 8 8 | 8"},
    "1x1 and 5x5": {"stages": "4@1 | 8@1 / 8@5 | 8@1"},
    "one direction": {"stages": "4@1x3 | 8@3x1 4@1x5 | 8@1x3"},
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


def build_positive_net(options: dict[str, Any], size: int) -> Vgg:
    """Build a net in which every gradient is positive: no pixel's influence is cancelled, or lost to a larger neighbor.

    Max poolings become average poolings, which cover the same windows.
    """
    arch = Arch.model_validate(options).with_shape(Shape(size, 3, 5))
    pool = "average" if arch.pool == "max" else arch.pool
    model = build_model(arch.model_copy(update={"pool": pool}).to_normal_form()).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.rand_like(weight).add(0.5) / weight[0].numel())
    return model


def find_influential_pixels(model: Vgg, scale: int) -> Tensor:
    """Return which pixels (bool, scale x scale) the logits of a dense evaluation depend on, by autograd."""
    positions = torch.arange(scale, dtype=torch.uint8)
    pixels = torch.stack(torch.meshgrid(positions, positions, indexing="ij"), -1)[None]  # values: positions
    (view,) = iterate_views(pixels, Evaluate(view=("dense",), scales=(scale,)), model.arch)
    rows, columns = view.images[0].long().unbind(-1)
    images = torch.rand(1, 3, scale, scale, dtype=torch.float64).add(0.5).requires_grad_()
    convert_model(model)(images[:, :, rows, columns]).sum().backward()
    assert images.grad is not None
    return images.grad[0].ne(0).any(0)


def check_coverage(model: Vgg, scale: int) -> None:
    """Compare the arithmetic of coverage with autograd."""
    side = compute_dense_side(model.arch, scale)
    first = (scale - side) // 2
    rows, columns = compute_covered_sides(model.arch, side)
    expected = torch.zeros(scale, scale, dtype=torch.bool)
    expected[first : first + rows, first : first + columns] = True
    influential = find_influential_pixels(model, scale)
    assert torch.equal(influential, expected), f"{model.arch.to_notation()} at {scale}: {side}, {rows} x {columns}"
    assert compute_coverage(model.arch, scale) == influential.sum().item() / scale**2


@pytest.mark.parametrize("name", PRESETS)
def test_dense_evaluation_of_a_preset_covers_the_computed_center(name: str) -> None:
    for size, scales in ((32, (32, 33, 36, 48, 55, 63, 64, 73, 96)), (45, (45, 46, 64, 76, 77, 80))):
        model = build_positive_net({"preset": name, "width": 1 / 64, "head": {"hidden": [4]}}, size)
        for scale in scales:
            check_coverage(model, scale)


@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_dense_evaluation_of_a_small_net_covers_the_computed_center(name: str, head: dict[str, Any]) -> None:
    for size in (28, 30, 32):
        model = build_positive_net({**SMALL[name], "head": head}, size)
        for scale in (*range(size, size + 10), 48, 55, 64):
            check_coverage(model, scale)


@settings(max_examples=50, deadline=None)
@given(archs(), st.integers(0, 20))
def test_dense_evaluation_of_any_net_covers_the_computed_center(arch: Arch, extra: int) -> None:
    norm = NoNorm(kind="none") if isinstance(arch.norm, GroupNorm) else arch.norm  # its statistics see every pixel
    size = arch.image_size or 0
    options = arch.model_copy(update={"norm": norm, "in_channels": 3}).model_dump()
    check_coverage(build_positive_net(options, size), size + extra)


@settings(max_examples=30, deadline=None)
@given(archs(), st.integers(0, 20))
def test_the_crop_before_dense_evaluation_leaves_the_class_map_its_size(arch: Arch, extra: int) -> None:
    scale = (arch.image_size or 0) + extra
    side = compute_dense_side(arch, scale)
    model = convert_model(build_model(arch).eval())
    with torch.inference_mode():
        images = torch.zeros(1, arch.in_channels or 0, scale, scale)
        assert compute_class_map(model, images).shape == compute_class_map(model, images[:, :, :side, :side]).shape
    assert side <= scale
    assert compute_dense_side(arch, arch.image_size or 0) == arch.image_size


def test_sliding_shares_the_nets_weights_and_leaves_it_as_it_was() -> None:
    arch = Arch.model_validate({"stages": "4 | 8", "norm": "batch", "image_size": 8, "in_channels": 3, "classes": 5})
    model = build_model(arch.to_normal_form(), torch.Generator().manual_seed(0)).train()
    sliding = convert_model(model)
    assert sliding.training
    assert [part.get_parameter("weight").dim() for part in (model.classifier[0], sliding.classifier[0])] == [2, 4]
    assert {weight.data_ptr() for weight in sliding.parameters()} == {
        weight.data_ptr() for weight in model.parameters()
    }
    assert convert_model(sliding).arch == sliding.arch == convert_head(model.arch)

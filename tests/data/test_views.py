"""The views that a net is evaluated on; sliding a net over an image evaluates it at every position."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.nets import compute_class_map
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Augment, Evaluate
from vgg_ablate.data.augment import Normalizer
from vgg_ablate.data.resample import resize_images
from vgg_ablate.data.splits import Split
from vgg_ablate.data.views import get_validation_view, iterate_views
from vgg_ablate.models.dense_head import convert_model
from vgg_ablate.models.vgg import Vgg, build_model
from vgg_ablate.training.evaluate import Predictions, evaluate_split
from vgg_ablate.training.metrics import pack_correct_bits

IMAGES = torch.randint(0, 256, (4, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
ARCH = Arch.model_validate({"stages": "4 | 8", "image_size": 8, "in_channels": 3, "classes": 5}).to_normal_form()
NORMALIZE = Normalizer(torch.full((3,), 128.0), torch.full((3,), 64.0))


def build_net(pool: str = "none", size: int = 8) -> Vgg:
    arch = Arch.model_validate({"stages": "4 | 8", "head": {"hidden": [12], "pool": pool}, "classes": 5})
    arch = arch.model_copy(update={"image_size": size, "in_channels": 3}).to_normal_form()
    return build_model(arch, torch.Generator().manual_seed(0))


def compute_probabilities(model: Vgg, evaluate: Evaluate) -> Tensor:
    split = Split(IMAGES, torch.zeros(4, dtype=torch.int64))
    return evaluate_split(model, split, NORMALIZE, "fp32", 8, evaluate).logits.softmax(1)


def test_the_views_are_those_of_the_configuration() -> None:
    views = list(
        iterate_views(IMAGES, Evaluate(view=("single", "dense", "crops"), flip=True, scales=(8, 12), grid=3), ARCH)
    )
    # at 8: center, whole, one crop; at 12: center, whole, 3 x 3 crops; each with its mirror image
    assert len(views) == 2 * ((1 + 1 + 1) + (1 + 1 + 9))
    assert [view.images.shape[1] for view in views if view.is_whole] == [8, 8, 12, 12]
    assert torch.equal(views[0].images.flip(2), views[1].images)
    center = next(view for view in views[6:] if not view.is_whole)
    assert torch.equal(center.images, IMAGES[:, 2:10, 2:10])


def test_the_papers_150_crops() -> None:
    evaluate = Evaluate(view=("crops",), flip=True, scales=(10, 11, 12))  # three crops per side at 10, four at 11
    assert len(list(iterate_views(IMAGES, evaluate, ARCH))) == 2 * (9 + 16 + 25)


def test_probabilities_are_the_mean_over_the_views() -> None:
    model = build_net()
    both = compute_probabilities(model, Evaluate(view=("single", "crops"), scales=(12,), grid=2))
    single = compute_probabilities(model, Evaluate(scales=(12,)))
    crops = compute_probabilities(model, Evaluate(view=("crops",), scales=(12,), grid=2))
    assert torch.allclose(both, (single + 4 * crops) / 5, atol=1e-5)


def test_dense_evaluation_at_the_nets_image_size_equals_the_center_crop() -> None:
    model = build_net()
    for flip in (False, True):
        dense = compute_probabilities(model, Evaluate(view=("dense",), scales=(8,), flip=flip))
        assert torch.allclose(dense, compute_probabilities(model, Evaluate(scales=(8,), flip=flip)), atol=1e-6)


@pytest.mark.parametrize("scale", [9, 10, 11])
def test_dense_evaluation_of_a_single_window_equals_the_center_crop(scale: int) -> None:
    model = build_net()
    dense = compute_probabilities(model, Evaluate(view=("dense",), scales=(scale,), flip=True))
    assert torch.allclose(dense, compute_probabilities(model, Evaluate(scales=(scale,), flip=True)), atol=1e-6)


def test_dense_scores_are_the_mean_over_scales_and_mirror_images() -> None:
    model = build_net()
    sliding = convert_model(model)
    expected = []
    for scale, first, side in ((8, 0, 8), (10, 1, 8), (12, 0, 12)):
        crop = resize_images(IMAGES, scale)[:, first : first + side, first : first + side]
        for images in (crop, crop.flip(2)):
            class_map = compute_class_map(sliding, NORMALIZE(images))
            expected.append(class_map.mean((2, 3)).softmax(1))
    evaluate = Evaluate(view=("dense",), scales=(8, 10, 12), flip=True)
    assert torch.allclose(compute_probabilities(model, evaluate), torch.stack(expected).mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("augment", "scales"),
    [
        ({}, ()),
        ({"crop_padding": 2}, ()),
        ({"scale_jitter": {"low": 8, "high": 8}}, (8,)),
        ({"scale_jitter": {"low": 8, "high": 13}}, (10,)),
    ],
)
def test_validation_shows_the_center_crop_at_the_training_scale(
    augment: dict[str, Any], scales: tuple[int, ...]
) -> None:
    assert get_validation_view(Augment.model_validate(augment)) == Evaluate(view=("single",), flip=False, scales=scales)


@pytest.mark.parametrize(("scale", "side"), [(8, 1), (12, 2), (16, 3)])
def test_the_class_map_of_a_larger_image_has_the_papers_side(scale: int, side: int) -> None:
    sliding = convert_model(build_net())  # maps of scale / 4, a window of 2; floor(Q / 32) - 6 for the paper's nets
    assert compute_class_map(sliding, torch.zeros(1, 3, scale, scale)).shape == (1, 5, side, side)


def test_dense_scores_of_a_data_set_are_those_of_the_nets_class_map() -> None:
    model = build_net()
    expected = compute_class_map(convert_model(model), NORMALIZE(IMAGES)).mean((2, 3)).softmax(1)
    assert torch.allclose(compute_probabilities(model, Evaluate(view=("dense",), scales=(12,))), expected, atol=1e-6)


def test_accuracy_agrees_with_the_bits_of_correct_examples_for_equal_logits() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    predictions = Predictions(logits, torch.tensor([1, 1, 0]))
    assert predictions.compute_accuracy() == 2 / 3
    assert pack_correct_bits(*predictions.get_classes()) == "60"

"""What a net is shown under test, and that sliding a net over an image is evaluating it everywhere."""

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

IMAGES = torch.randint(0, 256, (4, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
ARCH = Arch.model_validate({"stages": "4 | 8", "image_size": 8, "in_channels": 3, "classes": 5}).to_normal_form()
AS_THEY_ARE = Normalizer(torch.full((3,), 128.0), torch.full((3,), 64.0))


def net(pool: str = "none", size: int = 8) -> Vgg:
    arch = Arch.model_validate({"stages": "4 | 8", "head": {"hidden": [12], "pool": pool}, "classes": 5})
    shaped = arch.model_copy(update={"image_size": size, "in_channels": 3}).to_normal_form()
    return build_model(shaped, torch.Generator().manual_seed(0))


def probabilities(model: Vgg, how: Evaluate) -> Tensor:
    split = Split(IMAGES, torch.zeros(4, dtype=torch.int64))
    return evaluate_split(model, split, AS_THEY_ARE, "fp32", 8, how).logits.softmax(1)


def test_the_views_are_those_that_were_asked_for() -> None:
    shown = list(
        iterate_views(IMAGES, Evaluate(view=("single", "dense", "crops"), flip=True, scales=(8, 12), grid=3), ARCH)
    )
    #   at 8: centre, whole, one crop; at 12: centre, whole, 3 x 3 crops; each with its mirror
    assert len(shown) == 2 * ((1 + 1 + 1) + (1 + 1 + 9))
    assert [view.images.shape[1] for view in shown if view.whole] == [8, 8, 12, 12]
    assert torch.equal(shown[0].images.flip(2), shown[1].images)
    centre = next(view for view in shown[6:] if not view.whole)
    assert torch.equal(centre.images, IMAGES[:, 2:10, 2:10])


def test_the_papers_150_crops() -> None:
    how = Evaluate(view=("crops",), flip=True, scales=(10, 11, 12))  # three crops a side at 10, four at 11
    assert len(list(iterate_views(IMAGES, how, ARCH))) == 2 * (9 + 16 + 25)


def test_probabilities_are_the_mean_over_the_views() -> None:
    model = net()
    both = probabilities(model, Evaluate(view=("single", "crops"), scales=(12,), grid=2))
    one = probabilities(model, Evaluate(scales=(12,)))
    four = probabilities(model, Evaluate(view=("crops",), scales=(12,), grid=2))
    assert torch.allclose(both, (one + 4 * four) / 5, atol=1e-5)


def test_an_image_as_large_as_the_net_is_seen_alike_densely() -> None:
    model = net()
    for flip in (False, True):
        dense = probabilities(model, Evaluate(view=("dense",), scales=(8,), flip=flip))
        assert torch.allclose(dense, probabilities(model, Evaluate(scales=(8,), flip=flip)), atol=1e-6)


@pytest.mark.parametrize("scale", [9, 10, 11])
def test_a_scale_with_room_for_one_window_is_seen_densely_as_its_centre_crop(scale: int) -> None:
    model = net()
    dense = probabilities(model, Evaluate(view=("dense",), scales=(scale,), flip=True))
    assert torch.allclose(dense, probabilities(model, Evaluate(scales=(scale,), flip=True)), atol=1e-6)


def test_dense_scores_are_the_mean_over_scales_and_mirror_images() -> None:
    model = net()
    whole = convert_model(model)
    said = []
    for scale, first, side in ((8, 0, 8), (10, 1, 8), (12, 0, 12)):
        seen = resize_images(IMAGES, scale)[:, first : first + side, first : first + side]
        said += [compute_class_map(whole, AS_THEY_ARE(shown)).mean((2, 3)).softmax(1) for shown in (seen, seen.flip(2))]
    how = Evaluate(view=("dense",), scales=(8, 10, 12), flip=True)
    assert torch.allclose(probabilities(model, how), torch.stack(said).mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("augment", "scales"),
    [
        ({}, ()),
        ({"crop_padding": 2}, ()),
        ({"scale_jitter": {"low": 8, "high": 8}}, (8,)),
        ({"scale_jitter": {"low": 8, "high": 13}}, (10,)),
    ],
)
def test_validation_shows_the_centre_crop_at_the_training_scale(
    augment: dict[str, Any], scales: tuple[int, ...]
) -> None:
    assert get_validation_view(Augment.model_validate(augment)) == Evaluate(view=("single",), flip=False, scales=scales)


@pytest.mark.parametrize(("scale", "side"), [(8, 1), (12, 2), (16, 3)])
def test_the_class_map_of_a_larger_image_has_the_papers_side(scale: int, side: int) -> None:
    whole = convert_model(net())  # scale / 4 maps, a window of 2: as floor(Q / 32) - 6 for the paper's
    assert compute_class_map(whole, torch.zeros(1, 3, scale, scale)).shape == (1, 5, side, side)


def test_dense_scores_of_a_data_set_are_those_of_the_nets_class_map() -> None:
    model = net()
    said = compute_class_map(convert_model(model), AS_THEY_ARE(IMAGES)).mean((2, 3)).softmax(1)
    assert torch.allclose(probabilities(model, Evaluate(view=("dense",), scales=(12,))), said, atol=1e-6)


def test_accuracy_is_that_of_the_kept_bits_where_scores_are_equal() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    seen = Predictions(logits, torch.tensor([1, 1, 0]))
    assert seen.accuracy() == seen.correct.double().mean().item() == 2 / 3
    assert seen.correct_bits() == "60"

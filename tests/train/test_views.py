"""What a net is shown under test, and that sliding a net over an image is evaluating it everywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vgg_ablate.net.dense import class_map, slid
from vgg_ablate.net.model import Vgg, build
from vgg_ablate.spec.arch import Arch
from vgg_ablate.spec.recipe import Evaluate
from vgg_ablate.train.augment import Normaliser
from vgg_ablate.train.data import Split
from vgg_ablate.train.evaluate import Scored, scored
from vgg_ablate.train.views import views

IMAGES = torch.randint(0, 256, (4, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
AS_THEY_ARE = Normaliser(torch.full((3,), 128.0), torch.full((3,), 64.0))


def net(pool: str = "none", size: int = 8) -> Vgg:
    arch = Arch.model_validate({"stages": "4 | 8", "head": {"hidden": [12], "pool": pool}, "classes": 5})
    shaped = arch.model_copy(update={"image_size": size, "in_channels": 3}).spelled_out()
    return build(shaped, torch.Generator().manual_seed(0))


def probabilities(model: Vgg, how: Evaluate) -> Tensor:
    split = Split(IMAGES, torch.zeros(4, dtype=torch.int64))
    return scored(model, split, AS_THEY_ARE, "fp32", 8, how).logits.softmax(1)


def test_the_views_are_those_that_were_asked_for() -> None:
    shown = list(views(IMAGES, Evaluate(view=("single", "dense", "crops"), flip=True, scales=(8, 12), grid=3), 8))
    #   at 8: centre, whole, one crop; at 12: centre, whole, 3 x 3 crops; each with its mirror
    assert len(shown) == 2 * ((1 + 1 + 1) + (1 + 1 + 9))
    assert [view.images.shape[1] for view in shown if view.whole] == [8, 8, 12, 12]
    assert torch.equal(shown[0].images.flip(2), shown[1].images)
    centre = next(view for view in shown[6:] if not view.whole)
    assert torch.equal(centre.images, IMAGES[:, 2:10, 2:10])


def test_the_papers_150_crops() -> None:
    how = Evaluate(view=("crops",), flip=True, scales=(10, 11, 12))  # three crops a side at 10, four at 11
    assert len(list(views(IMAGES, how, 8))) == 2 * (9 + 16 + 25)


def test_probabilities_are_the_mean_over_the_views() -> None:
    model = net()
    both = probabilities(model, Evaluate(view=("single", "crops"), scales=(12,), grid=2))
    one = probabilities(model, Evaluate(scales=(12,)))
    four = probabilities(model, Evaluate(view=("crops",), scales=(12,), grid=2))
    assert torch.allclose(both, (one + 4 * four) / 5, atol=1e-5)


def test_an_image_as_large_as_the_net_is_seen_alike_densely() -> None:
    model = net()
    dense = probabilities(model, Evaluate(view=("dense",), scales=(8,)))
    assert torch.allclose(dense, probabilities(model, Evaluate(scales=(8,))), atol=1e-6)


@pytest.mark.parametrize(("scale", "side"), [(8, 1), (12, 2), (16, 3)])
def test_the_class_map_of_a_larger_image_has_the_papers_side(scale: int, side: int) -> None:
    whole = slid(net())  # scale / 4 maps, a window of 2: as floor(Q / 32) - 6 for the paper's
    assert class_map(whole, torch.zeros(1, 3, scale, scale)).shape == (1, 5, side, side)


def test_dense_scores_of_a_data_set_are_those_of_the_nets_class_map() -> None:
    model = net()
    said = class_map(slid(model), AS_THEY_ARE(IMAGES)).mean((2, 3)).softmax(1)
    assert torch.allclose(probabilities(model, Evaluate(view=("dense",), scales=(12,))), said, atol=1e-6)


def test_accuracy_is_that_of_the_kept_bits_where_scores_are_equal() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    seen = Scored(logits, torch.tensor([1, 1, 0]))
    assert seen.accuracy() == seen.correct.double().mean().item() == 2 / 3
    assert seen.correct_bits() == "60"

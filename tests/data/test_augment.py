"""Augmentation: what torchvision's transforms mean, drawn for (seed, epoch, example)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from vgg_ablate.config.training import Augment, ResizedCrop, ScaleJitter
from vgg_ablate.data import resample
from vgg_ablate.data.augment import Augmenter, Normalizer

IMAGES = torch.randint(0, 256, (20, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
AS_THEY_ARE = Normalizer(torch.zeros(3), torch.ones(3))
EVERY = torch.arange(20)
KINDS: dict[str, dict[str, Any]] = {
    "crop": {"crop_padding": 2},
    "flip": {"flip": True},
    "both": {"crop_padding": 2, "flip": True},
    "resized": {"resized_crop": {}, "flip": True},
    "jitter": {"scale_jitter": {"low": 5, "high": 9}},
    "colour": {"pca_color_std": 0.1},
    "cutout": {"cutout": 3},
    "all": {"crop_padding": 1, "flip": True, "pca_color_std": 0.1, "cutout": 2},
}


def shown(augment: Augment, examples: Tensor, *, seed: int = 0, epoch: int = 1, size: int = 6) -> Tensor:
    """N x H x W x C, as numbers from 0 to 255."""
    augmenter = Augmenter(augment, IMAGES, size, AS_THEY_ARE, seed)
    augmenter.begin(epoch)
    return augmenter.batch(examples).permute(0, 2, 3, 1)


def resized(image: Tensor, side: int) -> Tensor:
    """torchvision's, of floats: no rounding in between."""
    larger: Tensor = functional.resize(image.permute(2, 0, 1).float(), [side, side], antialias=False)
    return larger.permute(1, 2, 0)


def test_without_augmentation_images_are_as_they_were() -> None:
    assert torch.equal(shown(Augment(), EVERY), IMAGES.float())


def test_every_image_is_one_of_the_padded_crops_or_its_mirror() -> None:
    found = shown(Augment(crop_padding=1, flip=True), EVERY)
    seen = set()
    for index, image in enumerate(found):
        padded = functional.pad(IMAGES[index].permute(2, 0, 1), [1])
        crops = {
            (top, left, flip): functional.horizontal_flip(crop) if flip else crop
            for top in range(3)
            for left in range(3)
            for flip in (False, True)
            for crop in [functional.crop(padded, top, left, 6, 6)]
        }
        seen |= {draw for draw, crop in crops.items() if torch.equal(crop.float(), image.permute(2, 0, 1))}
    assert len(seen) > 8  # of 18: not one crop for all


def test_scale_jitter_resizes_to_a_side_of_the_range_and_crops() -> None:
    found = shown(Augment(scale_jitter=ScaleJitter(low=5, high=8)), EVERY, size=5)
    sides = set()
    for index, image in enumerate(found):
        for side in range(5, 9):
            larger = resized(IMAGES[index], side)
            crops = [larger[t : t + 5, s : s + 5] for t in range(side - 4) for s in range(side - 4)]
            if any(torch.allclose(crop, image, atol=1e-3) for crop in crops):
                sides.add(side)
                break
        else:
            pytest.fail(f"image {index} is no crop at any scale")
    assert sides == {5, 6, 7, 8}


def test_a_resized_crop_is_torchvisions_of_the_same_box() -> None:
    top, left, height, width = (torch.tensor([[value]]).float() for value in (1, 2, 4, 3))
    rows, columns = resample.locate_box_pixels(top, left, height, width, 6)
    expected = functional.resized_crop(IMAGES[:1].permute(0, 3, 1, 2).float(), 1, 2, 4, 3, [6, 6], antialias=False)
    assert torch.allclose(resample.sample_bilinear(IMAGES[:1], rows, columns), expected.permute(0, 2, 3, 1), atol=1e-3)


def test_boxes_have_the_area_and_the_ratio_that_were_asked_for() -> None:
    draws = torch.rand(4000, resample.DRAWS_PER_BOX, generator=torch.Generator().manual_seed(0))
    crop = ResizedCrop(area=(0.2, 0.6), ratio=(0.5, 2.0))
    rows, columns = resample.compute_positions(Augment(resized_crop=crop), draws, 100, 50)
    tall, wide = (at[:, -1] - at[:, 0] for at in (rows, columns))  # a box's first and last line lie half a step inside
    area, ratio = tall * wide / 0.98**2 / 100**2, wide / tall
    for at in (rows, columns):
        assert at.min() >= 0
        assert at.max() <= 99
    assert area.min() > 0.18
    assert area.max() < 0.63
    assert 0.45 < ratio.min() < 0.6
    assert 1.7 < ratio.max() < 2.2
    assert area.mean().item() == pytest.approx(0.4, abs=0.02)


def test_a_box_that_never_fits_becomes_the_largest_of_the_nearest_ratio() -> None:
    draws = torch.rand(5, resample.DRAWS_PER_BOX)
    rows, columns = resample.compute_positions(
        Augment(resized_crop=ResizedCrop(area=(1.0, 1.0), ratio=(2.0, 3.0))), draws, 90, 9
    )
    assert rows[0].tolist() == pytest.approx([22 + 2 + 5 * k for k in range(9)], abs=0.6)  # 45 high, in the middle
    assert columns[0].tolist() == pytest.approx([4.5 + 10 * k for k in range(9)], abs=0.6)


def test_colours_shift_along_the_principal_components() -> None:
    shift = (shown(Augment(pca_color_std=0.1), EVERY) - IMAGES.float()).reshape(20, -1, 3)
    assert torch.allclose(shift, shift[:, :1].expand_as(shift), atol=1e-3)  # one shift an image
    pixels = IMAGES.reshape(-1, 3).double()
    covariance = torch.cov(pixels.T, correction=0)
    axes = resample.compute_color_axes([IMAGES[:7], IMAGES[7:]]).double()
    assert torch.allclose(axes.T @ axes, covariance, rtol=1e-4, atol=1e-2)  # the axes carry the whole variance


def test_cutout_takes_one_square_of_every_image() -> None:
    marked = Normalizer(torch.full((3,), -1.0), torch.ones(3))  # no pixel is 0
    augmenter = Augmenter(Augment(cutout=3), IMAGES, 6, marked, 0)
    augmenter.begin(1)
    holes = (augmenter.batch(EVERY) == 0).all(1)
    for hole in holes:
        rows, columns = hole.any(1).nonzero(), hole.any(0).nonzero()
        assert 1 <= len(rows) <= 3
        assert hole.sum() == len(rows) * len(columns)
        assert hole[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_example_shows_depends_on_seed_and_epoch_and_not_on_its_batch(kind: str) -> None:
    augment = Augment.model_validate(KINDS[kind])
    size = 5 if augment.scale_jitter else 6
    whole = shown(augment, EVERY, size=size)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    parts = [shown(augment, part, size=size) for part in (order[:7], order[7:])]
    assert torch.allclose(torch.cat(parts), whole[order], atol=1e-3)
    assert not torch.allclose(shown(augment, EVERY, epoch=2, size=size), whole)
    assert not torch.allclose(shown(augment, EVERY, seed=2, size=size), whole)


def test_one_augmentation_leaves_the_draws_of_the_others_alone() -> None:
    crops = shown(Augment(crop_padding=2, flip=True), EVERY)
    holes = shown(Augment(crop_padding=2, flip=True, cutout=2), EVERY)
    assert ((holes == crops) | (holes == 0)).all()


def test_normalising_is_torchvisions() -> None:
    mean, std = torch.tensor([100.0, 120.0, 130.0]), torch.tensor([50.0, 60.0, 70.0])
    expected = functional.normalize(IMAGES.permute(0, 3, 1, 2).float(), mean.tolist(), std.tolist())
    found = Normalizer(mean, std)(IMAGES)
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_an_epochs_draws_lie_where_the_last_ones_lay() -> None:
    """A recorded graph goes on reading there."""
    augmenter = Augmenter(Augment(crop_padding=1), IMAGES, 6, AS_THEY_ARE, 0)
    augmenter.begin(1)
    (table,) = augmenter._drawn.values()
    before = table.clone()
    augmenter.begin(2)
    assert table is next(iter(augmenter._drawn.values()))
    assert not torch.equal(table, before)

"""Augmentation equals torchvision's transforms, and is a function of (seed, epoch, example)."""

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
IDENTITY = Normalizer(torch.zeros(3), torch.ones(3))
ALL_EXAMPLES = torch.arange(20)
KINDS: dict[str, dict[str, Any]] = {
    "crop": {"crop_padding": 2},
    "flip": {"flip": True},
    "both": {"crop_padding": 2, "flip": True},
    "resized": {"resized_crop": {}, "flip": True},
    "jitter": {"scale_jitter": {"low": 5, "high": 9}},
    "color": {"pca_color_std": 0.1},
    "cutout": {"cutout": 3},
    "all": {"crop_padding": 1, "flip": True, "pca_color_std": 0.1, "cutout": 2},
}


def augment_examples(augment: Augment, examples: Tensor, *, seed: int = 0, epoch: int = 1, size: int = 6) -> Tensor:
    """Return N x H x W x C, as numbers from 0 to 255."""
    augmenter = Augmenter.prepare(augment, IMAGES, size, IDENTITY, seed)
    augmenter.begin_epoch(epoch)
    return augmenter.make_batch(examples).permute(0, 2, 3, 1)


def resize_with_torchvision(image: Tensor, side: int) -> Tensor:
    """Resize with torchvision, without rounding."""
    resized: Tensor = functional.resize(image.permute(2, 0, 1).float(), [side, side], antialias=False)
    return resized.permute(1, 2, 0)


def test_without_augmentation_images_are_unchanged() -> None:
    assert torch.equal(augment_examples(Augment(), ALL_EXAMPLES), IMAGES.float())


def test_every_image_is_one_of_the_padded_crops_or_its_mirror() -> None:
    augmented = augment_examples(Augment(crop_padding=1, flip=True), ALL_EXAMPLES)
    crops_seen = set()
    for index, image in enumerate(augmented):
        padded = functional.pad(IMAGES[index].permute(2, 0, 1), [1])
        crops = {
            (top, left, flip): functional.horizontal_flip(crop) if flip else crop
            for top in range(3)
            for left in range(3)
            for flip in (False, True)
            for crop in [functional.crop(padded, top, left, 6, 6)]
        }
        crops_seen |= {draw for draw, crop in crops.items() if torch.equal(crop.float(), image.permute(2, 0, 1))}
    assert len(crops_seen) > 8  # of 18: the crops differ between images


def test_scale_jitter_resizes_to_a_side_of_the_range_and_crops() -> None:
    augmented = augment_examples(Augment(scale_jitter=ScaleJitter(low=5, high=8)), ALL_EXAMPLES, size=5)
    sides = set()
    for index, image in enumerate(augmented):
        for side in range(5, 9):
            larger = resize_with_torchvision(IMAGES[index], side)
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


def test_boxes_have_the_configured_area_and_ratio() -> None:
    draws = torch.rand(4000, resample.DRAWS_PER_BOX, generator=torch.Generator().manual_seed(0))
    crop = ResizedCrop(area=(0.2, 0.6), ratio=(0.5, 2.0))
    rows, columns = resample.compute_positions(Augment(resized_crop=crop), draws, 100, 50)
    height, width = (at[:, -1] - at[:, 0] for at in (rows, columns))  # first and last pixel lie half a step inside
    area, ratio = height * width / 0.98**2 / 100**2, width / height
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
    assert rows[0].tolist() == pytest.approx([22 + 2 + 5 * k for k in range(9)], abs=0.6)  # 45 high, centered
    assert columns[0].tolist() == pytest.approx([4.5 + 10 * k for k in range(9)], abs=0.6)


def test_colors_shift_along_the_principal_components() -> None:
    shift = (augment_examples(Augment(pca_color_std=0.1), ALL_EXAMPLES) - IMAGES.float()).reshape(20, -1, 3)
    assert torch.allclose(shift, shift[:, :1].expand_as(shift), atol=1e-3)  # one shift per image
    pixels = IMAGES.reshape(-1, 3).double()
    covariance = torch.cov(pixels.T, correction=0)
    axes = resample.compute_color_axes([IMAGES[:7], IMAGES[7:]]).double()
    assert torch.allclose(axes.T @ axes, covariance, rtol=1e-4, atol=1e-2)  # the axes explain the whole variance


def test_cutout_clears_one_square_per_image() -> None:
    normalize = Normalizer(torch.full((3,), -1.0), torch.ones(3))  # no pixel is 0
    augmenter = Augmenter.prepare(Augment(cutout=3), IMAGES, 6, normalize, 0)
    augmenter.begin_epoch(1)
    holes = (augmenter.make_batch(ALL_EXAMPLES) == 0).all(1)
    for hole in holes:
        rows, columns = hole.any(1).nonzero(), hole.any(0).nonzero()
        assert 1 <= len(rows) <= 3
        assert hole.sum() == len(rows) * len(columns)
        assert hole[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()


@pytest.mark.parametrize("kind", KINDS)
def test_augmentation_depends_on_seed_and_epoch_and_not_on_the_batch(kind: str) -> None:
    augment = Augment.model_validate(KINDS[kind])
    size = 5 if augment.scale_jitter else 6
    whole = augment_examples(augment, ALL_EXAMPLES, size=size)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    parts = [augment_examples(augment, part, size=size) for part in (order[:7], order[7:])]
    assert torch.allclose(torch.cat(parts), whole[order], atol=1e-3)
    assert not torch.allclose(augment_examples(augment, ALL_EXAMPLES, epoch=2, size=size), whole)
    assert not torch.allclose(augment_examples(augment, ALL_EXAMPLES, seed=2, size=size), whole)


def test_one_augmentation_leaves_the_draws_of_the_others_alone() -> None:
    crops = augment_examples(Augment(crop_padding=2, flip=True), ALL_EXAMPLES)
    holes = augment_examples(Augment(crop_padding=2, flip=True, cutout=2), ALL_EXAMPLES)
    assert ((holes == crops) | (holes == 0)).all()


def test_normalization_is_torchvisions() -> None:
    mean, std = torch.tensor([100.0, 120.0, 130.0]), torch.tensor([50.0, 60.0, 70.0])
    expected = functional.normalize(IMAGES.permute(0, 3, 1, 2).float(), mean.tolist(), std.tolist())
    normalized = Normalizer(mean, std)(IMAGES)
    assert torch.allclose(normalized, expected, atol=1e-5)
    assert normalized.is_contiguous(memory_format=torch.channels_last)


def test_an_epochs_draws_are_stored_in_the_memory_of_the_last_ones() -> None:
    """A recorded CUDA graph goes on reading there."""
    augmenter = Augmenter.prepare(Augment(crop_padding=1), IMAGES, 6, IDENTITY, 0)
    augmenter.begin_epoch(1)
    (table,) = augmenter._draws.values()
    before = table.clone()
    augmenter.begin_epoch(2)
    assert table is next(iter(augmenter._draws.values()))
    assert not torch.equal(table, before)

"""Augmentation: what torchvision's transforms mean, drawn for (seed, epoch, example)."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional

from vgg_ablate.spec.recipe import Augment
from vgg_ablate.train.augment import Augmenter, Normaliser

IMAGES = torch.randint(0, 256, (20, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def shown(augment: Augment, examples: torch.Tensor, *, seed: int = 0, epoch: int = 1) -> torch.Tensor:
    augmenter = Augmenter(augment, IMAGES, seed)
    augmenter.begin(epoch)
    return augmenter.batch(examples)


def test_without_augmentation_images_are_as_they_were() -> None:
    assert torch.equal(shown(Augment(), torch.arange(20)), IMAGES)


def test_every_image_is_one_of_the_padded_crops_or_its_mirror() -> None:
    found = shown(Augment(crop_padding=1, flip=True), torch.arange(20))
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
        seen |= {draw for draw, crop in crops.items() if torch.equal(crop, image.permute(2, 0, 1))}
    assert len(seen) > 8  # of 18: not one crop for all


@pytest.mark.parametrize("augment", [Augment(crop_padding=2), Augment(flip=True), Augment(crop_padding=2, flip=True)])
def test_what_an_example_shows_depends_on_seed_and_epoch_and_not_on_its_batch(augment: Augment) -> None:
    whole = shown(augment, torch.arange(20))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    assert torch.equal(shown(augment, order), whole[order])
    assert torch.equal(torch.cat([shown(augment, part) for part in (order[:7], order[7:])]), whole[order])
    assert not torch.equal(shown(augment, torch.arange(20), epoch=2), whole)
    assert not torch.equal(shown(augment, torch.arange(20), seed=2), whole)


def test_normalising_is_torchvisions() -> None:
    mean, std = torch.tensor([100.0, 120.0, 130.0]), torch.tensor([50.0, 60.0, 70.0])
    expected = functional.normalize(IMAGES.permute(0, 3, 1, 2).float(), mean.tolist(), std.tolist())
    found = Normaliser(mean, std)(IMAGES)
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)

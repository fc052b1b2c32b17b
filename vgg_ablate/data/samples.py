"""Examples as a trained net sees them, for those who look at what it does with them."""

from __future__ import annotations

import torch
from torch import Tensor

from vgg_ablate.data import image_size, streaming
from vgg_ablate.data.augment import Normalizer
from vgg_ablate.data.splits import load_splits
from vgg_ablate.data.views import get_validation_view, iterate_views
from vgg_ablate.records import Run


def load_validation_images(run: Run, count: int) -> Tensor:
    """The first `count` images of the run's validation split, or all, as validation shows them: float N x C x H x W.

    The test split is not touched. Raises DataMissing, SpecError.
    """
    image_size.check_image_size(run)  # checks that the net and its data fit
    found = load_splits(run.data, run.fingerprint, run.seed, torch.device("cpu"), resident=False)
    images = next(streaming.iterate_batches(found.validation.images, count))
    shown = next(iterate_views(images, get_validation_view(run.data.augment), run.arch))
    return Normalizer(found.mean, found.std)(shown.images)

"""What a net looks at: its first filters, and how far it really sees (Luo et al., arXiv:1701.04128)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vgg_ablate.config.arch import Arch
from vgg_ablate.models.vgg import Vgg, build_model

Floats = NDArray[np.float64]

IMAGE_COUNT = 16  # over which a field is averaged


def extract_first_filters(model: nn.Module) -> Floats:
    """The first convolution's kernels: filters x channels x rows x columns."""
    first = next(part for part in model.modules() if isinstance(part, nn.Conv2d))
    kernels: Floats = first.weight.detach().cpu().double().numpy()
    return kernels


def compute_effective_field(model: Vgg, images: torch.Tensor) -> Floats:
    """The gradient of the last map's centre unit by the pixels: its absolute value, averaged over images and channels.

    `images` are float N x C x H x W, all of one size; the map H x W sums to 1 (or is 0 where nothing gets through).
    """
    still = model.eval()
    seen = images.detach().clone().requires_grad_(True)
    maps = still.features(seen)
    row, column = maps.shape[2] // 2, maps.shape[3] // 2
    (gradient,) = torch.autograd.grad(maps[:, :, row, column].sum(), seen)
    field: Floats = gradient.abs().mean((0, 1)).double().numpy()
    total = field.sum()
    return field / total if total > 0 else field


def average_field_over_images(model: Vgg, images: torch.Tensor) -> Floats:
    """The mean effective field over images, float N x C x H x W as the net was trained on them.

    One image at a time, so that memory does not grow with the count.
    """
    mean: Floats = np.mean([compute_effective_field(model, images[at : at + 1]) for at in range(len(images))], axis=0)
    return mean


def average_field_over_noise(arch: Arch, model: Vgg | None = None, count: int = IMAGE_COUNT, seed: int = 0) -> Floats:
    """The same over `count` images of standard normal noise; without a model: of weights as they are drawn."""
    assert arch.image_size is not None
    assert arch.in_channels is not None
    generator = torch.Generator().manual_seed(seed)
    net = build_model(arch, generator) if model is None else model
    shape = (count, arch.in_channels, arch.image_size, arch.image_size)
    return average_field_over_images(net, torch.randn(shape, generator=generator))


def measure_field_side(field: Floats, share: float = 0.95) -> int:
    """The side in pixels of the smallest square around the middle of mass that holds `share` of the gradient."""
    mass = field.sum()
    if mass == 0:
        return 0
    rows, columns = np.indices(field.shape)
    middle = round(float((rows * field).sum() / mass)), round(float((columns * field).sum() / mass))
    reach = np.maximum(abs(rows - middle[0]), abs(columns - middle[1]))
    inside = np.bincount(reach.ravel(), weights=field.ravel()).cumsum()
    return 2 * int(np.searchsorted(inside, share * mass)) + 1

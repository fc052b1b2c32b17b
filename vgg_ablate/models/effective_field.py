"""First filters and effective receptive fields of a net (Luo et al., arXiv:1701.04128)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vgg_ablate.config.arch import Arch
from vgg_ablate.models.vgg import Vgg, build_model

Floats = NDArray[np.float64]

IMAGE_COUNT = 16  # images that a field is averaged over
_NOISE_SEED = 0  # of both weights and noise
_GRADIENT_SHARE = 0.95  # of the gradient, inside the square that is the size of a field


def extract_first_filters(model: nn.Module) -> Floats:
    """Return the kernels of the first convolution: float64, filters x channels x rows x columns."""
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    kernels: Floats = first.weight.detach().cpu().double().numpy()
    return kernels


def compute_effective_field(model: Vgg, images: torch.Tensor) -> Floats:
    """Return the effective receptive field of the centre unit of the last map: float64, H x W, with sum 1.

    It is the absolute gradient of that unit, summed over channels, with respect to the pixels, averaged over `images`
    (float, N x C x H x W) and their channels. It is 0 everywhere where no gradient reaches the image.
    """
    frozen = model.eval()  # batch statistics would make every pixel of the batch depend on every other
    pixels = images.detach().clone().requires_grad_(True)
    maps = frozen.features(pixels)
    row, column = maps.shape[2] // 2, maps.shape[3] // 2
    (gradient,) = torch.autograd.grad(maps[:, :, row, column].sum(), pixels)
    field: Floats = gradient.abs().mean((0, 1)).double().numpy()
    total = field.sum()
    return field / total if total > 0 else field


def average_field_over_images(model: Vgg, images: torch.Tensor) -> Floats:
    """Return the mean effective field over images, float N x C x H x W, normalised as in training.

    The field of every image is normalised to sum 1 before the mean is taken. One image is processed at a time, so that
    memory does not grow with their number.
    """
    fields = [compute_effective_field(model, images[index : index + 1]) for index in range(len(images))]
    mean: Floats = np.mean(fields, axis=0)
    return mean


def average_field_over_noise(arch: Arch, model: Vgg | None = None, count: int = IMAGE_COUNT) -> Floats:
    """Return the mean effective field over `count` images of standard normal noise.

    Without a model, the weights are those of a new initialisation. Weights and noise are the same in every call.
    """
    assert arch.image_size is not None
    assert arch.in_channels is not None
    generator = torch.Generator().manual_seed(_NOISE_SEED)
    net = build_model(arch, generator) if model is None else model
    shape = (count, arch.in_channels, arch.image_size, arch.image_size)
    return average_field_over_images(net, torch.randn(shape, generator=generator))


def measure_field_side(field: Floats) -> int:
    """Return the side, in pixels, of the smallest square around the centre of mass that holds 95 % of the gradient.

    The side is odd, since the square is centred on a pixel; it is 0 for a field of zeros.
    """
    mass = field.sum()
    if mass == 0:
        return 0
    rows, columns = np.indices(field.shape)
    center = round(float((rows * field).sum() / mass)), round(float((columns * field).sum() / mass))
    distance = np.maximum(abs(rows - center[0]), abs(columns - center[1]))  # Chebyshev: its balls are squares
    mass_within = np.bincount(distance.ravel(), weights=field.ravel()).cumsum()
    return 2 * int(np.searchsorted(mass_within, _GRADIENT_SHARE * mass)) + 1

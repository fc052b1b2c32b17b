"""Share of an image that dense evaluation covers, by integer arithmetic.

Poolings drop the last row and column of a map with an odd side, so that a net with a total stride of t pixels ignores
up to t - 1 pixels at the right and lower edges of an image. Dense evaluation therefore crops the image at its centre
first (`compute_dense_side`), and scales at which too much is lost are errors (`find_scale_problems`). Without the crop,
a net with a total stride of 32 would see the top-left 32 x 32 pixels of an image of 55.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from math import prod

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Evaluate
from vgg_ablate.errors import Problem
from vgg_ablate.models.layers import Conv, Layer, Pool, build_layers, split_head

MIN_COVERAGE = 0.9  # fraction of the image's area; less is an error
_SCALES_PATH = "data.evaluate.scales"

Window = tuple[int, int, int]  # kernel, stride and padding of a convolution or pooling along one axis


def compute_dense_side(arch: Arch, scale: int) -> int:
    """Return the side, in pixels, of the centred square that dense evaluation takes of an image of `scale` pixels.

    It is the largest side that gives the class map of the whole image and of which poolings drop either nothing or as
    many pixels as they drop of the training images. At the net's own image size nothing is cropped, so that dense
    evaluation there equals the centre crop.
    """
    stride = _compute_total_stride(_find_windows(arch)[0])
    dropped, spare = _require_image_size(arch) % stride, scale % stride
    return scale - spare + (dropped if dropped <= spare else 0)


def compute_covered_sides(arch: Arch, side: int) -> tuple[int, int]:
    """Return how many rows and columns of a square of `side` pixels, from the first on, can influence the last map.

    Zero padding and the statistics of a group norm are not counted.
    """
    rows, columns = (_find_covered_end(windows, side) for windows in _find_windows(arch))
    return rows, columns


def compute_coverage(arch: Arch, scale: int) -> float:
    """Return the fraction of an image's area that dense evaluation at `scale` pixels covers."""
    rows, columns = compute_covered_sides(arch, compute_dense_side(arch, scale))
    return rows * columns / scale**2


def find_nearest_scales(arch: Arch, scale: int) -> tuple[int, int]:
    """Return the nearest scales below and above `scale` that cover enough. `scale` must exceed the net's image size.

    Both exist: the image size covers enough by definition, and less than two strides are lost however large the scale.
    """
    below = next(smaller for smaller in range(scale - 1, -1, -1) if covers_enough(arch, smaller))
    above = next(larger for larger in count(scale + 1) if covers_enough(arch, larger))
    return below, above


def covers_enough(arch: Arch, scale: int) -> bool:
    """Return whether dense evaluation at `scale` pixels covers at least `MIN_COVERAGE` of the image.

    The net's own image size always does: there it is the centre crop, whatever the poolings drop of it.
    """
    size = _require_image_size(arch)
    return scale == size or (scale > size and compute_coverage(arch, scale) >= MIN_COVERAGE)


def find_scale_problems(arch: Arch, evaluate: Evaluate) -> list[Problem]:
    """Return the test scales of a net that are smaller than its images or of which it covers too little."""
    size, problems = _require_image_size(arch), list[Problem]()
    for scale in evaluate.scales:
        if scale < size:
            problems.append(Problem(f"must not be less than the net's image size {size}", _SCALES_PATH, got=scale))
        elif "dense" in evaluate.view and not covers_enough(arch, scale):
            below, above = find_nearest_scales(arch, scale)
            covers = (
                f"dense evaluation at {scale} pixels covers {int(100 * compute_coverage(arch, scale))} % of the image"
            )
            enough = f"cover at least {100 * MIN_COVERAGE:.0f} %"
            problems.append(Problem(f"{covers}; nearest scales that {enough}: {below}, {above}", _SCALES_PATH))
    return problems


def _require_image_size(arch: Arch) -> int:
    if arch.image_size is None:
        raise ValueError("image_size must be known")
    return arch.image_size


def _find_windows(arch: Arch) -> tuple[list[Window], list[Window]]:
    """Return the windows of the layers before the head, along rows and along columns."""
    body = split_head(build_layers(arch))[0]
    return list(_find_windows_along(body, 0)), list(_find_windows_along(body, 1))


def _find_windows_along(body: Sequence[Layer], axis: int) -> Iterator[Window]:
    for layer in body:
        if isinstance(layer, Conv):
            yield layer.kernel[axis], layer.stride, layer.padding[axis]
        elif isinstance(layer, Pool):  # before the head there are only 2x2 poolings
            yield 2, 2, 0


def _compute_total_stride(windows: Sequence[Window]) -> int:
    return prod(stride for _, stride, _ in windows)


def _find_covered_end(windows: Sequence[Window], side: int) -> int:
    """Return one past the last pixel that the last map depends on: its last unit, followed back through every layer."""
    sizes = [side]
    for kernel, stride, padding in windows:
        sizes.append((sizes[-1] + 2 * padding - kernel) // stride + 1)
    end = sizes.pop()
    # Unit u of a layer reads the pixels from u * stride - padding to that plus kernel - 1 of the layer before.
    for (kernel, stride, padding), size in zip(reversed(windows), reversed(sizes), strict=True):
        end = min(size, (end - 1) * stride - padding + kernel)
    return end

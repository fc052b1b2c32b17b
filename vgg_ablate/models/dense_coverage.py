"""How much of an image dense evaluation covers, by integer arithmetic. No torch.

Poolings drop the last rows and columns of maps with an odd side, so a net with a total stride of t pixels ignores up
to t - 1 pixels at the right and lower edge of an image. Dense evaluation therefore crops the image at its centre first
(`dense_side`), and refuses scales at which too much is lost (`find_scale_problems`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Evaluate
from vgg_ablate.errors import Problem
from vgg_ablate.models.layers import Conv, Layer, Pool, build_layers, split_head

MIN_COVERAGE = 0.9  # of the image's area: less is an error
_PATH = "data.evaluate.scales"

Window = tuple[int, int, int]  # of a convolution or pooling, in one direction: kernel, stride, padding


def compute_dense_side(arch: Arch, scale: int) -> int:
    """Return the side, in pixels, of the centred square that dense evaluation shows of an image of `scale` pixels.

    It is the largest side that gives the class map of the whole image and of which poolings drop either nothing or as
    many pixels as they drop of the training images. At the net's own image size nothing is cropped, so that dense
    evaluation there equals the centre crop.
    """
    stride = _total_stride(_windows(arch)[0])
    dropped, spare = _image_size(arch) % stride, scale % stride
    return scale - spare + (dropped if dropped <= spare else 0)


def compute_covered_sides(arch: Arch, side: int) -> tuple[int, int]:
    """Return how many rows and columns of a square of `side` pixels can influence the last map, from the first one on.

    Zero padding and the statistics of a group norm are not counted.
    """
    rows, columns = (_covered(windows, side) for windows in _windows(arch))
    return rows, columns


def compute_coverage(arch: Arch, scale: int) -> float:
    """Return the fraction of an image's area that dense evaluation at `scale` pixels covers."""
    rows, columns = compute_covered_sides(arch, compute_dense_side(arch, scale))
    return rows * columns / scale**2


def find_nearest_scales(arch: Arch, scale: int) -> tuple[int, int]:
    """Return the nearest scales below and above `scale` that cover enough. `scale` must exceed the net's image size.

    Both exist: the image size covers enough by definition, and less than two strides are lost however large the scale.
    """
    below = next(one for one in range(scale - 1, -1, -1) if covers_enough(arch, one))
    above = next(one for one in count(scale + 1) if covers_enough(arch, one))
    return below, above


def covers_enough(arch: Arch, scale: int) -> bool:
    """Return whether dense evaluation at `scale` pixels covers at least `MIN_COVERAGE` of the image.

    The net's own image size always does: there it is the centre crop, whatever the poolings drop of it.
    """
    size = _image_size(arch)
    return scale == size or (scale > size and compute_coverage(arch, scale) >= MIN_COVERAGE)


def find_scale_problems(arch: Arch, evaluate: Evaluate) -> list[Problem]:
    """Return what is wrong with the test scales of a net: smaller than its images, or too little covered."""
    size, problems = _image_size(arch), list[Problem]()
    for scale in evaluate.scales:
        if scale < size:
            problems.append(Problem(f"must not be less than the net's image size {size}", _PATH, got=scale))
        elif "dense" in evaluate.view and not covers_enough(arch, scale):
            below, above = find_nearest_scales(arch, scale)
            covers = (
                f"dense evaluation at {scale} pixels covers {int(100 * compute_coverage(arch, scale))} % of the image"
            )
            enough = f"cover at least {100 * MIN_COVERAGE:.0f} %"
            problems.append(Problem(f"{covers}; nearest scales that {enough}: {below}, {above}", _PATH))
    return problems


def _image_size(arch: Arch) -> int:
    if arch.image_size is None:
        raise ValueError("image_size must be known")
    return arch.image_size


def _windows(arch: Arch) -> tuple[list[Window], list[Window]]:
    """The windows of the layers that make maps, in order: along rows, along columns."""
    body = split_head(build_layers(arch))[0]
    return list(_windows_along(body, 0)), list(_windows_along(body, 1))


def _windows_along(body: Sequence[Layer], way: int) -> Iterator[Window]:
    for layer in body:
        if isinstance(layer, Conv):
            yield layer.kernel[way], layer.stride, layer.padding[way]
        elif isinstance(layer, Pool):  # before the head there are only 2x2 poolings
            yield 2, 2, 0


def _total_stride(windows: Sequence[Window]) -> int:
    stride = 1
    for _, step, _ in windows:
        stride *= step
    return stride


def _covered(windows: Sequence[Window], side: int) -> int:
    """One past the last pixel that the last map can see: its last unit, followed back through every layer."""
    sizes = [side]
    for kernel, stride, padding in windows:
        sizes.append((sizes[-1] + 2 * padding - kernel) // stride + 1)
    end = sizes.pop()
    for (kernel, stride, padding), size in zip(reversed(windows), reversed(sizes), strict=True):
        end = min(size, (end - 1) * stride - padding + kernel)
    return end

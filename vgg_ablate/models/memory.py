"""Estimate of the memory that training a net takes, in bytes, before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass

from vgg_ablate.config.arch import Arch, LocalResponseNorm
from vgg_ablate.models.costs import count_params
from vgg_ablate.models.layers import Activation, Dense, Dropout, Flatten, Layer, Norm, Pool, build_layers

MANY_PARAMS = 10**9  # more than any VGG has (E: 0.14e9): most likely a mistake in the study
_FP32_BYTES = 4
_POOL_INDEX_BYTES = 8  # per output element: max pooling keeps the int64 position of each maximum

# The backward pass of these needs their output only, and not their input. ReLU works in place; the output of tanh is
# the input of the next convolution, which autograd keeps anyway.
_OUTPUT_ONLY = ("relu", "tanh")


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes that training takes: what stays for the whole training, and what a batch adds until its backward pass."""

    weights: int  # trained in fp32 whatever the precision of the forward pass
    gradients: int
    optimizer: int
    activations: int  # of one batch, kept for the backward pass

    @property
    def total(self) -> int:
        """The sum. Library workspaces, fragmentation and the data set are not included."""
        return self.weights + self.gradients + self.optimizer + self.activations


def estimate_training_memory(
    arch: Arch, batch_size: int, *, precision_bytes: int = 4, states: int = 1
) -> MemoryEstimate:
    """Return the estimate for an arch in its normal form.

    `precision_bytes` is the size of one activation. `states` is how many numbers the optimiser keeps per parameter
    (SGD with momentum: 1).
    """
    net = build_layers(arch)
    weights = _FP32_BYTES * sum(count_params(layer) for layer in net)
    image = (arch.in_channels or 0) * (arch.image_size or 0) ** 2 * precision_bytes
    kept_per_example = image + sum(_count_kept_bytes(layer, precision_bytes) for layer in net)
    return MemoryEstimate(weights, weights, states * weights, batch_size * kept_per_example)


def build_size_warning(params: int) -> str | None:
    """Return one line for a net of `MANY_PARAMS` parameters or more, and None for smaller ones."""
    if params < MANY_PARAMS:
        return None
    least_gib = 3 * _FP32_BYTES * params / 2**30
    return f"{params:,} parameters: weights, gradients and momentum alone take {least_gib:,.0f} GiB in fp32"


def _count_kept_bytes(layer: Layer, element_bytes: int) -> int:
    """Return the bytes per example that autograd keeps for a layer's output.

    An output counts once, at the layer that makes it, although the next layer keeps it as its input.
    """
    if isinstance(layer, Dense):
        return layer.features * element_bytes
    if isinstance(layer, Flatten | Dropout):
        return 0  # a view; and vectors are small beside maps
    elements = layer.channels * layer.size**2
    match layer:
        case Norm(spec=LocalResponseNorm()):
            return 4 * elements * element_bytes  # the padded squares, their mean, its power, and the quotient
        case Activation() if layer.kind in _OUTPUT_ONLY:
            return 0
        case Pool(kind="max"):
            return elements * (element_bytes + _POOL_INDEX_BYTES)
    return elements * element_bytes

"""What training an arch takes in memory, estimated before anything is allocated; in bytes."""

from __future__ import annotations

from dataclasses import dataclass

from vgg_ablate.config.arch import Arch, LocalResponseNorm
from vgg_ablate.models.costs import compute_costs, count_params
from vgg_ablate.models.layers import Activation, Conv, Dense, Dropout, Flatten, Layer, Norm, Pool, build_layers

MANY_PARAMS = 10**9  # more than any VGG had: surely a mistake
_ONE_COPY = ("relu", "tanh")  # activations of which only the output is kept: theirs, or in place of what they got
_INDEX = 8  # bytes of an index that max-pooling keeps an element


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes while training: what is there all the time, and what a batch adds until its backward pass."""

    weights: int  # as trained: fp32
    gradients: int
    optimiser: int
    activations: int  # of one batch, kept for the backward pass

    @property
    def total(self) -> int:
        """Their sum. Workspaces of libraries, fragmentation and the data set come on top."""
        return self.weights + self.gradients + self.optimiser + self.activations


def estimate_training_memory(
    arch: Arch, batch_size: int, *, precision_bytes: int = 4, states: int = 1
) -> MemoryEstimate:
    """The estimate for an arch in its normal form; `states` are the optimiser's numbers a parameter (momentum: 1)."""
    net = build_layers(arch)
    weights = 4 * sum(count_params(layer) for layer in net)
    image = (arch.in_channels or 0) * (arch.image_size or 0) ** 2 * precision_bytes
    kept = image + sum(_kept(layer, precision_bytes) for layer in net)
    return MemoryEstimate(weights, weights, states * weights, batch_size * kept)


def compute_output_bytes(arch: Arch, batch_size: int, *, precision_bytes: int = 4) -> int:
    """Bytes that the outputs of convolutions and dense layers fill: the `activations` of the costs, for a batch."""
    return compute_costs(arch).activations * precision_bytes * batch_size


def build_size_warning(params: int) -> str | None:
    """One line for more parameters than anybody means; None where they are fewer."""
    if params < MANY_PARAMS:
        return None
    least = 3 * 4 * params / 2**30
    return f"{params:,} parameters: weights, gradients and momentum alone take {least:,.0f} GiB in fp32"


def _kept(layer: Layer, size: int) -> int:
    """Bytes of one example that autograd keeps for a layer: its output, unless the next one overwrites or shares it."""
    match layer:
        case Conv():
            return layer.channels * layer.size**2 * size
        case Dense():
            return layer.features * size
        case Norm(spec=LocalResponseNorm()):
            return 4 * layer.channels * layer.size**2 * size  # padded squares, their mean, its power, the quotient
        case Norm():
            return layer.channels * layer.size**2 * size
        case Activation():
            return 0 if layer.kind in _ONE_COPY else layer.channels * layer.size**2 * size
        case Pool():
            index = _INDEX if layer.kind == "max" else 0
            return layer.channels * layer.size**2 * (size + index)
        case Flatten() | Dropout():
            return 0

"""What an arch costs, in closed form: one rule per kind of layer, in integers, for one example's forward pass.

`macs` counts one multiply-accumulate as one, of convolutions and dense layers, without biases, norms and poolings: as
the paper's neighbours and fvcore's "flops" do. `activations` counts the elements that convolutions and dense layers
put out, as fvcore does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from vgg_ablate.config.arch import Arch, LocalResponseNorm
from vgg_ablate.models.layers import Activation, Conv, Dense, Layer, Norm, build_layers, split_head
from vgg_ablate.models.receptive_field import trace_receptive_fields


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one example's forward pass. The receptive field is that of the last map before the head, in pixels."""

    params: int
    macs: int
    activations: int  # elements put out by convolutions and dense layers
    receptive_field: int
    weight_layers: int
    activation_layers: int

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


def compute_costs(arch: Arch) -> Costs:
    """The costs of an arch in its normal form. Raises SpecError where it cannot exist."""
    net = build_layers(arch)
    return Costs(
        params=sum(count_params(layer) for layer in net),
        macs=sum(count_macs(layer) for layer in net),
        activations=sum(count_activations(layer) for layer in net),
        receptive_field=compute_receptive_field(split_head(net)[0]),
        weight_layers=sum(isinstance(layer, Conv | Dense) for layer in net),
        activation_layers=sum(isinstance(layer, Activation) for layer in net),
    )


def combine_costs(nets: Sequence[Arch]) -> Costs:
    """Of an ensemble: params, macs and activations are sums; the receptive field and numbers of layers, the largest."""
    each = [compute_costs(arch) for arch in nets]
    summed = {name: sum(getattr(one, name) for one in each) for name in ("params", "macs", "activations")}
    largest = ("receptive_field", "weight_layers", "activation_layers")
    return Costs(**summed, **{name: max(getattr(one, name) for one in each) for name in largest})


def count_params(layer: Layer) -> int:
    """Trained weights and biases."""
    match layer:
        case Conv():
            rows, columns = layer.kernel
            return layer.channels * (layer.in_channels * rows * columns + layer.bias)
        case Dense():
            return layer.features * (layer.in_features + 1)
        case Norm(spec=LocalResponseNorm()):
            return 0
        case Norm():
            return 2 * layer.channels
    return 0


def count_macs(layer: Layer) -> int:
    """Multiply-accumulates."""
    match layer:
        case Conv():
            rows, columns = layer.kernel
            return layer.size**2 * layer.channels * layer.in_channels * rows * columns
        case Dense():
            return layer.in_features * layer.features
    return 0


def count_activations(layer: Layer) -> int:
    """Elements put out by a convolution or a dense layer."""
    match layer:
        case Conv():
            return layer.channels * layer.size**2
        case Dense():
            return layer.features
    return 0


def compute_receptive_field(net: Iterable[Layer]) -> int:
    """Pixels a side that one unit of the last of these layers sees; of oblong kernels, the longer way."""
    seen = trace_receptive_fields(net)
    return max(seen[-1].field) if seen else 1

"""Costs of a net in closed form: one rule per kind of layer, in exact integers, for the forward pass of one example.

One multiply-accumulate counts as one MAC. `macs` covers convolutions and dense layers and leaves out biases, norms and
poolings, as fvcore's "flops" do. `activations` is the number of elements that convolutions and dense layers put out,
also as in fvcore. models/flop_audit.py compares both with fvcore's trace of the module.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from vgg_ablate.config.arch import Arch, LocalResponseNorm
from vgg_ablate.models.layers import Activation, Conv, Dense, Layer, Norm, build_layers, split_head
from vgg_ablate.models.receptive_field import trace_receptive_fields


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of the forward pass of one example."""

    params: int  # trained weights and biases
    macs: int
    activations: int  # elements put out by convolutions and dense layers
    receptive_field: int  # of the last map before the head, in pixels
    weight_layers: int
    activation_layers: int

    def as_dict(self) -> dict[str, int]:
        """Return the costs by name."""
        return asdict(self)


def compute_costs(arch: Arch) -> Costs:
    """Return the costs of an arch in its normal form. Raises SpecError where the net cannot exist."""
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
    """Return the costs of an ensemble of nets.

    Params, MACs and activations are sums, since every net is kept and run. The receptive field and the numbers of
    layers are those of the net that has most: a sum of depths would describe no net.
    """
    costs_per_net = [compute_costs(arch) for arch in nets]
    summed = ("params", "macs", "activations")
    largest = ("receptive_field", "weight_layers", "activation_layers")
    return Costs(
        **{name: sum(getattr(costs, name) for costs in costs_per_net) for name in summed},
        **{name: max(getattr(costs, name) for costs in costs_per_net) for name in largest},
    )


def count_params(layer: Layer) -> int:
    """Return the number of trained weights and biases of a layer."""
    match layer:
        case Conv():
            rows, columns = layer.kernel
            return layer.channels * (layer.in_channels * rows * columns + layer.bias)
        case Dense():
            return layer.features * (layer.in_features + 1)
        case Norm(spec=LocalResponseNorm()):
            return 0  # its alpha, beta and k are constants of the recipe
        case Norm():
            return 2 * layer.channels  # a scale and a shift per channel; running statistics are buffers, not trained
    return 0


def count_macs(layer: Layer) -> int:
    """Return the multiply-accumulates of a layer for one example."""
    match layer:
        case Conv():
            rows, columns = layer.kernel
            # Positions in the zero padding count too, as in fvcore and in torch's FlopCounterMode.
            return layer.size**2 * layer.channels * layer.in_channels * rows * columns
        case Dense():
            return layer.in_features * layer.features
    return 0


def count_activations(layer: Layer) -> int:
    """Return the number of elements that a convolution or a dense layer puts out for one example."""
    match layer:
        case Conv():
            return layer.channels * layer.size**2
        case Dense():
            return layer.features
    return 0


def compute_receptive_field(net: Iterable[Layer]) -> int:
    """Return the side, in pixels, of the receptive field of a unit of the last layer; of an oblong one, the longer."""
    receptive_fields = trace_receptive_fields(net)
    return max(receptive_fields[-1].field) if receptive_fields else 1

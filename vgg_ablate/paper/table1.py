"""Computations on the paper's Table 1 and on the note's net: A06 to A13, A16 and N5 to N7."""

from __future__ import annotations

from itertools import pairwise

from vgg_ablate.models.costs import compute_receptive_field, count_activations, count_macs, count_params
from vgg_ablate.models.layers import Activation, Conv, Dense, Layer, Norm, Pool
from vgg_ablate.paper.computed import Check, Computation
from vgg_ablate.paper.nets import TABLE_1_NETS, build_net_layers, select_convs, sum_params

_PARAMS = {  # weights and biases, as they follow from Table 1; torchvision counts the same for A, B, D, E
    "A": 132_863_336,
    "A-LRN": 132_863_336,
    "B": 133_047_848,
    "C": 133_638_952,
    "D": 138_357_544,
    "E": 143_667_240,
}
_PRINTED_MILLIONS = {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}  # Table 2
_WEIGHT_LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}  # Table 1
_OVERFEAT_MILLIONS = 144  # of parameters, section 2.2


def check_param_counts() -> Computation:
    """Compare the parameters of each net with Table 1 exactly, and with Table 2 in millions (A06)."""
    counted = {name: sum_params(build_net_layers(name)) for name in TABLE_1_NETS}
    exact = (Check(name, _PARAMS[name], counted[name], "params") for name in TABLE_1_NETS)
    printed = (Check(name, _PRINTED_MILLIONS[name], round(counted[name] / 1e6), "million") for name in TABLE_1_NETS)
    return Computation((*exact, *printed))


def check_weight_layers() -> Computation:
    """Count the weight layers of each net (A07)."""
    return Computation(
        tuple(Check(name, layers, _count_weight_layers(name), "layers") for name, layers in _WEIGHT_LAYERS.items())
    )


def check_widths_and_sizes() -> Computation:
    """Compare the widths, and the map sizes after each pooling, of each net (A08)."""
    checks = []
    for name in TABLE_1_NETS:
        pools = [layer for layer in build_net_layers(name) if isinstance(layer, Pool)]
        checks.append(Check(f"{name} widths", (64, 128, 256, 512, 512), tuple(pool.channels for pool in pools)))
        checks.append(Check(f"{name} sizes", (112, 56, 28, 14, 7), tuple(pool.size for pool in pools), "pixels"))
    return Computation(tuple(checks))


def check_overfeat_bound() -> Computation:
    """Compare E with OverFeat in millions, the precision of the paper (A09)."""
    deepest = round(sum_params(build_net_layers("E")) / 1e6)
    return Computation(
        (Check(f"E has {deepest} million, no more than {_OVERFEAT_MILLIONS}", True, deepest <= _OVERFEAT_MILLIONS),)
    )


def check_fields_of_b_and_c() -> Computation:
    """Compare the receptive fields of B and C (A10)."""
    claimed = (140, 156, 348)
    return Computation(
        tuple(Check(name, claimed, _compute_fields(build_net_layers(name)), "pixels") for name in ("B", "C"))
    )


def check_added_1x1_convs() -> Computation:
    """Compare C with B, which has no 1x1 convolutions (A11)."""
    b, c = build_net_layers("B"), build_net_layers("C")
    added = [layer for layer in select_convs(c) if layer.kernel == (1, 1)]
    return Computation(
        (
            Check("1x1 from C channels to C", True, all(layer.in_channels == layer.channels for layer in added)),
            Check("ReLU", 3, _count_layers(c, Activation) - _count_layers(b, Activation), "more"),
            Check("params", 591_104, sum_params(c) - sum_params(b), "more"),
            Check("MACs", 462_422_016, _sum_macs(c) - _sum_macs(b), "more"),
        )
    )


def check_equal_depth() -> Computation:
    """Compare the depth of C and D, and how much larger D is (A12)."""
    c, d = build_net_layers("C"), build_net_layers("D")
    return Computation(
        (
            Check("C", 16, _count_weight_layers("C"), "weight layers"),
            Check("D", 16, _count_weight_layers("D"), "weight layers"),
            Check("params of D", 4_718_592, sum_params(d) - sum_params(c), "more than C's"),
            Check("MACs of D, G", 3.6994, round((_sum_macs(d) - _sum_macs(c)) / 1e9, 4), "more than C's"),
        )
    )


def check_field_of_shallow() -> Computation:
    """Compare the receptive fields of B and the shallow net after each block, before its pooling (A13)."""
    claimed = (5, 14, 32, 68, 140)
    return Computation(
        tuple(
            Check(name, claimed, _compute_fields_before_pools(build_net_layers(name)), "pixels")
            for name in ("B", "shallow")
        )
    )


def check_lrn_costs() -> Computation:
    """Count the parameters and the activations that LRN adds to A (A16).

    Its output is one more tensor of the size of the first convolution's output.
    """
    plain, with_lrn = build_net_layers("A"), build_net_layers("A-LRN")
    extra = sum(layer.channels * layer.size**2 for layer in with_lrn if isinstance(layer, Norm))
    share = extra / sum(count_activations(layer) for layer in select_convs(plain))
    return Computation(
        (
            Check("params", 0, sum_params(with_lrn) - sum_params(plain), "more"),
            Check("elements", 3_211_264, extra, "more"),
            Check("of A's convolution outputs", 43.2, round(100 * share, 1), "%"),
        )
    )


def check_dense_share() -> Computation:
    """Compute the share of D's parameters in its dense layers, and the parameters of the note's net (N5)."""
    layers = build_net_layers("D")
    dense = [count_params(layer) for layer in layers if isinstance(layer, Dense)]
    total = sum_params(layers)
    return Computation(
        (
            Check("three dense layers of D", 123_642_856, sum(dense), "params"),
            Check("... of all its params", 89.36, round(100 * sum(dense) / total, 2), "%"),
            Check("the first of them", 74.27, round(100 * dense[0] / total, 2), "%"),
            Check("the note's net", 138_320_616, sum_params(build_net_layers("note")), "params"),
        )
    )


def check_block_chain() -> Computation:
    """Check that each convolution of D takes the channels and the map size that the one before it gives (N6)."""
    matches = [
        before.channels == after.in_channels and after.size_in in (before.size, before.size // 2)
        for before, after in pairwise(select_convs(build_net_layers("D")))
    ]
    pools = [layer for layer in build_net_layers("D") if isinstance(layer, Pool)]
    halved = [pool.size * 2 == pool.size_in for pool in pools]
    return Computation(
        (
            Check("blocks, each ending with a pooling", 5, len(pools)),
            Check("every convolution fits the one before it", True, all(matches)),
            Check("every block halves the map", True, all(halved)),
        )
    )


def check_channels_and_classes() -> Computation:
    """Check that channels and classes change only the first convolution and the last dense layer (N7)."""
    usual, grey = build_net_layers("note"), build_net_layers("note", channels=1, classes=10)
    differing = [layer.name for layer, other in zip(usual, grey, strict=True) if layer != other]
    return Computation(
        (
            Check("layers that differ", "conv1_1, fc8", ", ".join(differing)),
            Check("params", 138_320_616 - 2 * 9 * 64 - 990 * 4097, sum_params(grey), "at 1 channel, 10 classes"),
        )
    )


def _compute_fields(layers: tuple[Layer, ...]) -> tuple[int, int, int]:
    """Return the receptive fields after the last convolution, the last pooling and the first dense layer.

    The dense layer counts as the 7x7 convolution that it is equal to.
    """
    features = [layer for layer in layers if isinstance(layer, Conv | Pool)]
    maps = features[-1].size
    fc6 = Conv("fc6", features[-1].channels, 1, (maps, maps), 1, (0, 0), True, maps, 1)
    return (
        compute_receptive_field(features[:-1]),
        compute_receptive_field(features),
        compute_receptive_field([*features, fc6]),
    )


def _compute_fields_before_pools(layers: tuple[Layer, ...]) -> tuple[int, ...]:
    return tuple(
        compute_receptive_field(layers[:index]) for index, layer in enumerate(layers) if isinstance(layer, Pool)
    )


def _count_weight_layers(name: str) -> int:
    return _count_layers(build_net_layers(name), Conv | Dense)


def _count_layers(layers: tuple[Layer, ...], kind: object) -> int:
    return sum(isinstance(layer, kind) for layer in layers)  # type: ignore[arg-type]  # a class or a union of classes


def _sum_macs(layers: tuple[Layer, ...]) -> int:
    return sum(count_macs(layer) for layer in layers)

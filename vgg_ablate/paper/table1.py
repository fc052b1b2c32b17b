"""A06 to A13, A16 and N5 to N7: what follows from the paper's Table 1 (and from the note's net)."""

from __future__ import annotations

from itertools import pairwise

from vgg_ablate.models.costs import activations, macs, params, receptive_field
from vgg_ablate.models.layers import Act, Conv, Dense, Layer, Norm, Pool
from vgg_ablate.paper.computed import Check, Computed
from vgg_ablate.paper.nets import TABLE_1, convolutions, net, total_params

_EXACT = {  # weights and biases, as they follow from Table 1; torchvision counts the same for A, B, D and E
    "A": 132_863_336,
    "A-LRN": 132_863_336,
    "B": 133_047_848,
    "C": 133_638_952,
    "D": 138_357_544,
    "E": 143_667_240,
}
_MILLIONS = {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}  # Table 2
_WEIGHT_LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}  # Table 1
_OVERFEAT = 144  # millions, section 2.2


def parameters() -> Computed:
    """A06."""
    counted = {name: total_params(net(name)) for name in TABLE_1}
    exact = (Check(name, _EXACT[name], counted[name], "params") for name in TABLE_1)
    printed = (Check(name, _MILLIONS[name], round(counted[name] / 1e6), "million") for name in TABLE_1)
    return Computed((*exact, *printed))


def weight_layers() -> Computed:
    """A07."""
    return Computed(
        tuple(Check(name, layers, _weight_layers(name), "layers") for name, layers in _WEIGHT_LAYERS.items())
    )


def widths_and_sizes() -> Computed:
    """A08."""
    checks = []
    for name in TABLE_1:
        pools = [layer for layer in net(name) if isinstance(layer, Pool)]
        checks.append(Check(f"{name} widths", (64, 128, 256, 512, 512), tuple(pool.channels for pool in pools)))
        checks.append(Check(f"{name} sizes", (112, 56, 28, 14, 7), tuple(pool.size for pool in pools), "pixels"))
    return Computed(tuple(checks))


def no_more_than_overfeat() -> Computed:
    """A09: at the precision that the paper gives, millions."""
    deepest = round(total_params(net("E")) / 1e6)
    return Computed((Check(f"E has {deepest} million, no more than {_OVERFEAT}", True, deepest <= _OVERFEAT),))


def fields_of_b_and_c() -> Computed:
    """A10."""
    wanted = (140, 156, 348)
    return Computed(tuple(Check(name, wanted, _fields(net(name)), "pixels") for name in ("B", "C")))


def one_by_one() -> Computed:
    """A11: C minus B."""
    b, c = net("B"), net("C")
    added = [layer for layer in convolutions(c) if layer.kernel == (1, 1)]
    return Computed(
        (
            Check("1x1 from C channels to C", True, all(layer.in_channels == layer.channels for layer in added)),
            Check("ReLU", 3, _count(c, Act) - _count(b, Act), "more"),
            Check("params", 591_104, total_params(c) - total_params(b), "more"),
            Check("macs", 462_422_016, _macs(c) - _macs(b), "more"),
        )
    )


def equal_depth() -> Computed:
    """A12: and D minus C."""
    c, d = net("C"), net("D")
    return Computed(
        (
            Check("C", 16, _weight_layers("C"), "weight layers"),
            Check("D", 16, _weight_layers("D"), "weight layers"),
            Check("params of D", 4_718_592, total_params(d) - total_params(c), "more than C's"),
            Check("macs of D, G", 3.6994, round((_macs(d) - _macs(c)) / 1e9, 4), "more than C's"),
        )
    )


def shallow_sees_as_far() -> Computed:
    """A13: after each block, before its pooling."""
    wanted = (5, 14, 32, 68, 140)
    return Computed(tuple(Check(name, wanted, _before_pools(net(name)), "pixels") for name in ("B", "shallow")))


def lrn_costs() -> Computed:
    """A16: one more tensor, as large as the first convolution's output."""
    plain, normalised = net("A"), net("A-LRN")
    extra = sum(layer.channels * layer.size**2 for layer in normalised if isinstance(layer, Norm))
    share = extra / sum(activations(layer) for layer in convolutions(plain))
    return Computed(
        (
            Check("params", 0, total_params(normalised) - total_params(plain), "more"),
            Check("elements", 3_211_264, extra, "more"),
            Check("of A's convolution outputs", 43.2, round(100 * share, 1), "%"),
        )
    )


def dense_share() -> Computed:
    """N5: of D; and the note's own net."""
    layers = net("D")
    dense = [params(layer) for layer in layers if isinstance(layer, Dense)]
    total = total_params(layers)
    return Computed(
        (
            Check("three dense layers of D", 123_642_856, sum(dense), "params"),
            Check("... of all its params", 89.36, round(100 * sum(dense) / total, 2), "%"),
            Check("the first of them", 74.27, round(100 * dense[0] / total, 2), "%"),
            Check("the note's net", 138_320_616, total_params(net("note")), "params"),
        )
    )


def carriages() -> Computed:
    """N6: every block takes up what the one before it puts out."""
    linked = [
        before.channels == after.in_channels and after.size_in in (before.size, before.size // 2)
        for before, after in pairwise(convolutions(net("D")))
    ]
    pools = [layer for layer in net("D") if isinstance(layer, Pool)]
    halved = [pool.size * 2 == pool.size_in for pool in pools]
    return Computed(
        (
            Check("blocks, each ending with a pooling", 5, len(pools)),
            Check("every convolution fits the one before it", True, all(linked)),
            Check("every block halves the map", True, all(halved)),
        )
    )


def channels_and_classes() -> Computed:
    """N7: they change the first convolution and the last dense layer, and nothing else."""
    usual, grey = net("note"), net("note", channels=1, classes=10)
    differing = [one.name for one, other in zip(usual, grey, strict=True) if one != other]
    return Computed(
        (
            Check("layers that differ", "conv1_1, fc8", ", ".join(differing)),
            Check("params", 138_320_616 - 2 * 9 * 64 - 990 * 4097, total_params(grey), "at 1 channel, 10 classes"),
        )
    )


def _fields(layers: tuple[Layer, ...]) -> tuple[int, int, int]:
    """The receptive field after the last convolution, the last pooling, and the first dense layer (as a 7x7)."""
    features = [layer for layer in layers if isinstance(layer, Conv | Pool)]
    maps = features[-1].size
    fc6 = Conv("fc6", features[-1].channels, 1, (maps, maps), 1, (0, 0), True, maps, 1)
    return receptive_field(features[:-1]), receptive_field(features), receptive_field([*features, fc6])


def _before_pools(layers: tuple[Layer, ...]) -> tuple[int, ...]:
    return tuple(receptive_field(layers[:index]) for index, layer in enumerate(layers) if isinstance(layer, Pool))


def _weight_layers(name: str) -> int:
    return _count(net(name), Conv | Dense)


def _count(layers: tuple[Layer, ...], kind: object) -> int:
    return sum(isinstance(layer, kind) for layer in layers)  # type: ignore[arg-type]  # a class, or a union of some


def _macs(layers: tuple[Layer, ...]) -> int:
    return sum(macs(layer) for layer in layers)

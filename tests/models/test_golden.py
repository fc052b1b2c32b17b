"""Numbers of paper.md, sections 1 and 5, that no other test holds: shares, weights and MACs."""

from __future__ import annotations

import pytest

from tests.models.nets import make_arch
from vgg_ablate.models.costs import count_activations, count_macs, count_params
from vgg_ablate.models.layers import Activation, Conv, Dense, build_layers
from vgg_ablate.models.receptive_field import trace_receptive_fields

# section 1: parameters of the convolutions, share of the dense layers in %
SPLIT = {
    "A": (9_220_480, 93.060),
    "B": (9_404_992, 92.931),
    "C": (9_996_096, 92.520),
    "D": (14_714_688, 89.365),
    "E": (20_024_384, 86.062),
}


def get_convolutions(name: str) -> list[Conv]:
    return [layer for layer in build_layers(make_arch(name)) if isinstance(layer, Conv)]


def get_dense(name: str) -> list[Dense]:
    return [layer for layer in build_layers(make_arch(name)) if isinstance(layer, Dense)]


def count_weights(net: list[Conv]) -> int:
    return sum(count_params(layer) - layer.channels for layer in net)


@pytest.mark.parametrize("name", SPLIT)
def test_parameters_are_split_between_convolutions_and_dense_layers_as_section_1_says(name: str) -> None:
    dense_params = sum(map(count_params, get_dense(name)))
    conv_params = sum(map(count_params, get_convolutions(name)))
    assert dense_params == 123_642_856
    assert (conv_params, round(100 * dense_params / (dense_params + conv_params), 3)) == SPLIT[name]


def test_d_is_split_as_section_5_says() -> None:
    convs, dense = get_convolutions("D"), get_dense("D")
    total = sum(map(count_params, convs)) + sum(map(count_params, dense))
    assert (count_weights(convs), sum(layer.channels for layer in convs)) == (14_710_464, 4_224)
    assert [count_params(layer) - layer.features for layer in dense] == [102_760_448, 16_777_216, 4_096_000]
    assert [layer.features for layer in dense] == [4_096, 4_096, 1_000]
    assert round(100 * sum(map(count_params, convs)) / total, 4) == 10.6353
    assert [round(100 * count_params(layer) / total, 4) for layer in dense] == [74.2746, 12.1289, 2.9612]
    assert round(100 * count_params(dense[0]) / sum(map(count_params, dense)), 3) == 83.114
    assert round(sum(map(count_macs, convs)) / 1e9, 4) == 15.3466
    assert round(sum(map(count_macs, dense)) / 1e9, 4) == 0.1236


def test_the_shallow_net_is_confounded_with_weights_macs_and_activations() -> None:
    pairs, fives = get_convolutions("B"), get_convolutions("shallow")
    assert (count_weights(pairs), count_weights(fives)) == (9_402_048, 10_859_200)
    assert sum(map(count_params, fives)) == 10_860_672
    assert round(sum(map(count_macs, pairs)) / 1e9, 3) == 11.185
    assert round(sum(map(count_macs, fives)) / 1e9, 3) == 9.232
    activations = [
        sum(isinstance(layer, Activation) for layer in build_layers(make_arch(name))) - 2 for name in ("B", "shallow")
    ]
    assert activations == [10, 5]
    pair_weights = [count_weights(pairs[at : at + 2]) for at in range(0, 10, 2)]
    five_weights = [count_weights([layer]) for layer in fives]
    assert (pair_weights[0], five_weights[0]) == (38_592, 4_800)
    ratios = [round(five / pair, 3) for five, pair in zip(five_weights, pair_weights, strict=True)]
    assert ratios[1:] == [0.926, 0.926, 0.926, 1.389]


def test_on_32_px_d_sees_the_whole_image_from_conv3_2_on() -> None:
    net = build_layers(make_arch({"preset": "D", "image_size": 32}))
    fields = {layer.name: traced.field for layer, traced in zip(net, trace_receptive_fields(net), strict=True)}
    assert (fields["conv3_1"], fields["conv3_2"], fields["conv3_3"]) == ((24, 24), (32, 32), (40, 40))


def test_the_head_of_d_as_global_average_and_one_layer_is_nine_times_smaller() -> None:
    net = build_layers(make_arch({"preset": "D", "head": {"hidden": [], "pool": "global"}}))
    total = sum(map(count_params, net))
    assert total == 15_227_688
    assert round(138_357_544 / total, 2) == 9.09


def test_convolutions_put_out_as_much_as_the_maps_they_make() -> None:
    assert sum(map(count_activations, get_convolutions("A-LRN"))) == 7_426_048
    assert sum(map(count_activations, get_convolutions("D"))) == 13_547_520

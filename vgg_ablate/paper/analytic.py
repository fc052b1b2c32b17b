"""The statements that arithmetic settles: id -> the function that computes it, live, in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vgg_ablate.paper import applied, stacks, table1
from vgg_ablate.paper.computed import Computed

COMPUTATIONS: Mapping[str, Callable[[], Computed]] = {
    "A01": stacks.two_see_five,
    "A02": stacks.three_see_seven,
    "A03": stacks.weights_of_three_and_of_seven,
    "A04": stacks.activations_of_three_and_of_seven,
    "A05": stacks.composed_kernel,
    "A06": table1.parameters,
    "A07": table1.weight_layers,
    "A08": table1.widths_and_sizes,
    "A09": table1.no_more_than_overfeat,
    "A10": table1.fields_of_b_and_c,
    "A11": table1.one_by_one,
    "A12": table1.equal_depth,
    "A13": table1.shallow_sees_as_far,
    "A14": applied.dense_as_convolutional,
    "A15": applied.class_map_sizes,
    "A16": table1.lrn_costs,
    "A17": applied.crops_against_dense,
    "A18": applied.iterations_as_epochs,
    "N1": stacks.large_kernels_as_stacks,
    "N2": stacks.weights_of_stacks,
    "N3": stacks.fields_of_stacks,
    "N4": stacks.activations_between,
    "N5": table1.dense_share,
    "N6": table1.carriages,
    "N7": table1.channels_and_classes,
}

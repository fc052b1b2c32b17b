"""The functions that compute the statements that arithmetic can decide, by the id of the statement.

They run whenever the scoreboard is written: all together take milliseconds, so no result is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vgg_ablate.paper import applied, stacks, table1
from vgg_ablate.paper.computed import Computation

COMPUTATIONS: Mapping[str, Callable[[], Computation]] = {
    "A01": stacks.check_field_of_two_3x3,
    "A02": stacks.check_field_of_three_3x3,
    "A03": stacks.check_weights_of_three_3x3,
    "A04": stacks.check_activations_of_three_3x3,
    "A05": stacks.check_composed_kernel,
    "A06": table1.check_param_counts,
    "A07": table1.check_weight_layers,
    "A08": table1.check_widths_and_sizes,
    "A09": table1.check_overfeat_bound,
    "A10": table1.check_fields_of_b_and_c,
    "A11": table1.check_added_1x1_convs,
    "A12": table1.check_equal_depth,
    "A13": table1.check_field_of_shallow,
    "A14": applied.check_dense_as_convolution,
    "A15": applied.check_class_map_sizes,
    "A16": table1.check_lrn_costs,
    "A17": applied.check_crop_macs,
    "A18": applied.check_training_epochs,
    "N1": stacks.check_stacks_replace_kernels,
    "N2": stacks.check_weights_of_stacks,
    "N3": stacks.check_fields_of_stacks,
    "N4": stacks.check_activations_between,
    "N5": table1.check_dense_share,
    "N6": table1.check_block_chain,
    "N7": table1.check_channels_and_classes,
}

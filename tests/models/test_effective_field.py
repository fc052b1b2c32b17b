"""Effective fields against the theoretical ones, which they must equal for linear nets with positive weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.models.nets import make_arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.models.effective_field import average_field_over_noise, compute_effective_field, measure_field_side
from vgg_ablate.models.layers import build_layers, split_head
from vgg_ablate.models.receptive_field import compute_center_window
from vgg_ablate.models.vgg import build_model


@pytest.mark.parametrize(
    "stages", ["1", "1@5 | 1 /", "1 1 | 1@7", "1@1x3 1 | 1@3x1 | 1 /", "1 | 1 | 1@1", "1@5x1 | 1 1 | 1 /"]
)
@pytest.mark.parametrize("size", [32, 45])
def test_positive_linear_nets_see_exactly_their_theoretical_field(stages: str, size: int) -> None:
    net = make_arch({"stages": stages, "pool": "average"}, Shape(size, 1, 2))
    model = build_model(net)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(1.0)
    # All values are positive, so that ReLU changes nothing.
    field = compute_effective_field(model, torch.ones(1, 1, size, size))
    rows, columns = compute_center_window(split_head(build_layers(net))[0])
    theoretical = np.zeros((size, size), dtype=bool)
    theoretical[max(rows[0], 0) : rows[1], max(columns[0], 0) : columns[1]] = True
    assert np.array_equal(field > 0, theoretical)


def test_the_field_of_noise_is_the_same_every_time_and_sums_to_one() -> None:
    net = make_arch({"stages": "4 4 | 8 8", "norm": "batch"}, Shape(24, 1, 3))
    field = average_field_over_noise(net, count=2)
    assert np.array_equal(field, average_field_over_noise(net, count=2))
    assert field.sum() == pytest.approx(1)


def test_no_gradient_lies_outside_the_theoretical_field() -> None:
    net = make_arch({"stages": "8 8 | 8 8"}, Shape(40, 3, 10))
    rows, columns = compute_center_window(split_head(build_layers(net))[0])
    field = average_field_over_noise(net, count=4)
    assert field[rows[0] : rows[1], columns[0] : columns[1]].sum() == pytest.approx(1)
    assert measure_field_side(field) <= rows[1] - rows[0]

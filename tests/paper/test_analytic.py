"""Every analytic statement is computed and supported; a wrong number is detected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import convolve2d

from vgg_ablate.paper import stacks
from vgg_ablate.paper.analytic import COMPUTATIONS
from vgg_ablate.paper.catalogue import CATALOGUE
from vgg_ablate.paper.computed import Check, Computation


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_what_is_computed_is_what_is_claimed(name: str) -> None:
    wrong = [check for check in COMPUTATIONS[name]().checks if not check.agrees]
    assert wrong == []


def test_a_statement_is_marked_as_computed_only_if_a_function_computes_it() -> None:
    assert {statement.id for statement in CATALOGUE if statement.is_computed} == set(COMPUTATIONS)


def test_one_wrong_number_is_enough() -> None:
    assert not Computation((Check("right", 1, 1), Check("wrong", 1, 2))).agrees


@given(side=st.sampled_from([1, 3, 5]), other=st.sampled_from([1, 3, 5]), seed=st.integers(0, 2**32 - 1))
def test_one_channel_kernels_compose_as_scipy_convolves_them(side: int, other: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = generator.standard_normal((side, side)), generator.standard_normal((other, other))
    composed = stacks.compose_kernels(first[None, None], second[None, None])[0, 0]
    np.testing.assert_allclose(composed, convolve2d(first, second), rtol=1e-12, atol=1e-12)

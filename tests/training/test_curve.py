"""The package trains as plain torch in fp32 does, on the same batches."""

from __future__ import annotations

from benchmarks.loop import compare_curves


def test_the_last_third_of_the_loss_curve_is_that_of_plain_torch_in_fp32() -> None:
    assert abs(compare_curves(60)) < 0.05

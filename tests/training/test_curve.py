"""Ours is the same training as plain torch in fp32, on the same batches."""

from __future__ import annotations

from benchmarks.loop import curve


def test_the_last_third_of_the_loss_curve_is_that_of_plain_torch_in_fp32() -> None:
    assert abs(curve(60)) < 0.05

"""The peak of a training is its own, whatever this process has held before."""

from __future__ import annotations

import sys

import pytest
import torch

from vgg_ablate.train import peaks

LARGE = 300 << 20  # bytes


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_peak_is_seen_after_it_is_over_and_forgotten_at_the_next_start() -> None:
    peaks.start("cpu")
    before = peaks.reached("cpu") or 0
    torch.ones(LARGE, dtype=torch.uint8)
    reached = peaks.reached("cpu") or 0
    assert LARGE * 0.9 < reached - before < LARGE * 1.5
    peaks.start("cpu")
    assert (peaks.reached("cpu") or 0) < reached - LARGE * 0.9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpus_peak_is_what_was_reserved_and_what_is_cached_is_given_back() -> None:
    peaks.start("cuda")
    torch.ones(LARGE, dtype=torch.uint8, device="cuda")
    assert LARGE <= (peaks.reached("cuda") or 0) < LARGE * 1.5
    peaks.give_back("cuda")
    peaks.start("cuda")
    assert (peaks.reached("cuda") or 0) < LARGE

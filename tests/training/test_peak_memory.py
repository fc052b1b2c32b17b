"""The peak of a training is its own, whatever this process has held before."""

from __future__ import annotations

import sys

import pytest
import torch

from vgg_ablate.training import peak_memory

LARGE = 300 << 20  # bytes


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_peak_is_seen_after_it_is_over_and_forgotten_at_the_next_start() -> None:
    peak_memory.reset_peak_memory("cpu")
    before = peak_memory.measure_peak_memory("cpu") or 0
    torch.ones(LARGE, dtype=torch.uint8)
    reached = peak_memory.measure_peak_memory("cpu") or 0
    assert LARGE * 0.9 < reached - before < LARGE * 1.5
    peak_memory.reset_peak_memory("cpu")
    assert (peak_memory.measure_peak_memory("cpu") or 0) < reached - LARGE * 0.9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpus_peak_is_what_was_reserved_and_what_is_cached_is_given_back() -> None:
    peak_memory.reset_peak_memory("cuda")
    torch.ones(LARGE, dtype=torch.uint8, device="cuda")
    assert LARGE <= (peak_memory.measure_peak_memory("cuda") or 0) < LARGE * 1.5
    peak_memory.release_cached_memory("cuda")
    peak_memory.reset_peak_memory("cuda")
    assert (peak_memory.measure_peak_memory("cuda") or 0) < LARGE

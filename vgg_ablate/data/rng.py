"""Random streams: from one seed an independent stream per use and epoch.

Contract: every random decision is a function of (seed, stream, epoch). Variants with the same seed share split, order
and augmentation, whatever else they draw. Since no epoch depends on an earlier one, a checkpoint holds no generator.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch

from vgg_ablate.records import Run


class RandomStream(IntEnum):
    """A use of randomness. The numbers seed it, so they are part of every result: append, never renumber."""

    SPLIT = 0
    INIT = 1
    ORDER = 2
    AUGMENT = 3
    NOISE = 4  # dropout
    DRAW = 5  # the seed of every stream but SPLIT, for `train.replicate` above 0


def make_numpy_generator(seed: int, stream: RandomStream, *numbers: int) -> np.random.Generator:
    """Return a numpy generator for one stream; `numbers` (the epoch, ...) select an independent part of it."""
    return np.random.default_rng(np.random.SeedSequence([seed, stream, *numbers]))


def derive_torch_seed(seed: int, stream: RandomStream, *numbers: int) -> int:
    """Return a seed for torch, which takes 63 bits."""
    (state,) = np.random.SeedSequence([seed, stream, *numbers]).generate_state(1, np.uint64)
    return int(state) >> 1


def choose_training_seed(run: Run) -> int:
    """Return the seed of all streams but SPLIT: the run's own, or for a replicate one derived from it.

    Replicates of a seed thereby share their split, and the first one (0) is the plain run, bit for bit.
    """
    return derive_torch_seed(run.seed, RandomStream.DRAW, run.train.replicate) if run.train.replicate else run.seed


def make_torch_generator(seed: int, stream: RandomStream, *numbers: int) -> torch.Generator:
    """Return a torch generator on the CPU for one stream; `numbers` select an independent part of it."""
    return torch.Generator().manual_seed(derive_torch_seed(seed, stream, *numbers))

"""Streams of chance: one seed, and from it an independent stream for every use.

Two variants with the same seed share split, order and augmentation, whatever else they draw. A stream may be drawn
anew for an epoch, so that what happens in epoch 7 depends on no earlier epoch: a checkpoint need not hold a generator.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch

from vgg_ablate.records import Run


class RandomStream(IntEnum):
    """What chance is used for. The numbers are part of every result: append, never renumber."""

    SPLIT = 0
    INIT = 1
    ORDER = 2
    AUGMENT = 3
    NOISE = 4  # dropout
    DRAW = 5  # the seed of all but the split, where a training is drawn again


def make_numpy_generator(seed: int, stream: RandomStream, *more: int) -> np.random.Generator:
    """A numpy generator for one stream, and for one epoch of it where `more` says which."""
    return np.random.default_rng(np.random.SeedSequence([seed, stream, *more]))


def derive_torch_seed(seed: int, stream: RandomStream, *more: int) -> int:
    """A seed for torch: 63 bits."""
    (state,) = np.random.SeedSequence([seed, stream, *more]).generate_state(1, np.uint64)
    return int(state) >> 1


def choose_training_seed(run: Run) -> int:
    """The seed of a run's streams but for its split: of its first draw the run's own, of others one for each."""
    return derive_torch_seed(run.seed, RandomStream.DRAW, run.train.replicate) if run.train.replicate else run.seed


def make_torch_generator(seed: int, stream: RandomStream, *more: int) -> torch.Generator:
    """A torch generator on the CPU for one stream."""
    return torch.Generator().manual_seed(derive_torch_seed(seed, stream, *more))

"""What a net says about examples it was not trained on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vgg_ablate.train.augment import Normaliser
from vgg_ablate.train.data import Split
from vgg_ablate.train.device import Precision
from vgg_ablate.train.swift import folded

_BATCH = 512  # examples at once


class Scored(NamedTuple):
    """A split, scored: logits and what follows from them."""

    logits: Tensor  # float32, N x classes
    labels: Tensor  # int64, N

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return functional.cross_entropy(self.logits, self.labels).item()

    @property
    def correct(self) -> Tensor:
        """bool, N: whether the highest score is the label's."""
        return self.logits.argmax(1) == self.labels

    def accuracy(self, top: int = 1) -> float:
        """The fraction of examples whose label is among the `top` highest scores."""
        best = self.logits.topk(min(top, self.logits.shape[1]), dim=1).indices
        return (best == self.labels[:, None]).any(1).double().mean().item()

    def correct_bits(self) -> str:
        """`correct` as hex digits of packed bits, most significant first."""
        return np.packbits(self.correct.cpu().numpy()).tobytes().hex()

    def confusion(self) -> list[list[int]]:
        """Rows: the label; columns: the answer; examples of each."""
        classes = self.logits.shape[1]
        pairs = self.labels * classes + self.logits.argmax(1)
        counts: list[list[int]] = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).tolist()
        return counts


@torch.inference_mode()
def scored(net: nn.Module, split: Split, normalise: Normaliser, precision: Precision) -> Scored:
    """Score a split as it is: one view of every example."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    still = folded(net, dtype)
    parts = [still(normalise(split.images[at : at + _BATCH]).to(dtype)).float() for at in range(0, len(split), _BATCH)]
    return Scored(torch.cat(parts), split.labels)

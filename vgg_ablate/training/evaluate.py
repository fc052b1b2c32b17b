"""What a net says about examples it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vgg_ablate.config.training import Evaluate
from vgg_ablate.data import streaming
from vgg_ablate.data.augment import Normalizer
from vgg_ablate.data.splits import Split
from vgg_ablate.data.views import average_probabilities, iterate_views
from vgg_ablate.models.dense_head import convert_model
from vgg_ablate.models.vgg import Vgg
from vgg_ablate.training.device import Precision
from vgg_ablate.training.fusion import fold_batch_norms

_PIXELS = {"cpu": 512 * 32**2, "cuda": 8192 * 32**2}  # shown at once


class Predictions(NamedTuple):
    """A split, scored: logits, or logs of mean probabilities, and what follows from them."""

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
        """The fraction of examples whose label is among the `top` highest scores; of one, as `correct` has it."""
        if top == 1:  # of equal scores, topk may choose another class than argmax
            return self.correct.double().mean().item()
        best = self.logits.topk(min(top, self.logits.shape[1]), dim=1).indices
        return (best == self.labels[:, None]).any(1).double().mean().item()

    def correct_bits(self) -> str:
        """`correct` as hex digits of packed bits, most significant first."""
        return np.packbits(self.correct.cpu().numpy()).tobytes().hex()

    def class_accuracy(self) -> list[float | None]:
        """Of every class; None where the split has no example of it."""
        classes = self.logits.shape[1]
        counts = torch.bincount(self.labels, minlength=classes).tolist()
        right = torch.bincount(self.labels[self.correct], minlength=classes).tolist()
        return [hits / count if count else None for hits, count in zip(right, counts, strict=True)]

    def confusion(self) -> list[list[int]]:
        """Rows: the label; columns: the answer; examples of each."""
        classes = self.logits.shape[1]
        pairs = self.labels * classes + self.logits.argmax(1)
        counts: list[list[int]] = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).tolist()
        return counts


def average_predictions(each: Sequence[Predictions]) -> Predictions:
    """One split, scored by several nets: the mean of their class probabilities (paper, section 4.4)."""
    return (
        each[0]
        if len(each) == 1
        else Predictions(average_probabilities([one.logits.softmax(1) for one in each]), each[0].labels)
    )


@torch.inference_mode()
def evaluate_split(
    net: Vgg, split: Split, normalise: Normalizer, precision: Precision, size: int, how: Evaluate
) -> Predictions:
    """Score a split of square images for a net of `size` pixels a side; class probabilities are averaged over views."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    still = fold_batch_norms(net, dtype)
    whole = fold_batch_norms(convert_model(net), dtype) if "dense" in how.view else still
    side = max(size, *how.scales, 1)
    at_once = max(1, _PIXELS[split.labels.device.type] // side**2)
    parts = []
    for images in streaming.iterate_batches(split.images, at_once):
        logits = [
            (whole if view.whole else still)(normalise(view.images).to(dtype)).float()
            for view in iterate_views(images, how, net.arch)
        ]
        parts.append(logits[0] if len(logits) == 1 else average_probabilities([one.softmax(1) for one in logits]))
    return Predictions(torch.cat(parts), split.labels)

"""The evaluation of a net on a split, and the metrics of its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
from vgg_ablate.training.metrics import ClassIndices

_BATCH_PIXELS = {"cpu": 512 * 32**2, "cuda": 8192 * 32**2}  # per batch: larger ones are not faster


class Predictions(NamedTuple):
    """A net's predictions on a split, and the metrics that follow from them."""

    logits: Tensor  # float32, N x classes; of several views or nets, the log of the mean probabilities
    labels: Tensor  # int64, N

    @property
    def loss(self) -> float:
        """The mean cross-entropy, in nats."""
        return functional.cross_entropy(self.logits, self.labels).item()

    @property
    def predicted(self) -> Tensor:
        """The class of the highest logit of each example, of equal ones the first: int64, N."""
        return self.logits.argmax(1)

    def compute_accuracy(self, top: int = 1) -> float:
        """Return the fraction of examples whose label is among the `top` highest logits."""
        # Of equal logits, topk may choose another one than `predicted`, and then contradict the bits of the record.
        if top == 1:
            return (self.predicted == self.labels).double().mean().item()
        best = self.logits.topk(min(top, self.logits.shape[1]), dim=1).indices
        return (best == self.labels[:, None]).any(1).double().mean().item()

    def get_classes(self) -> tuple[ClassIndices, ClassIndices]:
        """Return the predicted classes and the labels as arrays, int64, N each."""
        return self.predicted.cpu().numpy(), self.labels.cpu().numpy()


def average_predictions(predictions: Sequence[Predictions]) -> Predictions:
    """Average the class probabilities of several nets on one split (paper, section 4.4)."""
    if len(predictions) == 1:
        return predictions[0]
    probabilities = [net.logits.softmax(1) for net in predictions]
    return Predictions(average_probabilities(probabilities), predictions[0].labels)


@torch.inference_mode()
def evaluate_split(
    net: Vgg, split: Split, normalize: Normalizer, precision: Precision, size: int, evaluate: Evaluate
) -> Predictions:
    """Evaluate a net of `size` pixels per side on a split; class probabilities are averaged over the views."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    folded = fold_batch_norms(net, dtype)
    sliding = fold_batch_norms(convert_model(net), dtype) if "dense" in evaluate.view else folded
    side = max(size, *evaluate.scales, 1)
    batch_size = max(1, _BATCH_PIXELS[split.labels.device.type] // side**2)
    parts = []
    for images in streaming.iterate_batches(split.images, batch_size):
        # Probabilities are averaged and not logits, as in the paper (section 4.4), and in fp32 also of a bf16 net.
        logits = [
            (sliding if view.is_whole else folded)(normalize(view.images).to(dtype)).float()
            for view in iterate_views(images, evaluate, net.arch)
        ]
        parts.append(logits[0] if len(logits) == 1 else average_probabilities([view.softmax(1) for view in logits]))
    return Predictions(torch.cat(parts), split.labels)

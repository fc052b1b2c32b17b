"""Several trained nets as one: the mean of their class probabilities on their test set (paper, section 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from vgg_ablate.data import image_size
from vgg_ablate.data.augment import Normalizer
from vgg_ablate.data.splits import load_splits
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.models import checkpoints
from vgg_ablate.records import Run
from vgg_ablate.training import device
from vgg_ablate.training.evaluate import Predictions, average_predictions, evaluate_split
from vgg_ablate.training.settings import TrainingSettings


def ensemble(members: Sequence[tuple[Run, Path]], settings: TrainingSettings) -> Predictions:
    """Runs and their weights (`Settings.weights` of their training) -> the test set, scored by all of them together.

    Every member sees the images in its own views and normalisation. Raises SpecError where the test sets differ.
    """
    first = members[0][0]
    for run, _ in members[1:]:
        if (run.fingerprint, run.data.test_fraction) != (first.fingerprint, first.data.test_fraction):
            raise SpecError(
                Problem("the nets of an ensemble must have been trained on one data set", got=run.data.name)
            )
    scores = [_member(run, weights, settings) for run, weights in members]
    if any(not torch.equal(one.labels, scores[0].labels) for one in scores):
        seeds = ", ".join(str(run.seed) for run, _ in members)
        rule = f"{first.data.name}'s test split is drawn from the seed: an ensemble's seeds must be one"
        raise SpecError(Problem(rule, got=seeds))
    return average_predictions(scores)


def _member(run: Run, weights: Path, settings: TrainingSettings) -> Predictions:
    where, size = device.resolve_device(settings.device), image_size.check_image_size(run)
    three = load_splits(run.data, run.fingerprint, run.seed, where, resident=settings.resident)
    with torch.random.fork_rng(devices=[]):
        _, net = checkpoints.load_safetensors(weights)
    here = net.to(where).to(memory_format=torch.channels_last)
    normalise = Normalizer(three.mean, three.std)
    with device.use_threads(settings.threads):
        return evaluate_split(
            here, three.test, normalise, device.choose_precision(run, settings), size, run.data.evaluate
        )

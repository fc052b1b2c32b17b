"""The state of training of a study's nets: images, steps, train errors, runs at chance level, under-training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd

from vgg_ablate.analysis.variant_rows import VariantRow
from vgg_ablate.analysis.verdicts import Verdict

# A variant is under-trained where its train error is above both: it could still be fitted to its training images.
UNDER_TRAINED_ERROR = 10.0  # percent
UNDER_TRAINED_RATIO = 0.7  # of the validation error


@dataclass(frozen=True)
class TrainingState:
    """The state of training of the variants of a report; errors are in percent, NaN where they are unknown."""

    images: int | None  # that the base trains on per epoch
    steps: int | None  # of the base, per run
    epochs: tuple[int, int]  # the fewest and the most of all variants
    batch_size: int
    train_error: tuple[float, float]  # the lowest and the highest mean of all variants
    chance_error: float
    judged_runs: int  # runs of which it is known whether they ended above chance level
    untrained_runs: int  # of those, the ones that did not
    high_train_error: tuple[str, ...]  # variants whose train error is high, also beside their validation error
    moving: tuple[str, ...]  # claims on which the two longest horizons disagree
    variants: int  # with a known train error


def compute_training_state(
    rows: Sequence[VariantRow], epochs: pd.DataFrame, verdicts: Sequence[Verdict]
) -> TrainingState:
    """Return the state of training of the variants; the base is the first. `epochs` has one row per epoch."""
    base = rows[0].variant
    train_errors = {row.name: row.metrics["train_error"].mean for row in rows if "train_error" in row.metrics}
    high = [
        row.name
        for row in rows
        if train_errors.get(row.name, 0.0) > UNDER_TRAINED_ERROR
        and "val_error" in row.metrics
        and train_errors[row.name] > UNDER_TRAINED_RATIO * row.metrics["val_error"].mean
    ]
    known = list(train_errors.values()) or [nan]
    images, steps = _count_images_and_steps(epochs[epochs["variant"] == rows[0].name], base.train.batch_size)
    return TrainingState(
        images=images,
        steps=steps,
        epochs=(min(row.variant.train.epochs for row in rows), max(row.variant.train.epochs for row in rows)),
        batch_size=base.train.batch_size,
        train_error=(float(np.min(known)), float(np.max(known))),
        chance_error=100.0 * (1 - 1 / base.data.shape.classes) if base.data.shape.classes else nan,
        judged_runs=sum(row.judged_runs for row in rows),
        untrained_runs=sum(row.untrained_runs for row in rows),
        high_train_error=tuple(high),
        moving=tuple(verdict.claim.id for verdict in verdicts if verdict.is_stable is False),
        variants=len(train_errors),
    )


def _count_images_and_steps(epochs: pd.DataFrame, batch_size: int) -> tuple[int | None, int | None]:
    """Return the images per epoch and the steps per run, from the rate and the seconds of every epoch.

    Records have no count of images. The product of both is that count up to rounding errors of floats.
    """
    if epochs.empty:
        return None, None
    run = epochs[epochs["key"] == epochs["key"].iloc[0]]
    images = (run["images_per_second"] * run["seconds"]).round()
    return int(images.iloc[-1]), round(float(images.sum()) / batch_size)

"""Small runs for the tests of training."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Data, Train
from vgg_ablate.data import sources
from vgg_ablate.records import Epoch, FinalMetrics, Run

TIMES = ("seconds", "cpu_seconds", "images_per_second")  # fields of an epoch that differ between repetitions
SMALL = {"stages": "8 8 | 16", "norm": "batch", "head": {"hidden": [16], "dropout": 0.5}}


def make_run(
    *, seed: int = 0, data: dict[str, Any] | None = None, arch: dict[str, Any] | None = None, **train: Any
) -> Run:
    """Return a run of a small net on digits, with these changes to its data, arch and recipe."""
    dataset = Data.model_validate({"name": "digits", "limit": 400, **(data or {})})
    net = Arch.model_validate({**SMALL, **(arch or {})}).with_shape(dataset.shape).to_normal_form()
    recipe = Train.model_validate({"epochs": 2, "batch_size": 32, "precision": "fp32", **train})
    return Run(arch=net, data=dataset, train=recipe, fingerprint=sources.compute_data_fingerprint(dataset), seed=seed)


def make_arch(stages: str) -> Arch:
    """Return the small net with other stages, in its normal form."""
    return make_run(arch={"stages": stages}).arch


def finish_training(training: Generator[Epoch, None, FinalMetrics | None]) -> tuple[list[Epoch], FinalMetrics]:
    """Return every epoch, with its times set to 0, and the final metrics."""
    epochs = []
    while True:
        try:
            epochs.append(next(training).model_copy(update=dict.fromkeys(TIMES, 0.0)))
        except StopIteration as end:
            return epochs, cast(FinalMetrics, end.value)

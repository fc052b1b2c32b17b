"""Small runs that the tests of this room train."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Data, Train
from vgg_ablate.data import sources
from vgg_ablate.records import Epoch, FinalMetrics, Run

TIMES = ("seconds", "cpu_seconds", "images_per_second")  # of an epoch: never the same twice
SMALL = {"stages": "8 8 | 16", "norm": "batch", "head": {"hidden": [16], "dropout": 0.5}}


def asked(
    *, seed: int = 0, data: dict[str, Any] | None = None, arch: dict[str, Any] | None = None, **train: Any
) -> Run:
    """A run of a small net on digits, with these differences."""
    what = Data.model_validate({"name": "digits", "limit": 400, **(data or {})})
    net = Arch.model_validate({**SMALL, **(arch or {})}).with_shape(what.shape).to_normal_form()
    how = Train.model_validate({"epochs": 2, "batch_size": 32, "precision": "fp32", **train})
    return Run(arch=net, data=what, train=how, fingerprint=sources.compute_data_fingerprint(what), seed=seed)


def net(stages: str) -> Arch:
    """The small net with other stages, in its normal form."""
    return asked(arch={"stages": stages}).arch


def ended(training: Generator[Epoch, None, FinalMetrics | None]) -> tuple[list[Epoch], FinalMetrics]:
    """Every epoch without its times, and what was tested."""
    epochs = []
    while True:
        try:
            epochs.append(next(training).model_copy(update=dict.fromkeys(TIMES, 0.0)))
        except StopIteration as end:
            return epochs, cast(FinalMetrics, end.value)

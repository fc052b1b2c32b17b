"""What a worker trains with: the package's own training, as the seam of `runs.worker`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import cache
from typing import Any

from vgg_ablate.config.arch import Arch
from vgg_ablate.data import splits
from vgg_ablate.models.flop_audit import audit
from vgg_ablate.records import Epoch, Run, Tested
from vgg_ablate.runs.workers.protocol import Place
from vgg_ablate.training import loop, peak_memory
from vgg_ablate.training.device import environment
from vgg_ablate.training.settings import Settings


def prepare(run: Run, place: Place, tell: Callable[[int, int], None]) -> None:
    """Decode the data set into the cache, where it is not there yet."""
    splits.decoded(run.data, run.fingerprint, tell)


def train(runs: tuple[Run, ...], place: Place) -> Generator[Epoch, None, Callable[[Run], Tested | None]]:
    """Train once for runs with one training key; yield every epoch, those of a checkpoint too.

    Return what evaluates the trained net as one of the runs asks for.
    """
    peak_memory.start(place.device)
    return loop.train_for_evaluations(runs[0], replace(_settings(runs[0], place), checkpoint_last=len(runs) > 1))


def facts(run: Run, place: Place) -> tuple[dict[str, int], dict[str, Any]]:
    """The costs by tracing, once an arch; and the environment."""
    each = [_audited(arch) for arch in run.archs]
    return {cost: sum(net[cost] for net in each) for cost in each[0]}, environment(run, _settings(run, place))


def peak(run: Run, place: Place) -> int | None:
    """Bytes of memory at the peak since `train` was called; what it left cached is given back."""
    reached = peak_memory.reached(place.device)
    peak_memory.give_back(place.device)
    return reached


@cache
def _audited(arch: Arch) -> dict[str, int]:
    return audit(arch)


def _settings(run: Run, place: Place) -> Settings:
    return Settings(
        device=place.device,
        threads=place.threads,
        checkpoint=place.checkpoint(run.training_key),
        predictions=place.predictions,
    )

"""What a worker trains with: the package's own training, as the seam of `runs.worker`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import cache
from typing import Any

from vgg_ablate.config.arch import Arch
from vgg_ablate.data import splits
from vgg_ablate.models.flop_audit import audit_costs
from vgg_ablate.records import Epoch, FinalMetrics, Run
from vgg_ablate.runs.workers.protocol import WorkerContext
from vgg_ablate.training import loop, memory
from vgg_ablate.training.device import describe_environment
from vgg_ablate.training.settings import TrainingSettings


def prepare(run: Run, place: WorkerContext, tell: Callable[[int, int], None]) -> None:
    """Decode the data set into the cache, where it is not there yet."""
    splits.load_decoded_dataset(run.data, run.fingerprint, tell)


def train(runs: tuple[Run, ...], place: WorkerContext) -> Generator[Epoch, None, Callable[[Run], FinalMetrics | None]]:
    """Train once for runs with one training key; yield every epoch, those of a checkpoint too.

    Return what evaluates the trained net as one of the runs asks for.
    """
    memory.reset_peak_memory(place.device)
    return loop.train_for_evaluations(runs[0], replace(_settings(runs[0], place), checkpoint_last=len(runs) > 1))


def facts(run: Run, place: WorkerContext) -> tuple[dict[str, int], dict[str, Any]]:
    """The costs by tracing, once an arch; and the environment."""
    each = [_audited(arch) for arch in run.archs]
    return {cost: sum(net[cost] for net in each) for cost in each[0]}, describe_environment(run, _settings(run, place))


def peak(run: Run, place: WorkerContext) -> int | None:
    """Bytes of memory at the peak since `train` was called; what it left cached is given back."""
    reached = memory.measure_peak_memory(place.device)
    memory.release_cached_memory(place.device)
    return reached


@cache
def _audited(arch: Arch) -> dict[str, int]:
    return audit_costs(arch)


def _settings(run: Run, place: WorkerContext) -> TrainingSettings:
    return TrainingSettings(
        device=place.device,
        threads=place.threads,
        checkpoint=place.checkpoint(run.training_key),
        predictions=place.predictions,
    )

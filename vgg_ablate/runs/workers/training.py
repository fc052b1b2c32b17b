"""The package's own training as a backend of workers (`job.TrainingBackend`)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import cache
from typing import Any

from vgg_ablate.config.arch import Arch
from vgg_ablate.data import splits
from vgg_ablate.models.flop_audit import audit_costs, name_flop_counter
from vgg_ablate.records import Epoch, FinalMetrics, Run
from vgg_ablate.runs.workers.protocol import WorkerContext
from vgg_ablate.training import loop, memory
from vgg_ablate.training.device import describe_environment
from vgg_ablate.training.settings import TrainingSettings


def prepare(run: Run, context: WorkerContext, report: Callable[[int, int], None]) -> None:
    """Decode the data set into the cache, unless it is there; call `report(images decoded, images)` meanwhile."""
    splits.load_decoded_dataset(run.data, run.fingerprint, report)


def train(
    runs: tuple[Run, ...], context: WorkerContext
) -> Generator[Epoch, None, Callable[[Run], FinalMetrics | None]]:
    """Train once for runs with one training key; yield every epoch, including those of a checkpoint.

    Return a function that evaluates the trained net on the test set with the views of one of the runs.
    """
    memory.reset_peak_memory(context.device)
    # With several evaluations, the last epoch is in the checkpoint too: a worker that is killed between two records
    # leaves the trained net to the next one.
    settings = replace(_build_settings(runs[0], context), checkpoint_last=len(runs) > 1)
    return loop.train_for_evaluations(runs[0], settings)


def collect_facts(run: Run, context: WorkerContext) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the costs of a run's nets as a library counts them, and the environment, for its record."""
    costs = [_audit_costs(arch) for arch in run.archs]
    audited = {name: sum(net_costs[name] for net_costs in costs) for name in costs[0]}
    return audited, describe_environment(run, _build_settings(run, context)) | {"flop_counter": name_flop_counter()}


def measure_peak(run: Run, context: WorkerContext) -> int | None:
    """Return the peak memory since `train` was called, in bytes."""
    return memory.measure_peak_memory(context.device)


def release_memory(context: WorkerContext) -> None:
    """Release cached memory to the device."""
    memory.release_cached_memory(context.device)


@cache  # tracing takes a second, and a worker trains the same arch on many seeds
def _audit_costs(arch: Arch) -> dict[str, int]:
    return audit_costs(arch)


def _build_settings(run: Run, context: WorkerContext) -> TrainingSettings:
    return TrainingSettings(
        device=context.device,
        threads=context.threads,
        checkpoint=context.locate_checkpoint(run.training_key),
        predictions=context.predictions,
    )

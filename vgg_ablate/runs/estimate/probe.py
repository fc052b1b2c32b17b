"""A short probe of this machine: a study's cheapest, middle and costliest net, each for two epochs of few examples.

Its records lie in the cache, so that the same probe is made once. Workers train it: this process imports no torch.
"""

from __future__ import annotations

from pathlib import Path

from vgg_ablate.errors import EnvironmentFailedError
from vgg_ablate.records import RecordStore, Run
from vgg_ablate.runs.plan import Plan, StudyCell
from vgg_ablate.runs.resources.slots import Slot
from vgg_ablate.runs.workers.local import LocalPool
from vgg_ablate.runs.workers.protocol import Job, JobEnded, JobLost, JobRefused, WorkerContext

_EPOCHS = 2
_EXAMPLES = 640
_LOSSES = 3


def probe_machine(plan: Plan, folder: Path, slot: Slot, training: str = "vgg_ablate.runs.workers.training") -> None:
    """Fill `folder`/records with what is missing of the probe. Raises EnvironmentFailed where it cannot run."""
    store = RecordStore(folder / "records")
    waiting = [job for job in _jobs(plan) if job.run.key not in store]
    if not waiting:
        return
    pool, losses = LocalPool((slot,), training, WorkerContext(folder=folder)), 0
    try:
        running = 0
        while waiting or running:
            while waiting and pool.free():
                pool.submit(waiting.pop())
                running += 1
            for event in pool.poll(1.0):
                if isinstance(event, JobRefused):
                    raise EnvironmentFailedError(event.reason)
                done = isinstance(event, JobEnded | JobLost)
                running -= done
                losses += isinstance(event, JobLost)
                if losses == _LOSSES:
                    raise EnvironmentFailedError(f"the probe's workers die; {folder / 'logs'} says why")
    finally:
        pool.close()


def _jobs(plan: Plan) -> list[Job]:
    """Of the cheapest, the middle and the costliest net."""
    cells = sorted({cell.run.archs: cell for cell in plan.cells}.values(), key=lambda cell: cell.costs["macs"])
    chosen = {cell.key: cell for cell in (cells[0], cells[len(cells) // 2], cells[-1])}
    return [Job(_short(cell), cell.costs) for cell in chosen.values()]


def _short(cell: StudyCell) -> Run:
    run = cell.run
    limit = min(run.data.limit or _EXAMPLES, max(_EXAMPLES, 4 * run.train.batch_size))
    return run.model_copy(
        update={
            "data": run.data.model_copy(update={"limit": limit}),
            "train": run.train.model_copy(update={"epochs": _EPOCHS, "keep": "nothing"}),
            "seed": 0,
        }
    )

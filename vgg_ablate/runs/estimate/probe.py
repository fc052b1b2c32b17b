"""Probe of this machine: the cheapest, the middle and the costliest net of a study, trained for two short epochs each.

The records are kept in the cache, so that the same probe is made once. Workers train them: this process does not import
torch.
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
_EXAMPLES = 640  # ten batches of 64; with larger batches, four batches
_MAX_LOSSES = 3


def probe_machine(plan: Plan, folder: Path, slot: Slot, training: str = "vgg_ablate.runs.workers.training") -> None:
    """Train what is missing of the probe into `folder`/records. Raises EnvironmentFailedError where workers fail.

    `training` names the module that trains.
    """
    store = RecordStore(folder / "records")
    waiting = [job for job in _build_jobs(plan) if job.run.key not in store]
    if not waiting:
        return
    pool = LocalPool((slot,), training, WorkerContext(folder=folder))
    running = losses = 0
    try:
        while waiting or running:
            while waiting and pool.count_free_slots():
                pool.submit(waiting.pop())
                running += 1
            for event in pool.poll(1.0):
                match event:
                    case JobRefused():
                        raise EnvironmentFailedError(event.reason)
                    case JobEnded():
                        running -= 1
                    case JobLost():
                        running -= 1
                        losses += 1
                if losses == _MAX_LOSSES:
                    raise EnvironmentFailedError(f"the workers of the probe died; see their logs in {folder / 'logs'}")
    finally:
        pool.close()


def _build_jobs(plan: Plan) -> list[Job]:
    cells = sorted({cell.run.archs: cell for cell in plan.cells}.values(), key=lambda cell: cell.costs["macs"])
    # The cheapest, the middle and the most expensive net: the time of the others is read off a line between them.
    selected = {cell.key: cell for cell in (cells[0], cells[len(cells) // 2], cells[-1])}
    return [Job(_shorten(cell), cell.costs) for cell in selected.values()]


def _shorten(cell: StudyCell) -> Run:
    run = cell.run
    limit = min(run.data.limit or _EXAMPLES, max(_EXAMPLES, 4 * run.train.batch_size))
    return run.model_copy(
        update={
            "data": run.data.model_copy(update={"limit": limit}),
            "train": run.train.model_copy(update={"epochs": _EPOCHS, "keep": "nothing"}),
            "seed": 0,
        }
    )

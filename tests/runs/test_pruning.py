"""A run that is stopped has as many epochs as the decision says, however fast its worker and how slow its driver is."""

from __future__ import annotations

import time
from pathlib import Path

from tests.runs.harness import build_fake_plan, make_study
from vgg_ablate.records import Epoch, Outcome, Record, RecordStore
from vgg_ablate.runs.plan import StudyCell
from vgg_ablate.runs.progress.views import NullView, ProgressState
from vgg_ablate.runs.resources.slots import build_slots
from vgg_ablate.runs.scheduler import Scheduler
from vgg_ablate.runs.workers.local import LocalPool
from vgg_ablate.runs.workers.protocol import WorkerContext


class StoppingSource:
    """Runs of which those with an odd seed are stopped after their second epoch, by a driver that takes its time."""

    stops_runs = True

    def __init__(self, cells: tuple[StudyCell, ...]) -> None:
        self.state = ProgressState("asked", len(cells))
        self._waiting = list(cells)

    def take_next_run(self) -> StudyCell | None:
        return self._waiting.pop() if self._waiting else None

    def report_epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        time.sleep(0.02)  # an epoch of the fake training takes a millisecond
        return cell.seed % 2 == 1 and epoch.epoch >= 2

    def finish_run(self, cell: StudyCell, record: Record) -> None: ...

    def requeue_run(self, cell: StudyCell) -> None:
        raise AssertionError(f"{cell.title} was lost")


def test_a_stopped_run_has_the_epochs_up_to_the_decision(tmp_path: Path) -> None:
    cells = build_fake_plan(make_study(tmp_path, variants=0, seeds=4, epochs=6)).cells
    folder = tmp_path / "results"
    store, pool = (
        RecordStore(folder / "records"),
        LocalPool(build_slots("cpu", 2), "tests.fake_training", WorkerContext(folder=folder)),
    )
    assert Scheduler(StoppingSource(cells), pool, store, NullView()).run() == ()
    ends = {cell.seed: (record.outcome, len(record.epochs)) for cell in cells for record in [store.get(cell.key)]}
    assert ends == {
        seed: (Outcome.PRUNED, 2) if seed % 2 == 1 else (Outcome.FINISHED, 6) for seed in (cell.seed for cell in cells)
    }

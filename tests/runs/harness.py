"""Small studies for the fake training, and readers of what a run leaves in a results folder."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import fake_training
from vgg_ablate.config.study import Study, load
from vgg_ablate.records import Epoch, Outcome, RecordStore
from vgg_ablate.report import write
from vgg_ablate.runs.driver import RunOptions, RunSummary, run_plan
from vgg_ablate.runs.plan import Plan, build_plan
from vgg_ablate.runs.workers.job import TrainingBackend, perform_job
from vgg_ablate.runs.workers.protocol import EpochEnded, Job, JobEnded, WorkerContext, WorkerEvent

_TIMESTAMP = re.compile(r"20\d\d-\d\d-\d\dT[\d:+]+")
STUDY_TEMPLATE = """\
version: 1
name: {name}
question: does it run?
seeds: {seeds}
data: {{name: digits, limit: {milliseconds}}}
arch: {{stages: "8 8 | 8"}}
train: {{epochs: {epochs}{keep}}}
"""


def make_study(
    folder: Path,
    *,
    name: str = "asked",
    variants: int = 2,
    seeds: int = 3,
    epochs: int = 2,
    milliseconds: int = 1,
    more: str = "",
    keep: bool = False,
) -> Study:
    """Return a study of the base and `variants` others with different learning rates; `more` is YAML after these."""
    file = folder / f"{name}.yaml"
    variant_lines = "".join(f"  v{index}: {{train.lr: {0.1 + index / 1000}}}\n" for index in range(variants)) + more
    kept = ", keep: predictions" if keep else ""
    text = STUDY_TEMPLATE.format(name=name, seeds=seeds, epochs=epochs, milliseconds=milliseconds, keep=kept)
    file.write_text(text + (f"variants:\n{variant_lines}" if variant_lines else ""))
    return load(file)


class InProcessPool:
    """A pool without processes: `poll` performs a job from start to end in this process."""

    slot_count = 1

    def __init__(self, folder: Path, training: TrainingBackend = fake_training) -> None:
        self._context = WorkerContext(folder=folder)
        self._jobs = list[Job]()
        self._training = training

    def count_free_slots(self) -> int:
        return 1 - len(self._jobs)

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def poll(self, timeout: float) -> list[WorkerEvent]:
        events: list[WorkerEvent] = []
        for job in self._jobs:
            key = job.run.key

            def report(epoch: Epoch, key: str = key) -> bool:
                events.append(EpochEnded(key, epoch))
                return False

            try:
                events.append(perform_job(self._training, job, self._context, report))
            except ValueError as error:
                events.append(JobEnded(key, Outcome.FAILED, str(error)))
        self._jobs.clear()
        return events

    def stop(self, key: str) -> None: ...
    def close(self) -> None: ...


def run_in_process(plan: Plan, folder: Path, options: RunOptions | None = None) -> RunSummary:
    """Run a plan without worker processes."""
    return run_plan(plan, folder, options or OPTIONS, InProcessPool(folder))


def run_undisturbed(plan: Plan, folder: Path) -> Path:
    """Run a plan without interruptions and in no time; return the folder, as the expectation of a disturbed run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_training, "TIME_SCALE", 0.0)
        assert run_in_process(plan, folder).is_complete
    return folder


def build_fake_plan(study: Study) -> Plan:
    """Return the plan of a study with the fake fingerprint."""
    return build_plan(study, fake_training.fingerprint)


OPTIONS = RunOptions(workers=2, device="cpu", progress="none", training="tests.fake_training")


class TrainedEpoch(NamedTuple):
    """A line of `trained.log`, an epoch that a worker has trained; or of `waiting.log`, with epoch 0."""

    key: str  # the training key
    epoch: int
    pid: int
    at: float  # Unix time


def read_trained_epochs(folder: Path, name: str = "trained.log") -> list[TrainedEpoch]:
    """Return every epoch that any worker has trained, in order."""
    log = folder / name
    if not log.exists():
        return []
    lines = (line.split() for line in log.read_text().splitlines())
    return [TrainedEpoch(key, int(epoch), int(pid), float(at)) for key, epoch, pid, at in lines]


def list_trained_epochs(folder: Path) -> list[tuple[str, int]]:
    """Return (training key, epoch) of every epoch that any worker has trained, in order."""
    return [(line.key, line.epoch) for line in read_trained_epochs(folder)]


def find_retrained_epochs(folder: Path) -> list[TrainedEpoch]:
    """Return the epochs that were trained although all runs of their training had records."""
    store, written = RecordStore(folder / "records"), dict[str, float]()
    for record in store:
        training = record.run.training_key
        written[training] = max(written.get(training, 0.0), store.get_path(record.key).stat().st_mtime)
    # The time of a file is that of the last kernel tick, which may lie some milliseconds back.
    return [line for line in read_trained_epochs(folder) if line.at > written[line.key] + 0.02]


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a log, without lines that a killed driver has left torn."""
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(ValueError):  # a torn line is no JSON, and may end within a character
            yield json.loads(line)


def read_event_log(folder: Path, event: str | None = None) -> list[dict[str, Any]]:
    """Return the lines of `events.jsonl`, all or those of one kind."""
    path = folder / "events.jsonl"
    lines = read_events(path) if path.exists() else iter(())
    return [line for line in lines if event in (None, line["event"])]


def write_and_read_report(folder: Path) -> dict[str, str]:
    """Write the report of a folder and return the text per file, without timestamps and without the folder's path."""
    write.write_report(folder)
    paths = [folder / name for name in ("runs.csv", "report.md", "table.tex", "report.html")]
    return {path.name: _TIMESTAMP.sub("", path.read_text()).replace(str(folder), "FOLDER") for path in paths}


def read_record_contents(folder: Path) -> dict[str, object]:
    """Return outcome, metrics and epochs per key: what must not depend on the machine or on interruptions."""
    return {record.key: (record.outcome, record.tested, record.epochs) for record in RecordStore(folder / "records")}

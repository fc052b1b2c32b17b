"""Real training in real worker processes: killed again and again, it continues from its checkpoint to the same end."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.runs.chaos import DriverProcess, kill_process, list_children, wait_until
from tests.runs.harness import read_event_log
from vgg_ablate.config.study import load
from vgg_ablate.data.sources import compute_data_fingerprint
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.records import Record, RecordStore
from vgg_ablate.runs.driver import RunOptions, run_plan
from vgg_ablate.runs.plan import build_plan
from vgg_ablate.training.settings import TrainingSettings

STUDY = """\
version: 1
name: killed
question: does a killed run go on?
seeds: 1
data: {name: digits, image_size: 8, limit: 300, augment: {crop_padding: 1}}
arch: {stages: "4 | 8", norm: batch, head: {hidden: [8], dropout: 0.5}}
train: {epochs: 30, lr: 0.05, precision: fp32, ensemble: [{stages: "4 | 4"}]}
"""
OPTIONS = RunOptions(workers=1, device="cpu", progress="none")


def read_only_record(folder: Path) -> Record:
    (record,) = RecordStore(folder / "records")
    return record


@pytest.mark.timeout(600)
def test_a_training_that_is_killed_again_and_again_goes_on_from_its_checkpoint_and_ends_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "killed.yaml").write_text(STUDY)
    plan, folder = build_plan(load(tmp_path / "killed.yaml"), compute_data_fingerprint), tmp_path / "killed"
    driver, reached, killed = DriverProcess(plan, folder, OPTIONS), [], set[int]()
    for victim, epoch in (("worker", 8), ("driver", 18)):
        wait_until(lambda epoch=epoch: any(event["epoch"] >= epoch for event in read_event_log(folder, "epoch")))  # type: ignore[misc]
        (worker,) = list_children(driver.pid)
        killed |= kill_process(worker if victim == "worker" else driver.pid)
        if victim == "driver":
            assert driver.join() == -signal.SIGKILL
            driver = DriverProcess(plan, folder, OPTIONS)
        reached.append(max(event["epoch"] for event in read_event_log(folder, "epoch")))
    assert driver.join() == 0
    assert len(killed) == 2

    record, interval = read_only_record(folder), TrainingSettings().checkpoint_every
    assert [epoch.epoch for epoch in record.epochs] == list(range(1, 31))
    trained = {
        (event["epoch"], event["seconds"]) for event in read_event_log(folder, "epoch")
    }  # epochs of a checkpoint are reported with the same seconds
    assert len(trained) <= 30 + 2 * interval, "a kill costs the epochs since the last checkpoint"
    assert len(trained) < 30 + sum(reached) / 2, "from the start it would cost all"
    assert not list((folder / "checkpoints").iterdir())
    assert record.audited["macs"] == record.costs["macs"] == sum(compute_costs(arch).macs for arch in record.run.archs)

    assert run_plan(plan, tmp_path / "calm", OPTIONS).is_complete
    calm = read_only_record(tmp_path / "calm")
    assert calm.tested == record.tested  # accuracies, losses and whether every example is right
    measured = {"seconds", "cpu_seconds", "images_per_second"}
    assert [epoch.model_dump(exclude=measured) for epoch in calm.epochs] == [
        epoch.model_dump(exclude=measured) for epoch in record.epochs
    ]

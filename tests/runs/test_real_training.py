"""Real training, in real worker processes: killed in mid-run, it goes on from its checkpoint and ends the same."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.storm import children
from vgg_ablate.net.costs import costs
from vgg_ablate.records import Record, Store
from vgg_ablate.runs.driver import Options, run
from vgg_ablate.spec.study import load

STUDY = """\
version: 1
name: killed
question: does a killed run go on?
seeds: 1
data: {name: digits, image_size: 8, limit: 300}
arch: {stages: "4 | 8", head: {hidden: [8], dropout: 0.5}}
train: {epochs: 40, lr: 0.05, precision: fp32, ensemble: [{stages: "4 | 4"}]}
"""
OPTIONS = Options(workers=1, device="cpu", progress="none")


def events(folder: Path) -> list[dict[str, object]]:
    path = folder / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def the_record(folder: Path) -> Record:
    (record,) = Store(folder / "records")
    return record


@pytest.mark.timeout(240)
def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_as_if_undisturbed(tmp_path: Path) -> None:
    (tmp_path / "killed.yaml").write_text(STUDY)
    study, folder = load(tmp_path / "killed.yaml"), tmp_path / "killed"
    driver = multiprocessing.get_context("forkserver").Process(target=run, args=(study, folder, OPTIONS))
    driver.start()
    while not any(event["event"] == "epoch" and event["epoch"] == 12 for event in events(folder)):
        assert driver.is_alive()
        time.sleep(0.005)
    (worker,) = children(driver.pid or 0)
    os.kill(worker, signal.SIGKILL)
    driver.join()

    told = events(folder)
    lost = next(index for index, event in enumerate(told) if event["event"] == "lost")
    reached = max(int(str(event["epoch"])) for event in told[:lost] if event["event"] == "epoch")
    assert reached >= 12
    record = the_record(folder)
    assert [epoch.epoch for epoch in record.epochs] == list(range(1, 41))
    took = {event["epoch"]: event["seconds"] for event in told[:lost] if event["event"] == "epoch"}
    assert [took[epoch.epoch] for epoch in record.epochs[:10]] == [epoch.seconds for epoch in record.epochs[:10]]
    assert not list((folder / "checkpoints").iterdir())
    assert record.audited["macs"] == record.costs["macs"] == sum(costs(arch).macs for arch in record.run.archs)

    run(study, tmp_path / "calm", replace(OPTIONS))
    calm = the_record(tmp_path / "calm")
    assert calm.tested == record.tested
    assert [epoch.train_loss for epoch in calm.epochs] == [epoch.train_loss for epoch in record.epochs]

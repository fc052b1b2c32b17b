"""The same promise on Ray: everything is trained, once, whoever is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.asked import OPTIONS, contents, driven, epochs_trained, planned, study
from vgg_ablate.records import Store
from vgg_ablate.runs.driver import drive

pytest.importorskip("ray", reason="Ray is not installed (pip install 'vgg_ablate[ray]')")


def ray_workers(folder: Path) -> set[int]:
    """The processes that have trained an epoch."""
    log = folder / "trained.log"
    return {int(line.split()[2]) for line in log.read_text().splitlines()} if log.exists() else set()


@pytest.mark.timeout(240)
def test_killed_ray_workers_lose_nothing(tmp_path: Path) -> None:
    plan, folder = planned(study(tmp_path, variants=4, seeds=4, epochs=5, milliseconds=60)), tmp_path / "results"
    options = replace(OPTIONS, pool="ray")
    driver = multiprocessing.get_context("forkserver").Process(target=drive, args=(plan, folder, options))
    driver.start()
    killed: set[int] = set()
    while driver.is_alive() and len(killed) < 4:
        for worker in ray_workers(folder) - killed:
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
        time.sleep(0.3)
    driver.join()
    assert driver.exitcode == 0
    assert len(killed) >= 2
    assert Store(folder / "records").keys() == {cell.key for cell in plan.cells}
    trained = epochs_trained(folder)
    assert len(trained) - len(set(trained)) <= 2 * len(killed)
    driven(plan, tmp_path / "calm")
    assert contents(folder) == contents(tmp_path / "calm")

"""Exactly once, whatever is killed, and whenever."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.asked import OPTIONS, contents, epochs_trained, planned, study
from tests.runs.storm import Storm
from vgg_ablate.runs.driver import drive


@pytest.mark.timeout(240)
def test_a_storm_of_kills_loses_nothing_and_trains_nothing_twice(tmp_path: Path) -> None:
    plan = planned(study(tmp_path, variants=11, seeds=5, epochs=6, milliseconds=25))
    assert len(plan.cells) == 60
    storm = Storm(plan, tmp_path / "storm", replace(OPTIONS, workers=3))
    storm.blow(workers=30, drivers=10, pause=(0.05, 0.25))
    assert (storm.worker_kills >= 30, storm.driver_kills >= 10) == (True, True)

    drive(plan, tmp_path / "calm", replace(OPTIONS, training="tests.pretend"))
    assert contents(tmp_path / "storm") == contents(tmp_path / "calm")

    trained = Counter(epochs_trained(tmp_path / "storm"))
    assert set(trained) == {(cell.key, epoch) for cell in plan.cells for epoch in range(1, 7)}
    repeated = sum(trained.values()) - len(trained)
    kills = storm.worker_kills + 3 * storm.driver_kills
    assert repeated <= kills, "a run goes on from its last checkpoint: at most one epoch is repeated a kill"
    assert not list((tmp_path / "storm" / "checkpoints").iterdir())

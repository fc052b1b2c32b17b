"""Every run is recorded exactly once, whatever is killed and whenever."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.chaos import Storm, scale_storm
from tests.runs.harness import (
    OPTIONS,
    build_fake_plan,
    find_retrained_epochs,
    list_trained_epochs,
    make_study,
    read_record_contents,
    run_undisturbed,
    write_and_read_report,
)


@pytest.mark.timeout(600)
def test_a_storm_of_kills_loses_nothing_and_trains_nothing_twice(tmp_path: Path) -> None:
    plan, folder = (
        build_fake_plan(make_study(tmp_path, variants=11, seeds=scale_storm(2), epochs=6, milliseconds=30)),
        tmp_path / "storm",
    )
    assert len(plan.cells) == 12 * scale_storm(2)
    storm = Storm(plan, folder, replace(OPTIONS, workers=3))
    storm.blow(workers=scale_storm(6), drivers=scale_storm(2), pause=(0.05, 0.2))
    assert len(storm.workers) >= scale_storm(6)
    assert len(storm.drivers) == scale_storm(2)

    calm = run_undisturbed(plan, tmp_path / "calm")
    assert read_record_contents(folder) == read_record_contents(calm)
    assert write_and_read_report(folder) == write_and_read_report(calm)
    assert find_retrained_epochs(folder) == []
    times = Counter(list_trained_epochs(folder))
    assert set(times) == {(cell.key, epoch) for cell in plan.cells for epoch in range(1, 7)}
    kills = len(storm.workers) + 3 * len(storm.drivers)
    assert times.total() - len(times) <= kills, "a run continues from its last checkpoint: at most one epoch per kill"
    assert not {path.name for path in (folder / "checkpoints").iterdir()} & {cell.key for cell in plan.cells}

"""The cost of the driver per run, with real workers. (benchmarks/driver.py measures 10,000 runs.)"""

from __future__ import annotations

from benchmarks import driver


def test_a_run_that_takes_no_time_costs_milliseconds() -> None:
    figures = driver.measure_driver(runs=100, workers=1)
    assert figures["runs"] == 100
    assert 0 < figures["cpu_ms_per_run"] < 50
    assert figures["restart_s"] < 2
    assert figures["peak_mb"] > 0

"""Time to load the report of a large study; benchmarks/report.py measures 10,000 records."""

from __future__ import annotations

import time
from pathlib import Path

from tests.report.factories import make_results_folder
from vgg_ablate.analysis import summary

LARGE = """\
version: 1
name: large
question: Which width?
seeds: 20
data: {name: digits, image_size: 32}
arch: {stages: "40 40 | 80 80", norm: batch}
train: {epochs: 10}
variants:
"""


def test_four_hundred_runs_take_a_fraction_of_ten_thousands_ten_seconds(tmp_path: Path) -> None:
    text = LARGE + "".join(f"  w{index}: {{arch.width: {1 + index / 10}}}\n" for index in range(1, 20))
    folder = make_results_folder(tmp_path / "large", text=text)
    start = time.process_time()
    report = summary.load_report(folder)
    assert time.process_time() - start < 5
    assert len(report.frame) == 400
    assert len(report.epochs) == 4000

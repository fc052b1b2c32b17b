"""Measure time and memory of a report of 10,000 records: `python benchmarks/report.py [FOLDER]`.

The target is under 10 s and 1 GB. The records are made up, with 20 epochs each; FOLDER is kept and used again.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.report.factories import make_results_folder
from vgg_ablate.report import write

STUDY = """\
version: 1
name: large
question: Which width?
seeds: 40
data: {name: digits, image_size: 32}
arch: {stages: "400 400 | 800 800", norm: batch}
train: {epochs: 20}
claims:
  - {id: wider, text: wider is better, kind: better, a: w9, b: base}
variants:
"""


def main(folder: Path) -> None:
    """Write the records if FOLDER has none, then write and measure the report."""
    if not (folder / "manifest.json").exists():
        text = STUDY + "".join(f"  w{index}: {{arch.width: {1 + index / 100}}}\n" for index in range(1, 250))
        make_results_folder(folder, text=text)
    started, cpu_started = time.perf_counter(), time.process_time()
    report = write.write_report(folder)
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    cpu_seconds = time.process_time() - cpu_started
    print(
        f"{len(report.frame)} records: {seconds:.1f} s ({cpu_seconds:.1f} s of CPU time), peak memory {memory:.2f} GB"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "large")

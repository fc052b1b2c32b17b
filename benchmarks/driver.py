"""Measure the driver's time per run, with a training that takes no time, real worker processes and a real ledger.

    python benchmarks/driver.py --runs 10000 --json

`ms_per_run` is wall time over the number of runs, `cpu_ms_per_run` the CPU time of the driver alone; `peak_mb` is the
driver's peak memory, `plan_s` the time of planning, `restart_s` that of a second start with all runs recorded.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from vgg_ablate.config.study import load
from vgg_ablate.runs.driver import RunOptions, run_plan
from vgg_ablate.runs.plan import Plan, build_plan


def build_benchmark_plan(folder: Path, runs: int) -> Plan:
    """Build a plan of `runs` runs, with ten seeds per variant."""
    from tests import fake_training

    variants = "".join(f"  v{index}: {{train.lr: {0.1 + index / 1e6:.6f}}}\n" for index in range(runs // 10 - 1))
    path = folder / "study.yaml"
    path.write_text(
        "version: 1\nname: bench\nquestion: what does a run cost?\nseeds: 10\ndata: {name: digits}\n"
        f'arch: {{stages: "8 8 | 8"}}\ntrain: {{epochs: 1}}\nvariants:\n{variants or "  {}"}'
    )
    return build_plan(load(path), fake_training.fingerprint)


def measure_driver(runs: int, workers: int) -> dict[str, float]:
    """Return the measurements of one study."""
    options = RunOptions(workers=workers, device="cpu", progress="none", training="benchmarks.instant")
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        plan = build_benchmark_plan(Path(name), runs)
        planned, cpu_started = time.perf_counter(), time.process_time()
        run_plan(plan, Path(name) / "results", options).raise_for_failures()
        ended, cpu_seconds = time.perf_counter(), time.process_time() - cpu_started
        run_plan(plan, Path(name) / "results", options).raise_for_failures()
        restarted = time.perf_counter()
    return {
        "runs": len(plan.cells),
        "ms_per_run": round(1000 * (ended - planned) / len(plan.cells), 3),
        "cpu_ms_per_run": round(1000 * cpu_seconds / len(plan.cells), 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "plan_s": round(planned - started, 3),
        "restart_s": round(restarted - ended, 3),
    }


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure_driver(arguments.runs, arguments.workers)
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()

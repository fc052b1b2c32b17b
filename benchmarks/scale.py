"""Measure what 10,000 records cost: the first fill of the ledger, a second run, report, plan and status.

    python benchmarks/scale.py [FOLDER] [--records 10000] [--json]

The records are those of results/kernels under other seeds and learning rates, in a study of 250 variants and 40 seeds.
Every command is a process of its own. `cpu_s` are its seconds of CPU time, which other load hardly changes; `peak_mb`
is its peak memory. FOLDER is kept and used again.

`run` writes and prints the report too; `run, without its report` is the same start without it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from vgg_ablate.config.study import load
from vgg_ablate.data import sources
from vgg_ablate.records import Outcome, RecordStore
from vgg_ablate.runs.plan import build_plan
from vgg_ablate.runs.results_dir import write_study_files

ROOT = Path(__file__).parent.parent
SEEDS = 40
DRIVER = """\
import sys
from pathlib import Path
from vgg_ablate.config.study import load
from vgg_ablate.runs.driver import RunOptions, run
run(load(Path(sys.argv[1])), Path(sys.argv[2]), RunOptions(progress="none")).raise_for_failures()
"""


def write_results(folder: Path, count: int) -> tuple[Path, Path]:
    """Write a study of about `count` runs and a record of each; return the paths of both."""
    path, results = folder / "scale.yaml", folder / "scale"
    lines = [
        "version: 1",
        "name: scale",
        "question: Which learning rate?",
        f"seeds: {SEEDS}",
        "data: {name: digits, image_size: 16}",
        'arch: {stages: "16 16 | 32 32", norm: batch}',
        "train: {epochs: 10, batch_size: 32}",
        "claims:",
        "  - {id: faster, text: a higher rate is better, kind: better, a: r9, b: base}",
        "variants:",
        *(f"  r{index}: {{train.lr: {0.05 + index / 1e4:.4f}}}" for index in range(1, count // SEEDS)),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if (results / "manifest.json").exists():
        return path, results
    study = load(path)
    plan = build_plan(study, sources.compute_data_fingerprint)
    templates = [record for record in RecordStore(ROOT / "results" / "kernels" / "records") if record.tested]
    store = RecordStore(results / "records")
    for cell, template in zip(plan.cells, cycle(templates), strict=False):
        changed = {"key": cell.key, "run": cell.run, "costs": cell.costs, "audited": {}, "outcome": Outcome.FINISHED}
        store.put(template.model_copy(update=changed))
    write_study_files(study, plan.planned, results, trains=True)
    return path, results


def measure_process(arguments: list[str]) -> dict[str, float]:
    """Run Python with these arguments; return its wall time, its CPU time and its peak memory."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)}: status {os.waitstatus_to_exitcode(status)}: {errors}")
    return {
        "wall_s": round(time.perf_counter() - started, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def measure_commands(study: Path, results: Path) -> dict[str, dict[str, float]]:
    """Return the measurements of every command."""
    for path in results.glob("study.db*"):
        path.unlink()
    command, where = ["-m", "vgg_ablate"], [str(study), "--out", str(results)]
    run = [*command, "run", *where, "--progress", "none"]
    return {
        "first fill of the ledger": measure_process(["-c", DRIVER, str(study), str(results)]),
        "run": measure_process(run),
        "run, without its report": measure_process(["-c", DRIVER, str(study), str(results)]),
        "report": measure_process([*command, "report", *where]),
        "plan": measure_process([*command, "plan", *where]),
        "status": measure_process([*command, "status", *where]),
    }


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    figures = measure_commands(*write_results(folder, arguments.records))
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    print(f"{'':28} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}")
    for name, row in figures.items():
        print(f"{name:28} {row['wall_s']:8.2f} {row['cpu_s']:8.2f} {row['peak_mb']:8.0f}")


if __name__ == "__main__":
    main()

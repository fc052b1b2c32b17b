"""Time and memory of `judge` on many runs and claims.

python benchmarks/judge.py --runs 10000 --claims 100 --json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

SEEDS = 50


def write_inputs(folder: Path, runs: int, claims: int) -> None:
    """Write runs.csv, with 50 seeds per variant, and claims.yaml, each claim against the first variant."""
    generator, variants = np.random.default_rng(0), [f"variant-{index}" for index in range(runs // SEEDS)]
    table = pd.DataFrame({"variant": np.repeat(variants, SEEDS), "seed": np.tile(np.arange(SEEDS), len(variants))})
    table.assign(loss=generator.normal(1.0, 0.1, len(table))).to_csv(folder / "runs.csv", index=False)
    lines = ["version: 1", "metric: {name: loss, direction: lower}", "claims:"]
    lines += [
        f"  - {{id: c{index}, text: it is better, kind: better, a: {variants[1 + index % (len(variants) - 1)]}, "
        f"b: {variants[0]}}}"
        for index in range(claims)
    ]
    (folder / "claims.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Run the command once and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000, help="Rows of the CSV file.")
    parser.add_argument("--claims", type=int, default=100, help="Claims to judge.")
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name), options.runs, options.claims)
        started = time.monotonic()
        command = [sys.executable, "-m", "vgg_ablate", "judge", f"{name}/runs.csv", f"{name}/claims.yaml", "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {
        "runs": options.runs,
        "claims": options.claims,
        "wall_seconds": round(seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": round(usage.ru_maxrss / 1024, 1),  # Linux: kibibytes
    }
    print(json.dumps(figures) if options.json else figures)


if __name__ == "__main__":
    main()

"""Measure how many nets per second one core counts, filters and compares for the Pareto front, in three spaces.

    python benchmarks/space.py --json

`per_second` is nets over the CPU time of the whole survey, tables included; `peak_mb` is the process's peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from vgg_ablate.config.study import Study
from vgg_ablate.config.yaml_loader import Document
from vgg_ablate.space.survey import build_space

DEPTHS: dict[str, Any] = {f"arch.stages[{stage}].depth": {"low": 1, "high": 4} for stage in range(5)}
SPACES: dict[str, dict[str, Any]] = {
    "depths and widths": {
        **DEPTHS,
        "arch.width": {"low": 0.125, "high": 1.25, "step": 0.0046875},
        "arch.head.hidden": [[], [64], [512], [512, 512]],
    },
    "channels": {f"arch.stages[{stage}].channels": {"low": 8, "high": 206, "step": 2} for stage in range(1, 4)},
    "everything": {
        **DEPTHS,
        "arch.kernel": [[], 5, 7, "1xn"],
        "arch.norm": ["none", "batch", {"kind": "group", "groups": 8}],
        "arch.pool": ["max", "conv"],
        "arch.width": {"low": 0.125, "high": 1.0, "log": True},
        "arch.head.hidden": [[], [64], [512], [512, 512]],
        "train.lr": [0.1, 0.05],
    },
}
CONSTRAINTS = ["params <= 5e6", "40e6 <= macs <= 60e6", "receptive_field >= 32"]


def build_space_study(space: dict[str, Any]) -> Study:
    """Build a search over the space, on CIFAR-10."""
    design = {"kind": "search", "space": space, "constraints": CONSTRAINTS, "budget": {"variants": 1}}
    arch = {"stages": "64 64 | 64 64 | 128 128 | 256 256 | 256 256", "norm": "batch"}
    data = {"version": 1, "name": "bench", "question": "how many?", "data": {"name": "cifar10"}}
    return Study.from_document(Document({**data, "arch": arch, "design": design}))


def measure_space(space: dict[str, Any]) -> dict[str, Any]:
    """Return the measurements of one space."""
    study = build_space_study(space)
    started = time.process_time()
    survey = build_space(study).survey()
    seconds = time.process_time() - started
    return {
        "nets": survey.seen,
        "meet": survey.meet,
        "front": len(survey.front),
        "seconds": round(seconds, 3),
        "per_second": round(survey.seen / seconds),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Measure every space and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    as_json = parser.parse_args().json
    figures = {name: measure_space(space) for name, space in SPACES.items()}
    if as_json:
        print(json.dumps(figures, indent=1))
        return
    for name, measured in figures.items():
        print(
            f"{name}: {measured['nets']:,} nets, {measured['per_second']:,} per second, peak {measured['peak_mb']} MB"
        )


if __name__ == "__main__":
    main()

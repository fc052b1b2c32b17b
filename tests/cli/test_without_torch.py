"""Commands that read records and runs work where PyTorch is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.external.factories import make_runs, write_claims, write_runs
from tests.report.factories import make_results_folder

ROOT = Path(__file__).parents[2]
# All commands in one process, since most of its time goes to imports.
SCRIPT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "fvcore", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from vgg_ablate.cli import main
for command in sys.stdin.read().splitlines():
    sys.argv[1:] = command.split()
    try:
        main()
    except SystemExit as end:
        print(command, "->", end.code or 0)
"""
COMMANDS = (
    "judge runs.csv claims.yaml --out judged",
    "report results/pretend",
    "claims --results results",
    "site results --out site",
)


def test_judge_report_claims_and_site_need_no_torch(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs.csv", make_runs())
    write_claims(tmp_path / "claims.yaml")
    make_results_folder(tmp_path / "results" / "pretend")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="\n".join(COMMANDS),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    endings = [line for line in done.stdout.splitlines() if " -> " in line]
    assert endings == [f"{command} -> 0" for command in COMMANDS], done.stderr
    pages = ("judged/report.html", "results/pretend/report.html", "site/index.html", "site/paper.html")
    assert all((tmp_path / page).is_file() for page in (*pages, "results/paper/claims.md"))

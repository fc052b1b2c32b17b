"""`run` and the commands after it, as a user types them, on one small study that is really trained."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vgg_ablate.cli import app
from vgg_ablate.config.study import Study
from vgg_ablate.errors import SpecError, StudyLockedError
from vgg_ablate.runs import driver

ROOT = Path(__file__).parent.parent.parent
PROCESSES = Path("/proc")
STUDY = """\
version: 1
name: tiny
question: Does normalisation change a tiny net?
seeds: 3
data: {name: digits, image_size: 8, limit: 600}
arch: {stages: "8 | 16"}
train: {epochs: 8, lr: 0.1, batch_size: 32, precision: fp32}
variants:
  normalised: {arch.norm: batch}
claims:
  - {id: different, text: it differs, kind: different, a: normalised, b: base, metric: test_error, margin: 1}
  - {id: cheaper, text: it has fewer weights, kind: worse, a: normalised, b: base, metric: params}
"""


def vgg_ablate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a folder."""
    command = [sys.executable, "-m", "vgg_ablate", *arguments]
    return subprocess.run(command, cwd=folder, env=build_environment(), capture_output=True, text=True, check=False)


def build_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


@pytest.fixture(scope="module")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(STUDY)
    return folder, vgg_ablate(folder, "run", "tiny.yaml", "--workers", "1", "--device", "cpu")


def test_a_study_ends_with_a_table_and_verdicts(finished_study: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, result = finished_study
    assert result.returncode == 0, result.stderr
    assert "normalised" in result.stdout
    assert "supported" in result.stdout  # `cheaper`: exact, by the costs
    assert len(list((folder / "results/tiny/records").glob("*.json"))) == 6
    records = [json.loads(path.read_text()) for path in (folder / "results/tiny/records").glob("*.json")]
    assert min(record["environment"]["peak_bytes"] for record in records) > 100 << 20  # torch alone takes more
    for name in ("study.yaml", "manifest.json", "runs.csv", "report.md"):
        assert (folder / "results/tiny" / name).stat().st_size > 0


def test_horizons_are_trained_up_to_a_level_and_the_rest_is_reported(tmp_path: Path) -> None:
    header, _ = STUDY.split("variants:")
    text = header.replace("{epochs: 8, ", "{").replace("seeds: 3", "seeds: 1\nhorizons: {train.epochs: [1, 2]}")
    (tmp_path / "tiny.yaml").write_text(text)
    first = vgg_ablate(tmp_path, "run", "tiny.yaml", "--workers", "1", "--device", "cpu", "--until", "1")
    assert first.returncode == 0, first.stderr
    assert "left for later: 1 run at train.epochs 2 (run without --until)" in first.stderr.splitlines()
    assert len(list((tmp_path / "results/tiny/records").glob("*.json"))) == 1
    refused = vgg_ablate(tmp_path, "run", "tiny.yaml", "--until", "0")
    assert refused.returncode == 2
    assert "command line: --until: the levels of train.epochs are 1, 2, got 0" in refused.stderr
    assert json.loads(vgg_ablate(tmp_path, "status", "tiny.yaml", "--json").stdout)["missing"] == 1


def test_running_it_again_trains_nothing(finished_study: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, first = finished_study
    records = folder / "results/tiny/records"
    before = {path.name: path.stat().st_mtime_ns for path in records.iterdir()}
    again = vgg_ablate(folder, "run", "tiny.yaml", "--json")
    assert again.returncode == 0, again.stderr
    assert "results/tiny: everything is recorded (6 runs); nothing was trained; to train it here" in again.stderr
    assert "everything is recorded" not in first.stderr
    assert {path.name: path.stat().st_mtime_ns for path in records.iterdir()} == before
    document = json.loads(again.stdout)
    assert {row["name"]: row["n"] for row in document["variants"]} == {"base": 3, "normalised": 3}
    assert {claim["id"]: claim["verdict"] for claim in document["claims"]}["cheaper"] == "supported"


def test_the_report_is_checked_against_the_records(
    finished_study: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = finished_study
    assert vgg_ablate(folder, "report", "tiny.yaml", "--check").returncode == 0
    csv = folder / "results/tiny/runs.csv"
    kept = csv.read_text()
    csv.write_text(kept.replace("finished", "diverged", 1))
    stderr = vgg_ablate(folder, "report", "results/tiny", "--check")
    csv.write_text(kept)
    assert stderr.returncode == 1
    assert "runs.csv" in stderr.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["run", "none.yaml"], 2, "none.yaml: cannot be read: No such file or directory"),
        (["run", "tiny.yaml", "arch.norm=bach"], 2, "command line: arch.norm: must be one of none, batch, group, lrn"),
        (["run", "tiny.yaml", "data.name=digitz"], 2, "command line: data.name: unknown data set"),
        (["check", "tiny.yaml", "arch.stages=4 | 4 | 4 | 4 | 4"], 2, "arch"),
        (["run", "tiny.yaml", "data.name=mnist", "data.root=/nowhere"], 4, "/nowhere"),
        (["run", "tiny.yaml", "--out", "tiny.yaml/results"], 4, "tiny.yaml/results"),
        (["run", "tiny.yaml", "--device", "cuda:99"], 4, "cuda:99"),
        (["run", "tiny.yaml", "--wrokers", "2"], 2, "Error: No such option: --wrokers"),
        (["report", "nowhere.yaml"], 2, "nowhere.yaml: cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_status(tmp_path: Path, arguments: list[str], status: int, line: str) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    result = vgg_ablate(tmp_path, *arguments)
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    assert line in result.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "results/tiny/records").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_worker_and_prints_how_to_continue(
    finished_study: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path, number: signal.Signals
) -> None:
    folder = shutil.copytree(finished_study[0], tmp_path / "study")
    endless = STUDY.replace("claims:", "  endless: {train.epochs: 100000}\nclaims:")
    (folder / "tiny.yaml").write_text(endless)
    command = [sys.executable, "-m", "vgg_ablate", "run", "tiny.yaml", "--workers", "1", "--device", "cpu"]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts tests in the background ignores it
    with subprocess.Popen(command, cwd=folder, env=build_environment(), stderr=subprocess.PIPE, text=True) as driver:
        while not list(folder.glob("results/tiny/checkpoints/*")):
            assert driver.poll() is None
            time.sleep(0.05)
        assert list_workers(driver.pid)
        driver.send_signal(number)
        _, stderr = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert stderr.splitlines()[-1] == "interrupted; run again to continue: 6 of 9 runs recorded"
    assert "Traceback" not in stderr
    assert list_workers(driver.pid) == []


def list_workers(driver: int) -> list[str]:
    """Return the command lines of the worker processes that a driver has started."""
    lines = []
    for path in PROCESSES.glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            line = path.read_bytes().decode(errors="replace").split("\0")[:-1]
            if line[1:3] == ["-m", "vgg_ablate.runs.workers.worker"] and line[-1] == str(driver):
                lines.append(" ".join(line))
    return lines


def test_help_imports_neither_torch_nor_pandas() -> None:
    code = """import sys
from vgg_ablate.cli import main
sys.argv = ['vgg_ablate', 'check', '--help']
try:
    main()
except SystemExit:
    print('torch' in sys.modules, 'pandas' in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.endswith("False False\n")


@pytest.mark.parametrize(
    ("old", "new"), [(["--packing", "3"], ["--runs-per-gpu", "3"]), (["--silence", "7"], ["--heartbeat-timeout", "7"])]
)
def test_the_former_names_of_two_options_still_work_and_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: list[str], new: list[str]
) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    received: list[driver.RunOptions] = []

    def record_options(study: Study, folder: Path, options: driver.RunOptions) -> None:
        received.append(options)
        raise StudyLockedError("stop here: nothing is to be trained")

    monkeypatch.setattr(driver, "run", record_options)
    for option in ([], old, new):
        command = ["run", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "out"), *option]
        assert isinstance(CliRunner().invoke(app, command).exception, StudyLockedError)
    default, by_old_name, by_new_name = received
    assert by_old_name == by_new_name != default
    shown = CliRunner().invoke(app, ["run", "--help"]).output
    assert new[0] in shown
    assert old[0] not in shown


def test_the_former_name_of_an_option_of_plan_still_works(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    results = [
        CliRunner().invoke(app, ["plan", str(tmp_path / "tiny.yaml"), "--no-probe", name, value])
        for name in ("--packing", "--runs-per-gpu")
        for value in ("0", "2")
    ]
    assert [type(result.exception) for result in results] == [SpecError, type(None)] * 2
    assert results[1].output == results[3].output

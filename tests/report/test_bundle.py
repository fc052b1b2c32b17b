"""The bundle of a study can be checked by its reader, and its methods say what the records say."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.report.factories import STUDY, make_results_folder
from vgg_ablate.analysis import summary
from vgg_ablate.cli.bundle import bundle
from vgg_ablate.errors import CheckFailedError
from vgg_ablate.report import write
from vgg_ablate.report.bundle import write_bundle
from vgg_ablate.report.methods_text import render_methods

PLANNED = 15  # three variants on five seeds


def test_an_unpacked_bundle_passes_its_own_check(tmp_path: Path) -> None:
    report = write.write_report(make_results_folder(tmp_path / "pretend"))
    count = write_bundle(report, tmp_path / "pretend.zip")
    with zipfile.ZipFile(tmp_path / "pretend.zip") as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "unpacked")
    folder = tmp_path / "unpacked" / "pretend"
    assert len(names) == count
    assert len(list((folder / "records").iterdir())) == PLANNED
    command = [sys.executable, "-m", "vgg_ablate", "report", "--check", "pretend"]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "pretend: the report matches the records\n"), done.stderr
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    written = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert sums == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in written.items() if name != "SHA256SUMS"
    }
    assert report.study.question in (folder / "README.md").read_text(encoding="utf-8")
    assert f"Python {sys.version_info[0]}." in (folder / "environment.txt").read_text(encoding="utf-8")


def test_the_same_results_give_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = write.write_report(make_results_folder(tmp_path / "pretend"))
    write_bundle(report, tmp_path / "one.zip")
    for word in ("written", "replaced"):
        bundle(report.folder, to=tmp_path / "two.zip")
        assert re.fullmatch(rf"{word}: .*two\.zip, \d+ files, \d+ KiB\n", capsys.readouterr().out)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_report_that_is_older_than_its_records_is_not_bundled(tmp_path: Path) -> None:
    report = write.write_report(make_results_folder(tmp_path / "pretend"))
    (report.folder / "runs.csv").write_text("variant\n", encoding="utf-8")
    with pytest.raises(CheckFailedError, match="write the report first"):
        write_bundle(report, tmp_path / "pretend.zip")
    assert not (tmp_path / "pretend.zip").exists()


def test_the_methods_name_data_seeds_tests_and_compute(tmp_path: Path) -> None:
    report = summary.load_report(make_results_folder(tmp_path / "pretend"))
    methods = render_methods(report)
    assert "Every variant was trained on the seeds 0 to 4." in methods
    assert "by a paired t-test" in methods
    assert "registered" not in methods
    assert f"{PLANNED} of {PLANNED} planned runs finished. " in methods
    assert methods.count("\n- **") == 5
    more = STUDY.replace("name: pretend", "name: more\nregistered: 2026-11-25\nsmallest_effect: 0.5")
    more = more.replace("seeds: 5", "seeds: {looks: [3, 5]}")
    looked = render_methods(summary.load_report(make_results_folder(tmp_path / "more", text=more)))
    assert "after 3, 5 seeds, with levels that account for all looks" in looked
    assert "Differences below 0.5 percentage points were declared not to matter." in looked


def test_figures_are_written_as_pdf_that_is_the_same_every_time(tmp_path: Path) -> None:
    report = write.write_report(make_results_folder(tmp_path / "pretend"))
    paths = write.write_pdf_figures(report)
    assert {path.stem for path in paths} == {path.stem for path in (report.folder / "figures").glob("*.svg")}
    first = [path.read_bytes() for path in paths]
    assert all(content.startswith(b"%PDF-") for content in first)
    assert [path.read_bytes() for path in write.write_pdf_figures(report)] == first

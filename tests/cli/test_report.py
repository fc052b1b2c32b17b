"""`report` and `verify` on the command line: output, errors and exit status."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.report.factories import STUDY, make_results_folder
from vgg_ablate import cli
from vgg_ablate.errors import MAX_PROBLEMS
from vgg_ablate.manifest import Manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_results_folder(tmp_path / "pretend")


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run a command line and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["vgg_ablate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_a_report_prints_tables_and_its_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, "report", folder) == 0
    shown = capsys.readouterr()
    assert "Claims: test errors of both sides in percent" in shown.out
    assert str(folder) in shown.err


def test_every_figure_is_also_a_pdf_with_its_fonts_on_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_command(monkeypatch, "report", folder, "--pdf") == 0
    drawings = sorted(folder.glob("figures/*.svg"))
    assert drawings
    for drawing in drawings:
        pdf = drawing.with_suffix(".pdf").read_bytes()
        assert b"/FontFile2" in pdf  # an embedded TrueType font
        assert b"/Type3" not in pdf


def test_json_is_one_document_on_stdout(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, "report", folder, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["claims"]) == 3


def test_a_folder_that_cannot_be_written_is_reported_as_json(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "report.md").mkdir()  # not by permissions, which root ignores
    assert run_command(monkeypatch, "report", folder, "--json") == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["claims"]) == 3
    assert shown.err == f"not written: {folder / 'report.md'}: Is a directory\n"
    assert run_command(monkeypatch, "report", folder) == 4
    assert capsys.readouterr().err == f"{folder / 'report.md'}: Is a directory\n"


def test_a_terminal_without_utf_8_gets_escapes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert run_command(monkeypatch, "report", folder) == 0
    sys.stdout.flush()
    assert rb"\xd7" in shown.getvalue()  # the multiplication sign, in plain letters


def test_a_failed_check_ends_with_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, "report", folder, "--check") == 1
    assert f"{folder / 'report.md'}: file not found" in capsys.readouterr().err


def test_problems_end_a_report_with_1_after_writing_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = folder / "records" / f"{Manifest.read(folder).planned[0].key}.json"
    torn.write_text("{", encoding="utf-8")
    assert run_command(monkeypatch, "report", folder) == 1
    assert f"records/{torn.name}: the file: " in capsys.readouterr().err
    assert (folder / "report.md").exists()


def test_of_many_problems_the_first_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_results_folder(tmp_path / "many", text=STUDY.replace("seeds: 5", "seeds: 30"))
    for planned in Manifest.read(folder).planned[: MAX_PROBLEMS + 7]:
        (folder / "records" / f"{planned.key}.json").write_text("{", encoding="utf-8")
    assert run_command(monkeypatch, "report", folder) == 1
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("records/") for line in lines) == MAX_PROBLEMS
    assert lines[-1] == "and 7 more problems"


@pytest.mark.parametrize("arguments", [("report",), ("verify",)])
def test_a_folder_without_a_study_ends_with_4(
    tmp_path: Path, arguments: tuple[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, *arguments, tmp_path) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_two_results_are_printed_side_by_side(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = STUDY.replace("epochs: 2", "epochs: 3").replace("name: pretend", "name: longer")
    assert run_command(monkeypatch, "report", folder, make_results_folder(folder.parent / "longer", text=longer)) == 0
    shown = capsys.readouterr().out
    assert "pretend" in shown
    assert "train.epochs: pretend 2; longer 3" in shown


def test_problems_of_either_end_a_comparison_with_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_results_folder(folder.parent / "other", text=STUDY.replace("name: pretend", "name: other"))
    torn = other / "records" / f"{Manifest.read(other).planned[0].key}.json"
    torn.write_text("{", encoding="utf-8")
    assert run_command(monkeypatch, "report", folder, other) == 1
    shown = capsys.readouterr()
    assert f"{other}: records/{torn.name}: the file: " in shown.err
    assert "Claims and verdicts" in shown.out


def test_verifying_a_run_without_a_record_ends_with_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, "verify", folder, "six/0") == 2
    assert "no such recorded run; a run is VARIANT/SEED, got 'six/0'" in capsys.readouterr().err

"""The files of a results folder describe the study that was run, and what was registered before the first record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import build_fake_plan, run_in_process
from vgg_ablate.analysis.summary import load_report
from vgg_ablate.config.study import load
from vgg_ablate.errors import StorageError
from vgg_ablate.manifest import Manifest
from vgg_ablate.report import markdown
from vgg_ablate.runs.leases import hold_study_lock
from vgg_ablate.runs.results_dir import write_study_files

STUDY = """\
version: 1
name: asked
question: is it registered?
registered: 2026-11-25
seeds: 3
data: {name: digits, limit: 1}
arch: {stages: "8 8 | 8"}
train: {epochs: 1}
variants:
  v0: {train.lr: 0.1}
claims:
  - {id: one, text: t, kind: better, a: v0, b: base}
"""


def run(folder: Path, text: str = STUDY) -> int:
    """Run a study and return the number of runs that were trained."""
    (folder / "asked.yaml").write_text(text, encoding="utf-8")
    finished = run_in_process(build_fake_plan(load(folder / "asked.yaml")), folder / "results")
    assert finished.is_complete
    return finished.trained


def read_provenance(folder: Path) -> dict[str, Any]:
    return Manifest.read(folder / "results").provenance


def list_registration_notes(folder: Path) -> list[str]:
    """Return the notes of the report that concern the registration."""
    notes = markdown.build_notes(load_report(folder / "results"))
    return [note for note in notes if note.startswith(("Registered", "Changed"))]


def test_the_manifest_names_a_folder_of_another_place_than_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path)
    assert read_provenance(tmp_path)["folder"] == (tmp_path / "results").as_posix()
    monkeypatch.chdir(tmp_path)
    study = load("asked.yaml")
    for folder, name in (("results/asked", None), ("elsewhere/asked", "elsewhere/asked")):
        write_study_files(study, (), Path(folder), trains=True)
        assert Manifest.read(Path(folder)).provenance.get("folder") == name


def test_claims_that_are_edited_or_added_after_everything_is_recorded_are_judged(tmp_path: Path) -> None:
    assert run(tmp_path) == 6
    edited = STUDY.replace("kind: better", "kind: different, margin: 1")
    edited += "  - {id: two, text: u, kind: worse, a: v0, b: base}\n"
    assert run(tmp_path, edited) == 0
    verdicts = load_report(tmp_path / "results").verdicts
    assert [(verdict.claim.id, verdict.claim.kind, verdict.claim.margin) for verdict in verdicts] == [
        ("one", "different", 1), ("two", "worse", 0)
    ]  # fmt: skip
    assert len(read_provenance(tmp_path)["history"]) == 2
    assert run(tmp_path, edited) == 0
    assert len(read_provenance(tmp_path)["history"]) == 2


@pytest.mark.parametrize("torn", [None, b"", b"version: 1\nname: as", b"\xff\xfe\x00", b"claims: [\n"])
def test_a_lost_or_torn_study_is_written_again(tmp_path: Path, torn: bytes | None) -> None:
    run(tmp_path)
    path = tmp_path / "results" / "study.yaml"
    whole = path.read_bytes()
    path.unlink() if torn is None else path.write_bytes(torn)
    with pytest.raises(StorageError):
        load_report(tmp_path / "results")
    assert run(tmp_path) == 0
    assert path.read_bytes() == whole
    assert load_report(tmp_path / "results").problems == ()


def test_the_registration_is_written_before_the_first_training_and_stays(tmp_path: Path) -> None:
    run(tmp_path)
    registration = read_provenance(tmp_path)["registration"]
    assert registration["date"] == "2026-11-25"
    assert registration["recorded"] == 0
    assert registration["registered_at"] == read_provenance(tmp_path)["history"][0]["at"]
    assert registration["hash"] == read_provenance(tmp_path)["history"][0]["deciding"]
    (note,) = list_registration_notes(tmp_path)
    assert note.endswith("before the first record; no part that decides claims has changed since.")

    assert run(tmp_path, STUDY.replace("text: t", "text: other words")) == 0
    assert read_provenance(tmp_path)["registration"] == registration
    assert list_registration_notes(tmp_path) == [note]


def test_a_change_after_the_first_record_is_named_with_its_time(tmp_path: Path) -> None:
    run(tmp_path)
    registration = read_provenance(tmp_path)["registration"]
    changed = STUDY.replace("kind: better", "kind: better, margin: 2")
    run(tmp_path, changed)
    run(tmp_path, changed.replace("seeds: 3", "seeds: 4").replace("2026-11-25", "2026-12-01"))
    history = read_provenance(tmp_path)["history"]
    assert read_provenance(tmp_path)["registration"] == registration
    assert [entry["changed"] for entry in history] == [
        [], ["claims[one].margin"], ["registered", "claims[one].margin", "seeds"]
    ]  # fmt: skip
    note, *more = list_registration_notes(tmp_path)
    assert note.endswith("; parts that decide claims have changed since.")
    text = " ".join(more)
    for path in ("claims[one].margin", "seeds", "registered"):
        assert path in text
    assert history[1]["at"] in text
    run(tmp_path)  # as it was
    (note,) = list_registration_notes(tmp_path)
    assert note.endswith("no part that decides claims has changed since.")


def test_a_study_may_be_changed_until_its_first_record(tmp_path: Path) -> None:
    from vgg_ablate.runs.results_dir import write_study_files

    for text in (STUDY, STUDY.replace("kind: better", "kind: worse")):
        (tmp_path / "asked.yaml").write_text(text, encoding="utf-8")
        plan = build_fake_plan(load(tmp_path / "asked.yaml"))
        with hold_study_lock(tmp_path / "results"):
            write_study_files(plan.study, plan.planned, tmp_path / "results", trains=True)
    last = read_provenance(tmp_path)["history"][-1]
    assert last["changed"] == []
    assert read_provenance(tmp_path)["registration"]["hash"] == last["deciding"]


def test_a_registration_after_records_reports_their_number(tmp_path: Path) -> None:
    run(tmp_path, STUDY.replace("registered: 2026-11-25\n", ""))
    assert "registration" not in read_provenance(tmp_path)
    assert list_registration_notes(tmp_path) == []
    run(tmp_path)
    (note,) = list_registration_notes(tmp_path)
    assert "after 6 recorded runs; no part" in note


@pytest.mark.parametrize("registration", [3, {}, {"date": "a", "hash": "b", "registered_at": "c", "deciding": []}])
def test_a_registration_that_was_damaged_is_named(tmp_path: Path, registration: Any) -> None:
    run(tmp_path)
    manifest = Manifest.read(tmp_path / "results")
    known = {**manifest.provenance, "registration": registration}
    manifest.model_copy(update={"provenance": known}).write(tmp_path / "results")
    with pytest.raises(StorageError, match=r"manifest\.json: provenance: registration must "):
        load_report(tmp_path / "results")


def test_a_results_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("a file")
    with pytest.raises(StorageError, match=rf"^{path}: is a file; --out takes a folder$"), hold_study_lock(path):
        pass

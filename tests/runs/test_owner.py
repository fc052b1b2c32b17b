"""A results folder belongs to one study file; another file is refused before the first write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.runs.harness import build_fake_plan, make_study, run_in_process
from vgg_ablate.config.study import load
from vgg_ablate.errors import SpecError


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the files that a second study must not change."""
    kept = [folder / "study.yaml", folder / "manifest.json", *(folder / "records").iterdir()]
    return {path.name: path.read_bytes() for path in kept}


def test_another_study_with_the_same_out_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path, name="first")), folder)
    before = read_files(folder)
    with pytest.raises(SpecError, match=r"holds the results of study 'first'; give the study another name.*'second'"):
        run_in_process(build_fake_plan(make_study(tmp_path, name="second", variants=1)), folder)
    assert read_files(folder) == before


def test_a_copy_with_the_same_name_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path, name="first")), folder)
    before = read_files(folder)
    copy = tmp_path / "copy.yaml"
    copy.write_text((tmp_path / "first.yaml").read_text().replace("epochs: 2", "epochs: 3"))
    with pytest.raises(SpecError, match=r"holds the results of .*first\.yaml, which has the same name") as caught:
        run_in_process(build_fake_plan(load(copy)), folder)
    assert caught.value.problems[0].location == f"{copy}:2:1"
    assert read_files(folder) == before


def test_a_file_that_was_moved_or_edited_and_the_saved_copy_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path, name="first")), folder)
    assert run_in_process(build_fake_plan(load(folder / "study.yaml")), folder).trained == 0
    assert run_in_process(build_fake_plan(make_study(tmp_path, name="first", variants=3)), folder).trained == 3
    shutil.move(tmp_path / "first.yaml", tmp_path / "moved.yaml")
    assert run_in_process(build_fake_plan(load(tmp_path / "moved.yaml")), folder).trained == 0

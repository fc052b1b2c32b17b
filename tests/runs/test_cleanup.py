"""`clean` removes nothing that a study, a search or a worker may still need."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.chaos import DriverProcess, wait_until
from tests.runs.harness import OPTIONS, build_fake_plan, make_study, read_record_contents, run_in_process
from tests.runs.test_search import TEXT, searched
from vgg_ablate.errors import StudyLockedError
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.cleanup import delete_finished_checkpoints, find_orphans, remove_orphans
from vgg_ablate.runs.leases import hold_study_lock
from vgg_ablate.runs.ledger.ledger import open_study_ledger


def run_clean(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vgg_ablate", "clean", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def make_outdated_folder(folder: Path) -> Path:
    """Return a results folder with three records of a variant that its study no longer has."""
    run_in_process(build_fake_plan(make_study(folder.parent, variants=2)), folder)
    run_in_process(build_fake_plan(make_study(folder.parent, variants=1)), folder)
    for path in (folder / "records").glob("*.json"):
        os.utime(path, (0, 0))
    return folder


def test_records_of_an_older_plan_are_set_aside_and_can_be_taken_back(tmp_path: Path) -> None:
    folder = make_outdated_folder(tmp_path / "results")
    planned_keys = {cell.key for cell in Manifest.read(folder).planned}
    store, before = RecordStore(folder / "records"), read_record_contents(folder)
    unplanned = store.keys() - planned_keys
    assert len(unplanned) == 3
    refused = run_clean(folder)
    assert (refused.returncode, len(store.keys())) == (2, 9)
    assert "pass --yes to confirm" in refused.stderr

    done = run_clean(folder, "--yes")
    assert done.returncode == 0
    assert store.keys() == planned_keys
    assert f"mv {folder}/records/aside/KEY.0.json {folder}/records/KEY.json" in done.stdout
    for key in unplanned:
        (folder / "records" / "aside" / f"{key}.0.json").rename(store.get_path(key))
    assert read_record_contents(folder) == before


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    folder = make_outdated_folder(tmp_path / "results")
    done = run_clean(folder, "--dry-run")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    assert len(RecordStore(folder / "records").keys()) == 9


def test_a_record_younger_than_the_manifest_stays(tmp_path: Path) -> None:
    folder = make_outdated_folder(tmp_path / "results")
    (key, *_) = sorted(RecordStore(folder / "records").keys() - {cell.key for cell in Manifest.read(folder).planned})
    later = (folder / "manifest.json").stat().st_mtime + 1
    os.utime(RecordStore(folder / "records").get_path(key), (later, later))
    assert key not in find_orphans(folder).records
    assert len(find_orphans(folder).records) == 2


def test_a_record_that_a_neighbour_plans_stays(tmp_path: Path) -> None:
    folder = make_outdated_folder(tmp_path / "results")
    run_in_process(build_fake_plan(make_study(tmp_path, name="neighbour", variants=2)), tmp_path / "neighbour")
    assert find_orphans(folder).records == ()


def test_what_was_set_aside_is_deleted_only_on_request(tmp_path: Path) -> None:
    folder = make_outdated_folder(tmp_path / "results")
    list(remove_orphans(find_orphans(folder)))
    assert find_orphans(folder).paths == ()
    assert len(list(remove_orphans(find_orphans(folder, aside=True)))) == 3
    assert list((folder / "records" / "aside").iterdir()) == []


def test_a_temporary_file_of_this_moment_stays(tmp_path: Path) -> None:
    folder = make_outdated_folder(tmp_path / "results")
    fresh, old = folder / "records" / ".a.aside", folder / "records" / ".b.aside"
    fresh.write_text("")
    old.write_text("")
    os.utime(old, (0, 0))
    assert find_orphans(folder).files == (old,)


def test_it_refuses_while_a_run_holds_the_folder(tmp_path: Path) -> None:
    folder = make_outdated_folder(tmp_path / "results")
    with hold_study_lock(folder):
        done = run_clean(folder, "--yes")
    assert done.returncode == StudyLockedError.exit_status
    assert "is running this study" in done.stderr
    assert len(RecordStore(folder / "records").keys()) == 9


@pytest.mark.timeout(300)
def test_a_search_that_was_killed_keeps_its_records(tmp_path: Path) -> None:
    text = TEXT.replace("variants: 8", "variants: 40").replace("limit: 1", "limit: 30")
    plan, folder = searched(tmp_path, "", text), tmp_path / "results"
    driver = DriverProcess(plan, folder, replace(OPTIONS, workers=2))
    store = RecordStore(folder / "records")
    wait_until(lambda: len(store.keys()) >= 10)
    assert run_clean(folder, "--yes").returncode == StudyLockedError.exit_status
    os.kill(driver.pid, 9)
    driver.join()
    before = read_record_contents(folder)
    with closing(open_study_ledger(plan.study, folder)) as ledger:
        known = ledger.list_keys() & store.keys()
    assert len(known) >= 8
    for key in known:
        os.utime(store.get_path(key), (0, 0))  # older than the manifest: the ledger alone protects them
    run_clean(folder, "--yes")
    assert read_record_contents(folder) == before
    assert run_in_process(plan, folder).is_complete


def test_the_next_start_deletes_the_checkpoint_of_a_worker_killed_after_its_last_record(tmp_path: Path) -> None:
    folder, plan = tmp_path / "results", build_fake_plan(make_study(tmp_path, variants=1))
    run_in_process(plan, folder)
    finished, missing = (cell.run.training_key for cell in plan.cells[:2])
    for name in (finished, missing, "unknown"):
        (folder / "checkpoints" / name).write_text("1")
    RecordStore(folder / "records").get_path(plan.cells[1].key).unlink()
    delete_finished_checkpoints(folder)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {missing, "unknown"}
    run_in_process(plan, folder)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"unknown"}
    (folder / "checkpoints" / finished).write_text("1")
    run_in_process(plan, folder)  # nothing to train
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"unknown"}

"""The driver trains every planned run once, records it, and mirrors it to the ledger."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests import fake_training
from tests.runs.harness import (
    OPTIONS,
    build_fake_plan,
    list_trained_epochs,
    make_study,
    read_events,
    read_record_contents,
    run_in_process,
)
from vgg_ablate.errors import EnvironmentFailedError, StorageError, StudyLockedError
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import Outcome, RecordStore
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.estimate import cost
from vgg_ablate.runs.leases import hold_study_lock, read_lock_holder
from vgg_ablate.runs.ledger.ledger import Ledger
from vgg_ablate.runs.ledger.storage import build_default_url, is_remote
from vgg_ablate.runs.progress.eta import Forecast
from vgg_ablate.runs.progress.events import EventWriter
from vgg_ablate.runs.progress.views import ProgressState
from vgg_ablate.runs.rebuild import rebuild_ledger
from vgg_ablate.runs.resources.slots import build_slots
from vgg_ablate.runs.status import compute_status


def read_mirrored_trials(folder: Path) -> dict[str, str]:
    """Return the state per run key of the trials in the ledger."""
    with closing(Ledger.open("asked", build_default_url(folder))) as ledger:
        return ledger.read_outcomes()


def test_every_planned_run_has_one_record_and_running_again_trains_nothing(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path)), tmp_path / "results"
    first = run_plan(plan, folder, OPTIONS)
    assert (first.asked, first.recorded, first.trained, first.is_complete) == (9, 0, 9, True)
    assert RecordStore(folder / "records").keys() == {cell.key for cell in plan.cells}
    trained = list_trained_epochs(folder)
    assert sorted(trained) == sorted((cell.key, epoch) for cell in plan.cells for epoch in (1, 2))

    manifest = (folder / "manifest.json").read_bytes()
    second = run_plan(plan, folder, OPTIONS)
    assert (second.recorded, second.trained, second.is_complete) == (9, 0, True)
    assert list_trained_epochs(folder) == trained
    assert (folder / "manifest.json").read_bytes() == manifest


def test_more_seeds_and_variants_train_only_what_is_new(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path, variants=1, seeds=2)), folder)
    before = set(list_trained_epochs(folder))
    wider = build_fake_plan(make_study(tmp_path, variants=2, seeds=3))
    finished = run_in_process(wider, folder)
    assert (finished.recorded, finished.trained) == (4, 5)
    assert len(list_trained_epochs(folder)) == 2 * 9
    assert before <= set(list_trained_epochs(folder))
    assert len(Manifest.read(folder).provenance["history"]) == 2
    assert len(read_mirrored_trials(folder)) == 9


def test_the_order_is_seed_major_and_the_longest_first(tmp_path: Path) -> None:
    asked = make_study(tmp_path, variants=0, more="  long: {arch.stages: '8 8 8 8 8 | 8'}\n")
    assert [cell.title for cell in build_fake_plan(asked).cells] == [
        "long/0",
        "base/0",
        "long/1",
        "base/1",
        "long/2",
        "base/2",
    ]


def test_records_of_a_sibling_study_are_linked_in(tmp_path: Path) -> None:
    sibling = build_fake_plan(make_study(tmp_path, name="one", variants=1))
    run_in_process(sibling, tmp_path / "results" / "one")
    two = build_fake_plan(make_study(tmp_path, name="two", variants=2))
    priced = cost.estimate_study_cost(
        two, RecordStore(tmp_path / "results" / "two" / "records"), [], build_slots("cpu", 1)
    )
    assert (priced.adopted, [price.missing for price in priced.variants]) == (6, [0, 0, 3])
    finished = run_in_process(two, tmp_path / "results" / "two")
    assert (finished.reused, finished.trained, finished.is_complete) == (6, 3, True)


def test_a_lost_ledger_is_made_again_from_the_records(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path)), tmp_path / "results"
    run_in_process(plan, folder)
    for path in folder.glob("study.db*"):
        path.unlink()
    assert run_in_process(plan, folder).trained == 0
    assert len(read_mirrored_trials(folder)) == 9


def test_a_damaged_ledger_is_reported_moved_aside_and_made_again(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path)), tmp_path / "results"
    run_in_process(plan, folder)
    (folder / "study.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(StorageError, match=r"study\.db: .*moved to study\.db\.damaged: run again"):
        run_in_process(plan, folder)
    assert run_in_process(plan, folder).trained == 0
    assert len(read_mirrored_trials(folder)) == 9


@pytest.mark.parametrize(
    ("lr", "outcome", "reason"),
    [
        (150, Outcome.DIVERGED, "loss nan in epoch 1"),
        (250, Outcome.OUT_OF_MEMORY, "cpu: out of memory in epoch 1"),
        (350, Outcome.FAILED, r"ValueError: a label that is no label (fake_training.py:"),
    ],
)
def test_failures_have_names_and_the_others_go_on(tmp_path: Path, lr: int, outcome: Outcome, reason: str) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path, more=f"  bad: {{train.lr: {lr}}}\n")), tmp_path / "results"
    run = run_plan if outcome is Outcome.FAILED else run_in_process  # a bug ends the process that trains
    finished = run(plan, folder, OPTIONS)
    assert finished.outcomes == {"finished": 9, str(outcome): 3}
    assert not finished.is_complete
    bad = [RecordStore(folder / "records").get(cell.key) for cell in plan.cells if cell.variant == "bad"]
    assert {record.outcome for record in bad} == {outcome}
    assert all(record.reason.startswith(reason) for record in bad)
    if outcome is Outcome.FAILED:
        assert "Traceback" in "".join(path.read_text() for path in (folder / "logs").iterdir())

    again = run_in_process(plan, folder)
    assert (again.trained, again.outcomes) == (0, finished.outcomes)
    retried = run(plan, folder, replace(OPTIONS, retry=frozenset({outcome})))
    assert (retried.recorded, retried.trained, retried.outcomes) == (9, 3, finished.outcomes)


def test_on_error_stop_hands_out_nothing_after_a_failure(tmp_path: Path) -> None:
    asked = make_study(tmp_path, seeds=20, more="  bad: {train.lr: 150, train.epochs: 9}\non_error: stop\n")
    finished = run_plan(build_fake_plan(asked), tmp_path / "results", replace(OPTIONS, workers=1))
    assert finished.outcomes == {"diverged": 1}


def test_a_run_that_kills_its_worker_every_time_is_given_up_and_the_others_are_not(tmp_path: Path) -> None:
    plan = build_fake_plan(make_study(tmp_path, seeds=1, more="  deadly: {train.lr: 500}\n"))
    finished = run_plan(plan, tmp_path / "results", OPTIONS)
    assert (finished.lost, finished.outcomes) == (("deadly/0",), {"finished": 3})


def test_a_second_driver_names_the_process_that_holds_the_study(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path)), tmp_path / "results"
    with hold_study_lock(folder):
        with pytest.raises(StudyLockedError, match=rf"process {os.getpid()} on .*, since 20.*\+00:00, is running"):
            run_in_process(plan, folder)
        assert str(os.getpid()) in str(read_lock_holder(folder))
    assert read_lock_holder(folder) is None
    assert run_in_process(plan, folder).is_complete


def test_the_lock_of_a_dead_driver_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import os, pathlib; from vgg_ablate.runs.leases import hold_study_lock\n"
        f"with hold_study_lock(pathlib.Path({str(tmp_path)!r})): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert "pid" in (tmp_path / "study.lock").read_text()
    assert read_lock_holder(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_an_error_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Not a directory"):
        run_plan(build_fake_plan(make_study(tmp_path)), tmp_path / "file" / "results", OPTIONS)


def test_a_training_that_cannot_be_imported_ends_the_study(tmp_path: Path) -> None:
    options = replace(OPTIONS, training="tests.no_such_module")
    with pytest.raises(EnvironmentFailedError, match=r"exit status 1; see .*cpu-\d\.log for the reason"):
        run_plan(build_fake_plan(make_study(tmp_path)), tmp_path / "results", options)


def test_a_worker_has_its_threads_and_devices_before_anything_is_imported(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path, variants=0, seeds=1)), tmp_path / "results"
    run_plan(plan, folder, OPTIONS)
    assert RecordStore(folder / "records").get(plan.cells[0].key).environment == {
        "device": "cpu",
        "threads": 1,
        "omp": "1",
    }


def test_events_are_written_for_machines(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path, variants=0, seeds=1)), tmp_path / "results"
    run_in_process(plan, folder)
    logged = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in logged] == ["began", "started", "epoch", "epoch", "ended"]
    assert logged[-1]["variant"] == "base"
    assert list(read_events(folder / "events.jsonl")) == logged


def test_events_go_on_after_a_line_that_was_torn_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    before = json.dumps({"event": "began", "name": "naïve"}, ensure_ascii=False).encode() + b"\n"
    torn = json.dumps({"event": "lost", "reason": "ünknown"}, ensure_ascii=False).encode()
    for length in range(len(torn) + 1):
        path.write_bytes(before + torn[:length])
        view = EventWriter.open(path)
        view.start(ProgressState("asked", 3, 0, Forecast(1)))
        view.close()
        logged = [event["event"] for event in read_events(path)]
        assert logged == ["began", *(["lost"] if length == len(torn) else []), "began"]
        assert path.read_bytes().startswith(before + torn[:length])


def test_status_reads_what_there_is_and_rebuild_makes_the_ledger_again(tmp_path: Path) -> None:
    asked, folder = make_study(tmp_path, variants=1, more="  bad: {train.lr: 150}\n"), tmp_path / "results"
    run_in_process(build_fake_plan(asked), folder)
    wider = build_fake_plan(make_study(tmp_path, variants=2, more="  bad: {train.lr: 150}\n"))
    status = compute_status(wider.planned, folder)
    assert (status.asked, status.recorded, status.missing, status.held_by) == (12, 9, 3, None)
    assert status.variants["v1"] == {"missing": 3}
    assert status.failures["bad/0"] == "diverged: loss nan in epoch 1"
    (folder / "study.db").unlink()
    assert rebuild_ledger(asked, folder, None, fake_training.fingerprint) == 9
    assert len(read_mirrored_trials(folder)) == 9


def test_a_network_file_system_is_known_by_its_mount(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(
        "disk / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\nbox /home/my\\040box ext4 rw 0 0\n"
    )
    remote = [
        is_remote(Path(path), tmp_path / "mounts") for path in ("/tmp/a.db", "/home/ann/a.db", "/home/my box/a.db")
    ]
    assert remote == [False, True, False]
    assert not is_remote(tmp_path, tmp_path / "none")


def test_undisturbed_studies_have_the_same_records_whatever_the_number_of_workers(tmp_path: Path) -> None:
    plan = build_fake_plan(make_study(tmp_path))
    run_plan(plan, tmp_path / "a", OPTIONS)
    shutil.rmtree(tmp_path / "b", ignore_errors=True)
    run_plan(plan, tmp_path / "b", replace(OPTIONS, workers=1))
    assert read_record_contents(tmp_path / "a") == read_record_contents(tmp_path / "b")

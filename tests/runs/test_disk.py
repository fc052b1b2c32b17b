"""A disk that is full or read-only: one clear error, nothing is lost, and the next start continues."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import subprocess
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.runs.harness import OPTIONS, build_fake_plan, list_trained_epochs, make_study, run_in_process
from tests.runs.mount_namespace import UNSHARE_COMMAND, requires_user_namespaces
from vgg_ablate.errors import StorageError
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.driver import RunOptions, run_plan
from vgg_ablate.runs.plan import Plan


def run_with_limited_files(plan: Plan, folder: Path, options: RunOptions, max_bytes: int, sender: Connection) -> None:
    """Run a plan with a limit on the size of files, in bytes; send the exit status and the message of the error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, resource.RLIM_INFINITY))
    try:
        run_plan(plan, folder, options)
    except StorageError as error:
        sender.send((error.exit_status, str(error)))
    sender.close()


@pytest.mark.parametrize(("max_bytes", "ledger"), [(500, "study.db"), (250_000, "study.db"), (30_000, "study.journal")])
def test_a_full_disk_is_reported_and_the_next_start_goes_on(tmp_path: Path, max_bytes: int, ledger: str) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path, variants=9, seeds=8)), tmp_path / "results"
    scheme = "journal" if ledger.endswith("journal") else "sqlite"
    options = replace(OPTIONS, storage=f"{scheme}:///{folder / ledger}")
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("forkserver").Process(
        target=run_with_limited_files, args=(plan, folder, options, max_bytes, sender)
    )
    process.start()
    sender.close()
    status, message = receiver.recv()
    process.join()
    assert status == 4
    assert str(folder) in message

    before = RecordStore(folder / "records").keys()
    assert all(record.key in before for record in RecordStore(folder / "records"))  # each is whole
    assert run_plan(plan, folder, options).is_complete
    trained = list_trained_epochs(folder)
    assert len({key for key, _ in trained}) == 80
    assert not [key for key in before if trained.count((key, 1)) > 1]


READ_ONLY = """\
import pickle, subprocess, sys
from pathlib import Path
from vgg_ablate.errors import StorageError
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.status import compute_status

plan, folder, options = pickle.loads(Path(sys.argv[1]).read_bytes())
subprocess.run(["mount", "--bind", folder, folder], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
print(compute_status(plan.planned, folder).missing)
try:
    run_plan(plan, folder, options)
except StorageError as error:
    print(error.exit_status, error)
"""


@requires_user_namespaces
def test_a_folder_that_cannot_be_written_can_be_read(tmp_path: Path) -> None:
    folder, wider = tmp_path / "results", build_fake_plan(make_study(tmp_path, variants=2))
    run_in_process(build_fake_plan(make_study(tmp_path, variants=1)), folder)
    (tmp_path / "all").write_bytes(pickle.dumps((wider, folder, OPTIONS)))
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    command = [*UNSHARE_COMMAND, sys.executable, "-c", READ_ONLY, str(tmp_path / "all")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"3\n4 {folder / 'study.lock'}: Read-only file system\n"
    assert run_in_process(wider, folder).is_complete

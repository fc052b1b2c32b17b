"""A disk that is full, read-only or another user's: one clear error, nothing is lost, and the next start continues."""

from __future__ import annotations

import ctypes
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
from tests.runs.mount_namespace import requires_user_namespaces, run_in_namespace
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
    output = run_in_namespace(READ_ONLY, tmp_path / "all", wider, folder, OPTIONS)
    assert output == f"3\n4 {folder / 'study.lock'}: Read-only file system\n"
    assert run_in_process(wider, folder).is_complete


MID_RUN = """\
import pickle, subprocess, sys
from pathlib import Path
from vgg_ablate.errors import EnvironmentFailedError
from vgg_ablate.runs.driver import run_plan

plan, folder, options = pickle.loads(Path(sys.argv[1]).read_bytes())
records = folder / "records"
command = "until ls RECORDS/*.json; do sleep 0.02; done; mount --bind RECORDS RECORDS; mount -o remount,bind,ro RECORDS"
subprocess.Popen(command.replace("RECORDS", str(records)), shell=True, stdout=subprocess.DEVNULL, stderr=2)
try:
    run_plan(plan, folder, options)
except EnvironmentFailedError as error:
    print(error.exit_status, error)
"""


@requires_user_namespaces
def test_records_that_become_read_only_in_mid_run_end_the_study_and_the_next_start_goes_on(tmp_path: Path) -> None:
    folder, plan = tmp_path / "results", build_fake_plan(make_study(tmp_path, variants=9, seeds=8, milliseconds=50))
    output = run_in_namespace(MID_RUN, tmp_path / "all", plan, folder, OPTIONS)
    assert output.startswith(f"4 {folder / 'records'}/")
    assert output.endswith(".json: Read-only file system\n")
    before = RecordStore(folder / "records").keys()
    assert 0 < len(before) < 80
    assert run_plan(plan, folder, OPTIONS).trained == 80 - len(before)


FULL_TMPDIR = """\
import os, pickle, subprocess, sys
from pathlib import Path

plan, folder, options, scratch = pickle.loads(Path(sys.argv[1]).read_bytes())
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "full", scratch], check=True)
(scratch / "fill").write_bytes(bytes(4096))
os.environ["TMPDIR"] = str(scratch)
try:
    (scratch / "more").write_bytes(b"a")
except OSError as error:
    print(error.strerror)
from vgg_ablate.report.write import write_report
from vgg_ablate.runs.driver import run_plan

run_plan(plan, folder, options).raise_for_failures()
print(len(write_report(folder).frame))
"""


@requires_user_namespaces
def test_a_full_folder_for_temporary_files_disturbs_nothing(tmp_path: Path) -> None:
    scratch, plan = tmp_path / "scratch", build_fake_plan(make_study(tmp_path))
    scratch.mkdir()
    output = run_in_namespace(FULL_TMPDIR, tmp_path / "all", plan, tmp_path / "results", OPTIONS, scratch)
    assert output.splitlines() == ["No space left on device", "9"]


PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2  # from linux/prctl.h and linux/capability.h
FOREIGN = """\
import pickle, sys
from pathlib import Path
from vgg_ablate.errors import StorageError
from vgg_ablate.report.write import write_report
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.status import compute_status

plan, folder, options = pickle.loads(Path(sys.argv[1]).read_bytes())
print(compute_status(plan.planned, folder).missing)
for call in (lambda: run_plan(plan, folder, options), lambda: write_report(folder)):
    try:
        call()
    except StorageError as error:
        print(error.exit_status, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of a folder are POSIX")
def test_another_users_folder_can_be_read_and_every_write_is_one_line(tmp_path: Path) -> None:
    folder, wider = tmp_path / "results", build_fake_plan(make_study(tmp_path, variants=2))
    run_in_process(build_fake_plan(make_study(tmp_path, variants=1)), folder)
    (tmp_path / "all").write_bytes(pickle.dumps((wider, folder, OPTIONS)))
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    is_root = os.geteuid() == 0
    if is_root:  # may write everywhere, unless it gives up this capability and the folder is not its own
        for path in paths:
            os.chown(path, 65534, 65534)

    def drop_capabilities() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH) if is_root else ():
            libc.prctl(PR_CAPBSET_DROP, capability)

    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", FOREIGN, str(tmp_path / "all")]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, preexec_fn=drop_capabilities
    )
    denied = [f"4 {folder / name}: Permission denied" for name in ("study.lock", "runs.csv")]
    assert done.stdout.splitlines() == ["3", *denied]
    for path in paths:
        path.chmod(0o755)
    assert run_in_process(wider, folder).is_complete

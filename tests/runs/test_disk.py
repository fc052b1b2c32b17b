"""A disk that is full, or not to be written: an error that says so, nothing lost, and the next start goes on."""

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

from tests.runs.harness import OPTIONS, driven, epochs_trained, planned, study
from tests.runs.mount_namespace import PRIVATE, needs_a_private_view
from vgg_ablate.errors import StorageFailed
from vgg_ablate.records import Store
from vgg_ablate.runs.driver import Options, drive
from vgg_ablate.runs.plan import Plan


def limited(plan: Plan, folder: Path, options: Options, largest: int, said: Connection) -> None:
    """Drive with no file larger than that many bytes; send the exit status and the message."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    try:
        drive(plan, folder, options)
    except StorageFailed as error:
        said.send((error.exit_status, str(error)))
    said.close()


@pytest.mark.parametrize(("largest", "ledger"), [(500, "study.db"), (250_000, "study.db"), (30_000, "study.journal")])
def test_a_full_disk_is_said_and_the_next_start_goes_on(tmp_path: Path, largest: int, ledger: str) -> None:
    plan, folder = planned(study(tmp_path, variants=9, seeds=8)), tmp_path / "results"
    scheme = "journal" if ledger.endswith("journal") else "sqlite"
    options = replace(OPTIONS, storage=f"{scheme}:///{folder / ledger}")
    heard, said = multiprocessing.Pipe()
    process = multiprocessing.get_context("forkserver").Process(
        target=limited, args=(plan, folder, options, largest, said)
    )
    process.start()
    said.close()
    status, message = heard.recv()
    process.join()
    assert status == 4
    assert str(folder) in message

    before = Store(folder / "records").keys()
    assert all(record.key in before for record in Store(folder / "records"))  # each is whole
    assert drive(plan, folder, options).complete
    trained = epochs_trained(folder)
    assert len({key for key, _ in trained}) == 80
    assert not [key for key in before if trained.count((key, 1)) > 1]


READ_ONLY = """\
import pickle, subprocess, sys
from pathlib import Path
from vgg_ablate.errors import StorageFailed
from vgg_ablate.runs.driver import drive
from vgg_ablate.runs.status import status

plan, folder, options = pickle.loads(Path(sys.argv[1]).read_bytes())
subprocess.run(["mount", "--bind", folder, folder], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
print(status(plan.planned, folder).missing)
try:
    drive(plan, folder, options)
except StorageFailed as error:
    print(error.exit_status, error)
"""


@needs_a_private_view
def test_a_folder_that_cannot_be_written_can_be_looked_at(tmp_path: Path) -> None:
    folder, wider = tmp_path / "results", planned(study(tmp_path, variants=2))
    driven(planned(study(tmp_path, variants=1)), folder)
    (tmp_path / "all").write_bytes(pickle.dumps((wider, folder, OPTIONS)))
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    command = [*PRIVATE, sys.executable, "-c", READ_ONLY, str(tmp_path / "all")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"3\n4 {folder / 'study.lock'}: Read-only file system\n"
    assert driven(wider, folder).complete

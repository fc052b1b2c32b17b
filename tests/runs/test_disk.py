"""A disk that is full in the middle of a study: an error that says so, nothing lost, and the next start goes on."""

from __future__ import annotations

import multiprocessing
import resource
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.runs.asked import OPTIONS, epochs_trained, planned, study
from vgg_ablate.errors import StorageFailed
from vgg_ablate.records import Store
from vgg_ablate.runs.driver import drive
from vgg_ablate.runs.plan import Plan


def limited(plan: Plan, folder: Path, largest: int, said: Connection) -> None:
    """Drive with no file larger than that many bytes; send the exit status and the message."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    try:
        drive(plan, folder, OPTIONS)
    except StorageFailed as error:
        said.send((error.exit_status, str(error)))
    said.close()


@pytest.mark.parametrize("largest", [500, 250_000])
def test_a_full_disk_is_said_and_the_next_start_goes_on(tmp_path: Path, largest: int) -> None:
    plan, folder = planned(study(tmp_path, variants=9, seeds=8)), tmp_path / "results"
    heard, said = multiprocessing.Pipe()
    process = multiprocessing.get_context("forkserver").Process(target=limited, args=(plan, folder, largest, said))
    process.start()
    said.close()
    status, message = heard.recv()
    process.join()
    assert status == 4
    assert str(folder) in message

    before = Store(folder / "records").keys()
    assert all(record.key in before for record in Store(folder / "records"))  # each is whole
    assert drive(plan, folder, OPTIONS).complete
    trained = epochs_trained(folder)
    assert len({key for key, _ in trained}) == 80
    assert not [key for key in before if trained.count((key, 1)) > 1]

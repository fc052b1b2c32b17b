"""Two drivers of one search where the file system grants every lock: the signature in the lock file decides."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import socket
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.runs.chaos import wait_until
from tests.runs.harness import OPTIONS, list_trained_epochs, read_trained_epochs
from tests.runs.test_search import TEXT, list_seeds, read_trials, searched
from vgg_ablate.errors import StudyLockedError
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.leases import hold_study_lock
from vgg_ablate.runs.plan import Plan


def run_lockless_driver(plan: Plan, folder: Path, site: Path, host: str, sender: Connection) -> None:
    """Run a plan as if on this host and with a file system that grants every lock; send the error, or an empty text."""
    sys.path.insert(0, str(site))  # workers get the path, and import sitecustomize.py from it when they start
    fcntl.flock = lambda handle, operation: None
    socket.gethostname = lambda: host
    try:
        run_plan(plan, folder, replace(OPTIONS, workers=2)).raise_for_failures()
        sender.send("")
    except StudyLockedError as error:
        sender.send(str(error))


class LocklessDriver:
    """A process that runs `run_lockless_driver`."""

    def __init__(self, plan: Plan, folder: Path, host: str) -> None:
        site = folder.with_name("site")
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text("import fcntl\nfcntl.flock = lambda handle, operation: None\n")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["vgg_ablate.runs.driver", "tests.runs.harness"])
        self._receiver, sender = multiprocessing.Pipe()
        self._process = context.Process(target=run_lockless_driver, args=(plan, folder, site, host, sender))
        self._process.start()
        sender.close()
        self.pid = self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def join(self) -> str:
        """Wait for the process and return its error."""
        message = str(self._receiver.recv())
        self._process.join()
        return message


def test_the_last_of_two_drivers_goes_on_and_no_proposal_is_asked_for_twice(tmp_path: Path) -> None:
    text = TEXT.replace("variants: 8", "variants: 10").replace("limit: 1", "limit: 20")
    plan, folder = searched(tmp_path, text=text), tmp_path / "results"
    first = LocklessDriver(plan, folder, "one")
    wait_until(lambda: len(list_trained_epochs(folder)) > 3)
    (folder / "held").touch()  # runs that are handed out from now on do not end
    same_machine = LocklessDriver(plan, folder, "one")
    assert same_machine.join().startswith(f"{folder}: process {first.pid} on one, since "), (
        "a living process of the same machine holds the study"
    )
    assert first.is_alive
    other_machine = LocklessDriver(plan, folder, "two")
    message = first.join()
    assert message.startswith(f"{folder}: process {other_machine.pid} on two, since ")
    assert "has taken this study over" in message
    (folder / "held").unlink()
    assert other_machine.join() == ""
    assert len(read_trials(folder)) == 10
    assert len(list_seeds(folder)) == 1 + 10 + 1
    assert len(RecordStore(folder / "records").keys()) == 2 + 10 + 2
    assert len({line.pid for line in read_trained_epochs(folder)}) > 2, "both have trained"


def test_the_signature_of_a_dead_process_whose_number_is_taken_holds_nothing(tmp_path: Path) -> None:
    holder = {"host": socket.gethostname(), "pid": os.getppid(), "since": "2001-01-01T00:00:00+00:00"}
    (tmp_path / "study.lock").write_text(json.dumps(holder))
    with hold_study_lock(tmp_path) as check_lock:
        check_lock()
        (tmp_path / "study.lock").write_text(json.dumps(holder))
        with pytest.raises(StudyLockedError, match=rf"process {os.getppid()} on .* has taken this study over"):
            check_lock()
    assert json.loads((tmp_path / "study.lock").read_text()) == holder, "the signature of the other stays"

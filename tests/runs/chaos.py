"""A storm: workers and drivers are killed with -9 at random moments until a study is complete."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vgg_ablate.runs.driver import RunOptions, run_plan
from vgg_ablate.runs.plan import Plan

ListVictims = Callable[[int], Iterable[int]]  # driver's process -> the processes that may be killed for its workers


class DriverProcess:
    """`drive`, in a process of its own."""

    def __init__(self, plan: Plan, folder: Path, options: RunOptions) -> None:
        context = multiprocessing.get_context("forkserver")
        pool = ["vgg_ablate.runs.workers.ray"] if options.pool == "ray" else []
        context.set_forkserver_preload(["vgg_ablate.runs.driver", "tests.runs.harness", *pool])
        self._process = context.Process(target=_drive, args=(plan, folder, options, dict(os.environ)))
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def lives(self) -> bool:
        return self._process.is_alive()

    def join(self, seconds: float = 150) -> int | None:
        """Its exit status; minus the signal that has killed it."""
        self._process.join(seconds)
        assert not self.lives, "the driver does not end"
        return self._process.exitcode


@dataclass
class Storm:
    """Starts drivers and kills them and their workers; counts those that it has really killed."""

    plan: Plan
    folder: Path
    options: RunOptions
    victims: ListVictims = field(default_factory=lambda: list_children)
    seed: int = 0
    workers: set[int] = field(default_factory=set)  # process ids, of those killed
    drivers: set[int] = field(default_factory=set)

    def blow(self, *, workers: int, drivers: int, pause: tuple[float, float]) -> None:
        """At least that many kills of each kind; then calm: the last driver runs to the end, with exit status 0.

        Each driver lives until an epoch was trained, so that the study gets on, and its share of workers was killed.
        """
        chance = random.Random(self.seed)
        driver = self._start()
        while len(self.workers) < workers or len(self.drivers) < drivers:
            time.sleep(chance.uniform(*pause))
            assert driver.lives, "the study is over before the storm is"
            if len(self.drivers) < drivers and len(self.workers) >= (len(self.drivers) + 0.9) * workers / drivers:
                self.drivers |= kill_process(driver.pid)
                assert driver.join() == -signal.SIGKILL
                driver = self._start()
            elif found := [pid for pid in self.victims(driver.pid) if pid not in self.workers]:
                self.workers |= kill_process(chance.choice(found))
        assert driver.join() == 0

    def _start(self) -> DriverProcess:
        before, driver = self._epochs(), DriverProcess(self.plan, self.folder, self.options)
        wait_until(lambda: self._epochs() > before or not driver.lives, 100)
        return driver

    def _epochs(self) -> int:
        path = self.folder / "events.jsonl"
        return path.read_bytes().count(b'"event": "epoch"') if path.exists() else 0


def _drive(plan: Plan, folder: Path, options: RunOptions, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # the server that forks may be older than some of it
    assert run_plan(plan, folder, options).complete


def list_children(pid: int) -> list[int]:
    """The ids of the living children of a process."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [child for child in map(int, text.split()) if is_process_alive(child)]


def is_process_alive(pid: int) -> bool:
    """Is there such a process, and is it more than a line in a table?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill_process(pid: int) -> set[int]:
    """The process, killed with -9; nothing where it was dead before."""
    if not is_process_alive(pid):
        return set()
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return set()
    return {pid}


def wait_until(met: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "nothing has happened for too long"
        time.sleep(0.02)

"""Kill storms: workers and drivers are killed with SIGKILL at random moments until a study is complete.

Storms are short in the suite. `STORM_SCALE=100 pytest --timeout 36000 tests/runs/test_storm.py` makes long ones.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from vgg_ablate.runs.driver import RunOptions, run_plan
from vgg_ablate.runs.plan import Plan

ListVictims = Callable[[int], Iterable[int]]  # process id of the driver -> process ids of its workers


def scale_storm(count: int) -> int:
    """Return a number of kills, or of seeds that give them enough to kill, times $STORM_SCALE."""
    return round(count * float(os.environ.get("STORM_SCALE", "1")))


class DriverProcess:
    """A process that runs `run_plan`: a fork with the modules imported, or a fresh interpreter, as a user starts."""

    def __init__(self, plan: Plan, folder: Path, options: RunOptions, *, fresh: bool = False) -> None:
        forkserver, spawn = multiprocessing.get_context("forkserver"), multiprocessing.get_context("spawn")
        pool = ["vgg_ablate.runs.workers.ray"] if options.pool == "ray" else []
        forkserver.set_forkserver_preload(["vgg_ablate.runs.driver", "tests.runs.harness", *pool])
        arguments = (plan, folder, options, dict(os.environ))
        self._process: BaseProcess = (
            spawn.Process(target=_run_driver, args=arguments)
            if fresh
            else forkserver.Process(target=_run_driver, args=arguments)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def join(self, seconds: float = 150) -> int | None:
        """Wait for the process; return its exit status, or minus the signal that has killed it."""
        self._process.join(seconds)
        assert not self.is_alive, "the driver did not end in time"
        return self._process.exitcode


@dataclass
class Storm:
    """Starts drivers, kills them and their workers, and counts those that were alive when they were killed."""

    plan: Plan
    folder: Path
    options: RunOptions
    victims: ListVictims = field(default_factory=lambda: list_children)
    seed: int = 0
    workers: set[int] = field(default_factory=set)  # process ids of killed workers
    drivers: set[int] = field(default_factory=set)  # process ids of killed drivers

    def blow(self, *, workers: int, drivers: int, pause: tuple[float, float]) -> None:
        """Kill at least that many of each kind, with pauses of random length; then let the last driver end.

        A driver lives until it has reported an epoch, so that the study makes progress, and until its share of workers
        was killed.
        """
        generator = random.Random(self.seed)
        driver = self._start_driver()
        while len(self.workers) < workers or len(self.drivers) < drivers:
            time.sleep(generator.uniform(*pause))
            assert driver.is_alive, "the study ended before all kills were done"
            if len(self.drivers) < drivers and len(self.workers) >= (len(self.drivers) + 0.9) * workers / drivers:
                self.drivers |= kill_process(driver.pid)
                assert driver.join() == -signal.SIGKILL
                driver = self._start_driver()
            elif victims := [pid for pid in self.victims(driver.pid) if pid not in self.workers]:
                self.workers |= kill_process(generator.choice(victims))
        assert driver.join() == 0

    def _start_driver(self) -> DriverProcess:
        before, driver = self._count_epoch_events(), DriverProcess(self.plan, self.folder, self.options)
        wait_until(lambda: self._count_epoch_events() > before or not driver.is_alive, 100)
        return driver

    def _count_epoch_events(self) -> int:
        path = self.folder / "events.jsonl"
        return path.read_bytes().count(b'"event": "epoch"') if path.exists() else 0


def _run_driver(plan: Plan, folder: Path, options: RunOptions, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # the fork server was started with an older environment
    assert run_plan(plan, folder, options).is_complete


def list_children(pid: int) -> list[int]:
    """Return the ids of the living children of a process."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [child for child in map(int, text.split()) if is_process_alive(child)]


def is_process_alive(pid: int) -> bool:
    """Return whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill_process(pid: int) -> set[int]:
    """Kill a process with SIGKILL; return its id in a set, or an empty set if it was dead before."""
    if not is_process_alive(pid):
        return set()
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return set()
    return {pid}


def wait_until(is_met: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition; fail after that many seconds."""
    end = time.monotonic() + seconds
    while not is_met():
        assert time.monotonic() < end, f"the condition was not met in {seconds:g} s"
        time.sleep(0.02)

"""A storm: workers and drivers are killed with -9 at random moments until a study is complete."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from vgg_ablate.runs.driver import Options, drive
from vgg_ablate.runs.plan import Plan


@dataclass
class Storm:
    """Starts drivers in processes of their own and kills them and their workers."""

    plan: Plan
    folder: Path
    options: Options
    seed: int = 0
    worker_kills: int = 0
    driver_kills: int = 0

    def blow(self, *, workers: int, drivers: int, pause: tuple[float, float]) -> None:
        """At least that many kills of each kind; then calm: a last driver runs to the end."""
        chance = random.Random(self.seed)
        driver = self._start()
        while self.worker_kills < workers or self.driver_kills < drivers:
            time.sleep(chance.uniform(*pause))
            if not driver.is_alive():
                driver = self._start()
            living = children(driver.pid or 0)
            if living and (self.worker_kills < 3 * (self.driver_kills + 1) or self.driver_kills >= drivers):
                self.worker_kills += _killed(chance.choice(living))
            elif self.driver_kills < drivers and living:
                self.driver_kills += _killed(driver.pid or 0)
                driver.join()
        _until(lambda: not driver.is_alive(), 150)
        assert drive(self.plan, self.folder, self.options).complete

    def _start(self) -> ForkServerProcess:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["vgg_ablate.runs.driver", "tests.runs.asked"])
        process = context.Process(target=drive, args=(self.plan, self.folder, self.options))
        process.start()
        _until(lambda: bool(children(process.pid or 0)) or not process.is_alive(), 100)
        return process


def children(pid: int) -> list[int]:
    """The ids of the children of a process."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(child) for child in text.split()]


def _killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _until(met: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "nothing has happened for too long"
        time.sleep(0.01)

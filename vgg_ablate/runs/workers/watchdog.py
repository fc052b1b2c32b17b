"""The watchdog: whoever has a run gives a sign of life every few seconds, and ends an epoch now and then.

A process that is killed leaves word by its end. One that hangs (a stopped machine, a dead network, a dead disk) says
nothing, so silence counts: without a sign for `limit` seconds, or between two epochs without the next for that long
after ten times the longest epoch, the run is given to another.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vgg_ablate.records import Epoch, Run
from vgg_ablate.runs.workers.protocol import JobLost

_EPOCHS = 10.0  # times the longest epoch of a run
_SIGNS = 10  # at least so many in the time that is too long
_OFTEN = 5.0  # seconds between two signs, at most
_AWAY = 5.0  # seconds between two looks, from which on it is the driver that was away


def compute_heartbeat_interval(limit: float) -> float:
    """Seconds between two signs of life, where `limit` seconds of silence are too long."""
    return min(_OFTEN, limit / _SIGNS)


@contextlib.contextmanager
def send_heartbeats(sign: Callable[[], object], every: float) -> Iterator[None]:
    """Give a sign of life now and every so many seconds, from a thread of its own, while the block runs."""
    over = threading.Event()

    def beat() -> None:
        sign()
        while not over.wait(every):
            sign()

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        over.set()


@dataclass
class _Heard:
    """Of one run: times by the clock of the watch."""

    epochs: int  # that it will have
    sign: float | None  # the last; None: it waits for a machine, and nothing is expected of it
    epoch: float = 0.0  # when the last one was reported
    reached: int = 0
    longest: float = 0.0  # seconds


class Watchdog:
    """Knows when each run was last heard of. Time in which nobody looked does not count: the driver was away itself."""

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._heard: dict[str, _Heard] = {}
        self._looked = clock()

    def begin(self, run: Run, *, waiting: bool = False) -> None:
        """A run was handed out; with `waiting`, its first sign is worth any time."""
        self._heard[run.key] = _Heard(run.train.epochs, None if waiting else self._clock())

    def alive(self, key: str) -> None:
        """A sign of life."""
        if (heard := self._heard.get(key)) is not None:
            heard.sign = self._clock()

    def epoch(self, key: str, epoch: Epoch) -> None:
        """An epoch is over: a sign of life, and of progress."""
        self.alive(key)
        if (heard := self._heard.get(key)) is not None:
            now = self._clock()
            between = now - heard.epoch if heard.reached else 0.0
            heard.longest = max(heard.longest, epoch.seconds, between)
            heard.epoch, heard.reached = now, epoch.epoch

    def end(self, key: str) -> None:
        """The run has ended, or is lost."""
        self._heard.pop(key, None)

    def find_silent_runs(self) -> list[JobLost]:
        """The runs of which nothing was heard for too long. Call it after everything that was said was heard."""
        self._forgive()
        return [JobLost(key, reason) for key, heard in self._heard.items() if (reason := self._verdict(heard))]

    def _verdict(self, heard: _Heard) -> str:
        now = self._clock()
        if heard.sign is not None and (silence := now - heard.sign) > self._limit:
            return f"no sign of life for {silence:.0f} s"
        between = 0 < heard.reached < heard.epochs  # before there are preparations, afterwards the test
        if between and (silence := now - heard.epoch) > self._limit + _EPOCHS * heard.longest:
            return f"no epoch for {silence:.0f} s, and none took more than {heard.longest:.1f} s"
        return ""

    def _forgive(self) -> None:
        now = self._clock()
        away, self._looked = now - self._looked, now
        if away > _AWAY:
            for heard in self._heard.values():
                heard.epoch += away
                heard.sign = None if heard.sign is None else heard.sign + away

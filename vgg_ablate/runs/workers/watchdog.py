"""The watchdog of runs: detects workers that hang.

The connection of a worker that is killed closes. A worker that hangs (a stopped machine, a broken network, a disk that
does not respond) sends nothing, and is found by the missing heartbeats. A run is lost if there was no heartbeat for the
timeout, or if between its first and its last epoch no epoch has ended for the timeout plus ten times its longest one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vgg_ablate.records import Epoch, Run
from vgg_ablate.runs.workers.protocol import JobLost

_EPOCH_FACTOR = 10.0  # an epoch may take this many times as long as the longest one before it
_HEARTBEATS_PER_TIMEOUT = 10  # so that a few late ones on a busy machine do no harm
_MAX_HEARTBEAT_INTERVAL_S = 5.0
_MAX_CHECK_INTERVAL_S = 5.0  # a longer pause between two checks means that the driver itself was suspended


def compute_heartbeat_interval(timeout_s: float) -> float:
    """Return the seconds between two heartbeats if `timeout_s` seconds without one are too long."""
    return min(_MAX_HEARTBEAT_INTERVAL_S, timeout_s / _HEARTBEATS_PER_TIMEOUT)


@contextlib.contextmanager
def send_heartbeats(send: Callable[[], object], interval_s: float) -> Iterator[None]:
    """Call `send` at once and then every `interval_s` seconds while the block runs.

    The calls come from a thread of their own, since an epoch may take hours.
    """
    finished = threading.Event()

    def send_until_finished() -> None:
        send()
        while not finished.wait(interval_s):
            send()

    threading.Thread(target=send_until_finished, daemon=True).start()
    try:
        yield
    finally:
        finished.set()


@dataclass
class _WatchedRun:
    """The last heartbeat and epoch of one run, as times on the watchdog's clock."""

    epochs: int  # of the whole training
    heartbeat: float | None  # None: it waits for a machine and none is expected
    epoch_end: float = 0.0
    reached: int = 0  # number of the last epoch
    longest: float = 0.0  # seconds of the longest epoch


class Watchdog:
    """Records heartbeats and epochs per run, and finds the runs that are silent for too long.

    Time during which nobody called `find_silent_runs` does not count: if the driver was suspended, its workers may have
    sent heartbeats that it had no chance to read.
    """

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._watched: dict[str, _WatchedRun] = {}
        self._last_check = clock()

    def begin(self, run: Run, *, waiting: bool = False) -> None:
        """Watch a run that was submitted; with `waiting`, wait for its first heartbeat for any time."""
        self._watched[run.key] = _WatchedRun(run.train.epochs, None if waiting else self._clock())

    def record_heartbeat(self, key: str) -> None:
        """Record a heartbeat of a run."""
        if (watched := self._watched.get(key)) is not None:
            watched.heartbeat = self._clock()

    def record_epoch(self, key: str, epoch: Epoch) -> None:
        """Record the end of an epoch of a run."""
        self.record_heartbeat(key)
        if (watched := self._watched.get(key)) is not None:
            now = self._clock()
            # Both measures: epochs of a checkpoint are reported in a burst, but carry the seconds that they took.
            since_last = now - watched.epoch_end if watched.reached else 0.0
            watched.longest = max(watched.longest, epoch.seconds, since_last)
            watched.epoch_end, watched.reached = now, epoch.epoch

    def end(self, key: str) -> None:
        """Stop watching a run that has ended or was lost."""
        self._watched.pop(key, None)

    def find_silent_runs(self) -> list[JobLost]:
        """Return the runs that are silent for too long. Call it after all waiting messages have been read."""
        self._discount_pause()
        reasons = {key: self._find_reason(watched) for key, watched in self._watched.items()}
        return [JobLost(key, reason) for key, reason in reasons.items() if reason]

    def _find_reason(self, watched: _WatchedRun) -> str:
        """Return why a run counts as lost; empty if it does not."""
        now = self._clock()
        if watched.heartbeat is not None and (silence := now - watched.heartbeat) > self._timeout_s:
            return f"no heartbeat for {silence:.0f} s"
        # Decoding and pre-initialisation come before the first epoch, the test set after the last: their
        # duration cannot be predicted.
        trains = 0 < watched.reached < watched.epochs
        if trains and (silence := now - watched.epoch_end) > self._timeout_s + _EPOCH_FACTOR * watched.longest:
            return f"no epoch for {silence:.0f} s, and none took more than {watched.longest:.1f} s"
        return ""

    def _discount_pause(self) -> None:
        """Add a pause of the driver itself to the last heartbeat and epoch of every run."""
        now = self._clock()
        pause, self._last_check = now - self._last_check, now
        if pause > _MAX_CHECK_INTERVAL_S:
            for watched in self._watched.values():
                watched.epoch_end += pause
                watched.heartbeat = None if watched.heartbeat is None else watched.heartbeat + pause

"""Interrupts (Ctrl-C, SIGTERM) that take effect between two steps of a loop, not between any two instructions.

Python's default handler raises KeyboardInterrupt wherever the program happens to be. In a finaliser, or in a callback
from C, Python cannot propagate the exception and drops it: the study would go on as if nobody had pressed Ctrl-C. In
the middle of a write it would leave half a file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

INTERRUPTED = 130  # exit status: 128 + SIGINT, as shells count
_GRACE_S = 10.0  # batch systems kill a job 30 s after SIGTERM, or later


@contextlib.contextmanager
def defer_interrupts() -> Iterator[Callable[[], None]]:
    """Note SIGINT and SIGTERM while the block runs; yield a function that raises KeyboardInterrupt if one came.

    A second Ctrl-C raises immediately. Signals that are ignored or left to the system stay as they are, and so do all
    of them outside the main thread, which alone may set handlers.
    """
    interrupted = False

    def note_signal(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            signal.default_int_handler(number, frame)
        interrupted = True

    def raise_if_interrupted() -> None:
        if interrupted:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handled = [number for number, handler in before.items() if callable(handler)]
    if threading.current_thread() is not threading.main_thread():
        handled = []
    for number in handled:
        signal.signal(number, note_signal)
    try:
        yield raise_if_interrupted
    finally:
        for number in handled:
            signal.signal(number, before[number])


def exit_on_sigterm() -> None:
    """Let SIGTERM raise SystemExit, so that a server that this process runs, or has started, ends first."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def handle_sigterm(grace_s: float = _GRACE_S) -> None:
    """Let SIGTERM raise KeyboardInterrupt as Ctrl-C does, and end the process after `grace_s` seconds at the latest.

    A thread that reads from a file system that does not respond never returns, and Python would wait for it.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        timer = threading.Timer(grace_s, os._exit, [INTERRUPTED])
        timer.daemon = True  # a program that ends earlier does not wait for it
        timer.start()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGTERM, interrupt)

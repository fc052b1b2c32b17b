"""Ctrl-C between two steps of a loop instead of between any two instructions.

Python's default handler raises KeyboardInterrupt wherever the program happens to be. In a finalizer, or in a callback
from C, Python cannot propagate the exception and drops it: the study would go on as if nobody had pressed Ctrl-C. In
the middle of a write it would leave half a file.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def defer_interrupts() -> Iterator[Callable[[], None]]:
    """Note SIGINT and SIGTERM while the block runs; yield a function that raises KeyboardInterrupt if one came.

    A second Ctrl-C raises immediately. Signals that are ignored or left to the system stay as they are, and so do all
    of them outside the main thread, which alone may set handlers.
    """
    interrupted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            signal.default_int_handler(number, frame)
        interrupted = True

    def check() -> None:
        if interrupted:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handled = [number for number, handler in before.items() if callable(handler)]
    if threading.current_thread() is not threading.main_thread():
        handled = []
    for number in handled:
        signal.signal(number, note)
    try:
        yield check
    finally:
        for number in handled:
            signal.signal(number, before[number])

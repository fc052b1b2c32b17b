"""Ctrl-C, at a moment that suits.

Where a signal raises, the exception comes between any two instructions: in the midst of a write, or in a finaliser or
a callback from C, where Python cannot pass it on and drops it, and the study goes on as if nobody had asked.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def defer_interrupts() -> Iterator[Callable[[], None]]:
    """Gives a function that raises KeyboardInterrupt if it was asked for since; a second Ctrl-C does not wait for it.

    SIGTERM counts as well where somebody handles it. In a thread, which is sent no signals, it changes nothing.
    """
    asked = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            signal.default_int_handler(number, frame)
        asked = True

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = [number for number, handler in before.items() if callable(handler)]  # neither ignored nor left to the system
    if threading.current_thread() is not threading.main_thread():
        ours = []
    for number in ours:
        signal.signal(number, note)
    try:
        yield check
    finally:
        for number in ours:
            signal.signal(number, before[number])

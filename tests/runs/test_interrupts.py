"""Ctrl-C is noted wherever it arrives, and handled between two steps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.harness import OPTIONS, InProcessPool, build_fake_plan, make_study, run_in_process
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.interrupts import defer_interrupts
from vgg_ablate.runs.workers.protocol import WorkerEvent


class InterruptingFinalizer:
    """Receives Ctrl-C in its finalizer, where Python drops an exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handle_both_signals() -> Iterator[None]:
    """Let both signals raise KeyboardInterrupt, as `vgg_ablate run` does: a test runner may ignore them."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_a_step_is_raised_after_it(number: signal.Signals) -> None:
    with defer_interrupts() as check:
        check()
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(number) is signal.default_int_handler


def test_an_interrupt_in_a_finalizer_is_not_lost() -> None:
    with defer_interrupts() as check:
        InterruptingFinalizer()
        with pytest.raises(KeyboardInterrupt):
            check()


def test_the_second_interrupt_does_not_wait() -> None:
    with defer_interrupts():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


READ_FOREVER = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from vgg_ablate.runs.interrupts import handle_sigterm

handle_sigterm(grace_s=0.1)
with ThreadPoolExecutor(1) as threads:
    read = threads.submit(open, sys.argv[1])
    print("reading", flush=True)
    read.result()
"""


def test_sigterm_ends_a_process_whose_thread_reads_forever(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # a read of it waits for a writer, as one of a dead mount waits for its server
    command = [sys.executable, "-c", READ_FOREVER, str(tmp_path / "pipe")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        process.terminate()
        assert process.wait(timeout=60) == 130


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_signal_that_nobody_handles_is_left_alone(handler: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, handler)
    with defer_interrupts():
        assert signal.getsignal(signal.SIGTERM) is handler


def test_a_thread_changes_nothing() -> None:
    handlers: list[object] = []

    def defer_in_thread() -> None:
        with defer_interrupts() as check:
            check()
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=defer_in_thread)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


class InterruptedPool(InProcessPool):
    """Receives Ctrl-C during a run, where Python drops an exception."""

    def poll(self, timeout: float) -> list[WorkerEvent]:
        InterruptingFinalizer()
        return super().poll(timeout)


def test_a_study_ends_after_the_step_and_goes_on_later(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path, variants=1, seeds=2)), tmp_path / "results"
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, folder, OPTIONS, InterruptedPool(folder))
    assert len(RecordStore(folder / "records").keys()) == 1
    assert run_in_process(plan, folder).is_complete

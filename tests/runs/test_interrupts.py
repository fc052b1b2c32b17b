"""Ctrl-C is heard wherever it comes, and acted upon between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.harness import OPTIONS, InProcessPool, build_fake_plan, make_study, run_in_process
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.interrupts import defer_interrupts
from vgg_ablate.runs.workers.protocol import WorkerEvent


class Finalised:
    """Ctrl-C comes while it is thrown away, where an exception would be dropped."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def both() -> Iterator[None]:
    """Both signals raise KeyboardInterrupt, as under `vgg_ablate run`; what starts tests may ignore them."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_asked_for_in_a_step_is_done_after_it(number: signal.Signals) -> None:
    with defer_interrupts() as check:
        check()
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(number) is signal.default_int_handler


def test_it_is_heard_in_a_finaliser_too() -> None:
    with defer_interrupts() as check:
        Finalised()
        with pytest.raises(KeyboardInterrupt):
            check()


def test_the_second_does_not_wait() -> None:
    with defer_interrupts():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("left", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_signal_that_nobody_handles_is_left_alone(left: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, left)
    with defer_interrupts():
        assert signal.getsignal(signal.SIGTERM) is left


def test_a_thread_changes_nothing() -> None:
    seen: list[object] = []

    def elsewhere() -> None:
        with defer_interrupts() as check:
            check()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


class Interrupted(InProcessPool):
    """Ctrl-C comes while a run is performed, in a place where an exception is dropped."""

    def poll(self, timeout: float) -> list[WorkerEvent]:
        Finalised()
        return super().poll(timeout)


def test_a_study_ends_after_the_step_and_goes_on_later(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path, variants=1, seeds=2)), tmp_path / "results"
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, folder, OPTIONS, Interrupted(folder))
    assert len(RecordStore(folder / "records").keys()) == 1
    assert run_in_process(plan, folder).complete

"""The watchdog notices silence; the run is submitted again, and a worker that wakes up late writes nothing."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests import fake_training
from tests.runs.chaos import DriverProcess, is_process_alive, wait_until
from tests.runs.harness import (
    OPTIONS,
    build_fake_plan,
    list_trained_epochs,
    make_study,
    read_event_log,
    read_record_contents,
    read_trained_epochs,
    run_undisturbed,
)
from vgg_ablate.records import Epoch, RecordStore, Run
from vgg_ablate.runs.leases import LeaseLostError, break_lease
from vgg_ablate.runs.workers.job import perform_job
from vgg_ablate.runs.workers.protocol import Job, WorkerContext
from vgg_ablate.runs.workers.watchdog import Watchdog


@dataclass
class Clock:
    """A clock that shows the time to which it is set."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float, watchdog: Watchdog) -> list[str]:
        """Advance second by second and check each; return the reasons for which runs were given up."""
        for _ in range(round(seconds)):
            self.now += 1
            if silent := watchdog.find_silent_runs():
                return [lost.reason for lost in silent]
        return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    return Watchdog(60, clock)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build_fake_plan(make_study(tmp_path, variants=0, seeds=1, epochs=3)).cells[0].run


def make_epoch(number: int, seconds: float) -> Epoch:
    return Epoch(epoch=number, train_loss=1, val_loss=1, val_accuracy=0, lr=1, seconds=seconds, images_per_second=1)


def test_a_run_without_a_sign_of_life_is_given_up(clock: Clock, watchdog: Watchdog, run: Run) -> None:
    watchdog.begin(run)
    assert clock.advance(60, watchdog) == []
    assert clock.advance(2, watchdog) == ["no heartbeat for 61 s"]


def test_signs_of_life_keep_a_run_that_takes_hours_to_its_first_epoch_or_to_test(
    clock: Clock, watchdog: Watchdog, run: Run
) -> None:
    watchdog.begin(run)
    for hour in range(4):
        if hour == 1:
            for number in (1, 2, 3):
                watchdog.record_epoch(run.key, make_epoch(number, 5))
        for _ in range(72):
            assert clock.advance(50, watchdog) == []
            watchdog.record_heartbeat(run.key)


def test_a_run_that_lives_and_ends_no_epoch_is_given_up_after_ten_of_its_longest_and_the_limit(
    clock: Clock, watchdog: Watchdog, run: Run
) -> None:
    watchdog.begin(run)
    watchdog.record_epoch(run.key, make_epoch(1, 30))  # from a checkpoint: it took half a minute when it was trained
    reasons: list[str] = []
    for _ in range(40):
        watchdog.record_heartbeat(run.key)
        reasons += clock.advance(10, watchdog)
        if reasons:
            break
    assert reasons == ["no epoch for 361 s, and none took more than 30.0 s"]


@pytest.mark.parametrize("stops", [0.01, 0.02, 0.04])
def test_a_run_that_stops_in_mid_epoch_is_reported_without_sign_of_life(
    clock: Clock, watchdog: Watchdog, run: Run, stops: float
) -> None:
    watchdog.begin(run)
    clock.now += 0.04
    watchdog.record_epoch(run.key, make_epoch(1, 0.04))
    clock.now += stops
    watchdog.record_heartbeat(run.key)
    reasons: list[str] = []
    for _ in range(10_000):
        clock.now += 0.01
        reasons += [lost.reason for lost in watchdog.find_silent_runs()]
    assert reasons[0] == "no heartbeat for 60 s"


def test_a_run_that_waits_for_a_machine_may_wait(clock: Clock, watchdog: Watchdog, run: Run) -> None:
    watchdog.begin(run, waiting=True)
    assert clock.advance(10_000, watchdog) == []
    watchdog.record_heartbeat(run.key)
    assert len(clock.advance(61, watchdog)) == 1


def test_a_driver_that_was_suspended_itself_gives_up_no_run(clock: Clock, watchdog: Watchdog, run: Run) -> None:
    watchdog.begin(run)
    assert clock.advance(30, watchdog) == []
    clock.now += 10_000
    assert clock.advance(29, watchdog) == []
    assert len(clock.advance(5, watchdog)) == 1


@pytest.mark.parametrize("last", [1, 3])
def test_a_worker_that_has_lost_its_lease_writes_no_record_and_the_next_goes_on(
    tmp_path: Path, run: Run, last: int
) -> None:
    context, job = WorkerContext(folder=tmp_path / "results"), Job(run, {})
    context.folder.mkdir()
    handles: list[int] = []

    def break_at_last(epoch: Epoch) -> bool:
        if epoch.epoch == last:
            break_lease(context.locate_lease(run.key))
            handles.append(
                os.open(context.locate_lease(run.key), os.O_CREAT)
            )  # the file of the next holder has the name now
        return False

    with pytest.raises(LeaseLostError, match="given to another"):
        perform_job(fake_training, job, context, break_at_last)
    assert RecordStore(context.records).keys() == set()
    assert context.locate_lease(run.key).exists(), "the lease of another holder stays"
    for handle in handles:
        os.close(handle)
    perform_job(fake_training, job, context, lambda epoch: False)
    assert sorted(list_trained_epochs(context.folder)) == [(run.key, number) for number in (1, 2, 3)]
    assert Counter(list_trained_epochs(context.folder)).most_common(1)[0][1] == 1
    assert not context.locate_lease(run.key).exists()


def test_a_stopped_worker_is_noticed_and_its_run_submitted_again(tmp_path: Path) -> None:
    plan, folder = (
        build_fake_plan(make_study(tmp_path, variants=1, seeds=2, epochs=10, milliseconds=40)),
        tmp_path / "results",
    )
    driver = DriverProcess(plan, folder, replace(OPTIONS, heartbeat_timeout_s=3.0))
    wait_until(lambda: len(read_trained_epochs(folder)) > 3)
    stopped = read_trained_epochs(folder)[-1]
    os.kill(stopped.pid, signal.SIGSTOP)
    assert driver.join() == 0
    assert not is_process_alive(stopped.pid), "it was killed and can never wake up"
    lost = read_event_log(folder, "lost")  # on a busy machine other workers may have been slow, too
    assert any(event["key"] == stopped.key and event["reason"].startswith("no heartbeat for ") for event in lost), lost
    assert read_record_contents(folder) == read_record_contents(run_undisturbed(plan, tmp_path / "calm"))
    assert len(list_trained_epochs(folder)) <= 4 * 10 + len(lost)

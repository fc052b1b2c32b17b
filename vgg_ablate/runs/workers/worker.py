"""A worker: `python -m vgg_ablate.runs.workers.worker` performs one job after another for its driver.

A bug in a training ends the process: the exception hook sends the error to the driver, which writes it to the record as
its reason, and the traceback goes to the worker's log. Nothing catches `Exception`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import cast

from vgg_ablate.errors import EnvironmentFailedError
from vgg_ablate.records import Epoch, Outcome
from vgg_ablate.runs.leases import LeaseLostError
from vgg_ablate.runs.workers.job import TrainingBackend, format_error, perform_job
from vgg_ablate.runs.workers.protocol import (
    ContinueRequest,
    EpochEnded,
    Heartbeat,
    Job,
    JobEnded,
    JobLost,
    JobRefused,
    StopRequest,
    WorkerContext,
)
from vgg_ablate.runs.workers.watchdog import compute_heartbeat_interval, send_heartbeats

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


class DriverConnection:
    """The connection of a worker to its driver, for two threads: the one that trains and the one of heartbeats."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._send_lock = threading.Lock()  # a message is several writes, which must not interleave

    def send(self, message: object) -> None:
        """Send a message. Raises OSError if the driver is gone."""
        with self._send_lock:
            self._connection.send(message)

    def send_heartbeat(self) -> None:
        """Send a heartbeat; if the driver is gone, the next report of the training thread raises."""
        with contextlib.suppress(OSError):
            self.send(Heartbeat())

    def is_stop_requested(self, key: str) -> bool:
        """Return whether the driver has sent a StopRequest for this job."""
        return self._connection.poll() and self._connection.recv() == StopRequest(key)

    def wait_for_decision(self, key: str) -> bool:
        """Wait until the driver has decided on this job, and return whether it is to end. Raises EOFError."""
        while (message := self._connection.recv()) not in (StopRequest(key), ContinueRequest(key)):
            pass  # a request that arrived after its job had ended
        return isinstance(message, StopRequest)

    def receive_job(self) -> Job | None:
        """Wait for the next job; return None if the driver is gone."""
        try:
            while not isinstance(message := self._connection.recv(), Job):
                pass  # a StopRequest that arrived after its job had ended
            return message
        except (EOFError, ConnectionResetError):
            return None


def serve_jobs(connection: DriverConnection, training: TrainingBackend, context: WorkerContext) -> None:
    """Perform one job after another until the driver is gone."""
    while (job := connection.receive_job()) is not None:
        key = job.run.key
        # A hook and not `except Exception`: the process then ends by the bug, with the traceback in its log, and cannot
        # train another run in an unknown state.
        sys.excepthook = _build_exception_hook(connection, key)
        try:
            report = partial(_report, connection, job, partial(training.measure_peak, job.run, context))
            connection.send(perform_job(training, job, context, report, connection.send))
        except EnvironmentFailedError as error:
            connection.send(JobRefused(key, str(error)))
        except LeaseLostError as error:
            connection.send(JobLost(key, str(error)))


def _report(connection: DriverConnection, job: Job, measure_peak: Callable[[], int | None], epoch: Epoch) -> bool:
    """Report an epoch, with the peak memory so far, and return whether to stop."""
    key = job.run.key
    connection.send(EpochEnded(key, epoch, measure_peak()))
    return connection.wait_for_decision(key) if job.waits else connection.is_stop_requested(key)


def _build_exception_hook(connection: DriverConnection, key: str) -> Callable[..., None]:
    """Return an exception hook that reports the job as failed, with the traceback in the worker's log."""

    def report_failure(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace)
        with contextlib.suppress(OSError):
            connection.send(JobEnded(key, Outcome.FAILED, format_error(error, trace)))

    return report_failure


def exit_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends.

    Linux only. On other systems a worker of a dead driver ends at its next report, at the latest after one epoch.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the driver died before the line above
            os._exit(1)


def main() -> None:
    """Run a worker process: `worker FILE-DESCRIPTOR PARENT-PID`.

    The first message is (name of the training module, WorkerContext); every further one is a Job or a StopRequest.
    """
    exit_with_parent(int(sys.argv[2]))
    pipe = Connection(int(sys.argv[1]))
    name, context = pipe.recv()
    connection = DriverConnection(pipe)
    with send_heartbeats(connection.send_heartbeat, compute_heartbeat_interval(context.heartbeat_timeout_s)):
        serve_jobs(connection, cast(TrainingBackend, importlib.import_module(name)), context)


if __name__ == "__main__":
    main()

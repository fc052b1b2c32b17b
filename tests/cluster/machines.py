"""A Ray cluster on the loopback interface, whose machines can be killed and stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from tests.runs.chaos import is_process_alive, list_children


class ClusterMachine:
    """A node of the cluster: a raylet and its workers."""

    def __init__(self, node: Any) -> None:
        (raylet,) = node.all_processes["raylet"]
        self.raylet_pid = int(raylet.process.pid)

    @property
    def workers(self) -> list[int]:
        """The ids of its processes that run a task or the message board."""
        return [
            pid
            for pid in list_children(self.raylet_pid)
            if _read_title(pid).startswith((b"ray::_perform_task", b"ray::_MessageBoard"))
        ]

    def signal(self, number: int) -> None:
        """Send a signal to all processes: SIGKILL stands for a power cut, SIGSTOP for a machine that hangs."""
        for pid in [self.raylet_pid, *list_children(self.raylet_pid)]:
            if is_process_alive(pid):
                os.kill(pid, number)


class LoopbackCluster:
    """A cluster: its head and the machines that are added."""

    def __init__(self, cluster: Any, cache: Path) -> None:
        self._cluster = cluster
        self.cache = cache
        self.head = ClusterMachine(cluster.head_node)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add_machine(self, cpus: int, gpus: int = 0) -> ClusterMachine:
        """Add a machine; its GPUs are only a number that Ray counts."""
        return ClusterMachine(self._cluster.add_node(num_cpus=cpus, num_gpus=gpus, include_dashboard=False))


@contextmanager
def start_cluster(cpus: int, cache: Path) -> Iterator[LoopbackCluster]:
    """Start a cluster whose head has that many CPUs; `cache` is the cache folder of all machines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # the cluster listens on loopback only
        patch.setenv("VGG_ABLATE_CACHE", str(cache))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False})
        try:
            yield LoopbackCluster(cluster, cache)
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]  # Ray has no types here


def _read_title(pid: int) -> bytes:
    """Return the command line of a process, which Ray sets to the name of its task."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


STOP_SIGNAL, CONTINUE_SIGNAL, KILL_SIGNAL = signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL

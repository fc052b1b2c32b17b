"""A Ray cluster on loopback: machines that can be killed and stopped like real ones."""

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
    """A node of the cluster: a raylet, and its workers."""

    def __init__(self, node: Any) -> None:
        (raylet,) = node.all_processes["raylet"]
        self.raylet = int(raylet.process.pid)

    @property
    def workers(self) -> list[int]:
        """Its processes that have a run, or the driver's board."""
        return [
            pid for pid in list_children(self.raylet) if _title(pid).startswith((b"ray::_performed", b"ray::_Board"))
        ]

    def signal(self, number: int) -> None:
        """To all of its processes at once: SIGKILL is a power cut, SIGSTOP a machine that hangs."""
        for pid in [self.raylet, *list_children(self.raylet)]:
            if is_process_alive(pid):
                os.kill(pid, number)


class LoopbackCluster:
    """The cluster: its head, and what else is added."""

    def __init__(self, cluster: Any, cache: Path) -> None:
        self._cluster, self.cache = cluster, cache
        self.head = ClusterMachine(cluster.head_node)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def added(self, cpus: int, gpus: int = 0) -> ClusterMachine:
        """One more machine; its GPUs are a number."""
        return ClusterMachine(self._cluster.add_node(num_cpus=cpus, num_gpus=gpus, include_dashboard=False))


@contextmanager
def start_cluster(cpus: int, cache: Path) -> Iterator[LoopbackCluster]:
    """A cluster whose head has that many CPUs; `cache` is the cache folder of all machines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # it listens on loopback alone
        patch.setenv("VGG_ABLATE_CACHE", str(cache))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False})
        try:
            yield LoopbackCluster(cluster, cache)
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]  # Ray does not say


def _title(pid: int) -> bytes:
    """What the process calls itself."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


STOP_SIGNAL, CONTINUE_SIGNAL, KILL_SIGNAL = signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL

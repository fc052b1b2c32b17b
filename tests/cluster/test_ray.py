"""The same contract on Ray: every run is trained once, whatever is killed or hangs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray", reason="Ray is not installed (pip install 'vgg_ablate[ray]')")

from tests.cluster.machines import (
    CONTINUE_SIGNAL,
    KILL_SIGNAL,
    STOP_SIGNAL,
    ClusterMachine,
    LoopbackCluster,
    start_cluster,
)
from tests.runs.chaos import DriverProcess, Storm, kill_process, scale_storm, wait_until
from tests.runs.deciding import trace, write_plan
from tests.runs.harness import (
    OPTIONS,
    build_fake_plan,
    find_retrained_epochs,
    list_trained_epochs,
    make_study,
    read_event_log,
    read_record_contents,
    read_trained_epochs,
    run_in_process,
    run_undisturbed,
    write_and_read_report,
)
from tests.runs.mount_namespace import UNSHARE_COMMAND, requires_user_namespaces
from tests.runs.test_search import TEXT, searched
from vgg_ablate.records import Outcome, RecordStore
from vgg_ablate.runs.driver import run_plan


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackCluster]:
    with start_cluster(cpus=1, cache=tmp_path_factory.mktemp("cache")) as started:
        yield started


def has_trained(machine: ClusterMachine, folder: Path, log: str = "trained.log") -> bool:
    """Return whether a worker of this machine has trained an epoch."""
    return bool({line.pid for line in read_trained_epochs(folder, log)} & set(machine.workers))


def start_on_all(folder: Path, *machines: ClusterMachine) -> None:
    """Hold all runs until each of the machines has one; return when each has trained an epoch."""
    wait_until(lambda: all(has_trained(machine, folder, "waiting.log") for machine in machines))
    (folder / "held").unlink()
    wait_until(lambda: all(has_trained(machine, folder) for machine in machines))


def make_held_folder(folder: Path) -> Path:
    """Make a results folder in which no run starts training."""
    folder.mkdir()
    (folder / "held").touch()
    return folder


def list_listening_addresses(pid: int) -> list[str]:
    """Return the addresses on which a process and its descendants accept connections."""
    process = psutil.Process(pid)
    return [
        connection.laddr.ip
        for member in (process, *process.children(recursive=True))
        for connection in member.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]


@pytest.mark.timeout(600)
def test_a_machine_that_is_killed_in_mid_run_loses_nothing(tmp_path: Path, cluster: LoopbackCluster) -> None:
    plan, folder = (
        build_fake_plan(make_study(tmp_path, variants=1, seeds=2, epochs=12, milliseconds=80)),
        make_held_folder(tmp_path / "results"),
    )
    other = cluster.add_machine(cpus=2)
    driver = DriverProcess(plan, folder, replace(OPTIONS, pool="ray", workers=None, address=cluster.address))
    start_on_all(folder, other)
    other.signal(KILL_SIGNAL)
    assert driver.join() == 0
    assert 1 <= len(read_event_log(folder, "lost")) <= 2
    assert read_record_contents(folder) == read_record_contents(run_undisturbed(plan, tmp_path / "calm"))
    assert find_retrained_epochs(folder) == []
    assert len(list_trained_epochs(folder)) <= 4 * 12 + 2, "runs go on from their checkpoints"
    assert RecordStore(folder / "records").keys() == {cell.key for cell in plan.cells}


@pytest.mark.timeout(600)
def test_a_worker_and_a_machine_that_hang_lose_their_runs_and_disturb_nobody_when_they_wake_up(
    tmp_path: Path, cluster: LoopbackCluster
) -> None:
    plan, folder = (
        build_fake_plan(make_study(tmp_path, variants=1, seeds=2, epochs=25, milliseconds=80)),
        make_held_folder(tmp_path / "results"),
    )
    other = cluster.add_machine(cpus=1)
    driver = DriverProcess(
        plan, folder, replace(OPTIONS, pool="ray", workers=None, address=cluster.address, heartbeat_timeout_s=3.0)
    )
    start_on_all(folder, cluster.head, other)
    (worker,) = {line.pid for line in read_trained_epochs(folder)} & set(cluster.head.workers)
    other.signal(STOP_SIGNAL)
    os.kill(worker, STOP_SIGNAL)
    wait_until(lambda: len({event["key"] for event in read_event_log(folder, "lost")}) == 2)
    other.signal(CONTINUE_SIGNAL)
    assert driver.join() == 0
    lost = read_event_log(folder, "lost")
    assert sum(event["reason"].startswith("no heartbeat") for event in lost) >= 2
    assert read_record_contents(folder) == read_record_contents(run_undisturbed(plan, tmp_path / "calm"))
    assert find_retrained_epochs(folder) == []
    assert len(list_trained_epochs(folder)) <= 4 * 25 + len(lost)


ALONE = """\
import pickle, shutil, subprocess, sys
from pathlib import Path
from vgg_ablate.runs.driver import run_plan

plan, folder, options, kept = pickle.loads(Path(sys.argv[1]).read_bytes())
subprocess.run(["mount", "-t", "tmpfs", "results", folder], check=True)
complete = run_plan(plan, folder, options).is_complete
shutil.copytree(folder, kept)
sys.exit(not complete)
"""


@requires_user_namespaces
@pytest.mark.timeout(600)
def test_machines_that_do_not_see_the_results_folder_send_their_records_back(
    tmp_path: Path, cluster: LoopbackCluster
) -> None:
    more = "  flipped: {data.evaluate.flip: true}\n"
    plan = build_fake_plan(make_study(tmp_path, variants=1, seeds=2, epochs=12, milliseconds=80, more=more, keep=True))
    folder, kept = tmp_path / "results", tmp_path / "kept"
    folder.mkdir()
    options = replace(OPTIONS, pool="ray", workers=None, address=cluster.address)
    (tmp_path / "all").write_bytes(pickle.dumps((plan, folder, options, kept)))
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    worker_folder = Path(cluster.cache, "unfinished", *folder.parts[1:])
    with subprocess.Popen([*UNSHARE_COMMAND, sys.executable, "-c", ALONE, tmp_path / "all"], env=environment) as driver:
        try:
            wait_until(lambda: has_trained(cluster.head, worker_folder))
            kill_process(read_trained_epochs(worker_folder)[-1].pid)
            assert driver.wait(300) == 0
        finally:
            driver.kill()
    assert list(folder.iterdir()) == [], "the workers see an empty folder"
    assert read_record_contents(kept) == read_record_contents(run_undisturbed(plan, tmp_path / "calm"))
    assert len(list_trained_epochs(worker_folder)) <= 4 * 12 + 1, (
        "a run goes on from its checkpoint on the same machine"
    )
    for name in ("records", "predictions"):
        assert list((worker_folder / name).iterdir()) == [], "the driver has them"
    stored = {path.name: path.read_bytes() for path in (kept / "predictions").iterdir()}
    assert stored == {path.name: path.read_bytes() for path in (tmp_path / "calm" / "predictions").iterdir()}
    assert len(stored) == 6


@pytest.mark.timeout(600)
def test_a_storm_on_ray_loses_nothing_and_trains_nothing_twice(tmp_path: Path, cluster: LoopbackCluster) -> None:
    plan, folder = (
        build_fake_plan(make_study(tmp_path, variants=5, seeds=scale_storm(2), epochs=6, milliseconds=30)),
        tmp_path / "storm",
    )
    assert len(plan.cells) == 6 * scale_storm(2)
    other = cluster.add_machine(cpus=1)
    options = replace(OPTIONS, pool="ray", workers=None, address=cluster.address)
    storm = Storm(plan, folder, options, lambda driver: [*cluster.head.workers, *other.workers])
    storm.blow(workers=scale_storm(4), drivers=scale_storm(1), pause=(0.05, 0.2))
    assert len(storm.workers) >= scale_storm(4)
    assert len(storm.drivers) == scale_storm(1)

    calm = run_undisturbed(plan, tmp_path / "calm")
    assert read_record_contents(folder) == read_record_contents(calm)
    assert write_and_read_report(folder) == write_and_read_report(calm)
    assert find_retrained_epochs(folder) == []
    times = Counter(list_trained_epochs(folder))
    assert set(times) == {(cell.key, epoch) for cell in plan.cells for epoch in range(1, 7)}
    assert times.total() - len(times) <= len(storm.workers) + 3 * len(storm.drivers)


@pytest.mark.timeout(600)
def test_a_cluster_with_gpus_trains_on_them_without_being_asked(tmp_path: Path, cluster: LoopbackCluster) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path, variants=1, seeds=1)), tmp_path / "results"
    other = cluster.add_machine(cpus=1, gpus=1)
    driver = DriverProcess(
        plan, folder, replace(OPTIONS, pool="ray", workers=None, address=cluster.address, device="auto")
    )
    assert driver.join() == 0
    other.signal(KILL_SIGNAL)
    assert {record.environment["device"] for record in RecordStore(folder / "records")} == {"cuda"}


@pytest.mark.timeout(600)
def test_a_search_stops_the_same_runs_on_ray_and_its_driver_ends_when_another_has_signed_the_lock_file(
    tmp_path: Path, cluster: LoopbackCluster
) -> None:
    text = TEXT.replace("variants: 8", "variants: 7").replace("epochs: 3", "epochs: 4")
    plan, folder = searched(tmp_path, "  pruner: hyperband\n", text), make_held_folder(tmp_path / "results")
    options = replace(OPTIONS, pool="ray", workers=1, address=cluster.address)
    driver = DriverProcess(plan, folder, options)
    wait_until(lambda: (folder / "waiting.log").exists(), 100)
    (folder / "study.lock").write_text('{"host": "another", "pid": 1, "since": "now"}')
    assert driver.join() == 1
    (folder / "held").unlink()
    assert DriverProcess(plan, folder, options).join() == 0
    run_plan(plan, tmp_path / "local", replace(OPTIONS, workers=1)).raise_for_failures()
    assert read_record_contents(folder) == read_record_contents(tmp_path / "local")
    assert any(record.outcome is Outcome.PRUNED for record in RecordStore(folder / "records"))


@pytest.mark.timeout(600)
def test_without_an_address_ray_is_started_locally_reachable_from_nowhere_else_and_ended_again(tmp_path: Path) -> None:
    more = "  flipped: {data.evaluate.flip: true}\n"
    plan = build_fake_plan(make_study(tmp_path, variants=1, seeds=1, more=more))
    folder = make_held_folder(tmp_path / "results")
    driver = DriverProcess(plan, folder, replace(OPTIONS, pool="ray", workers=1), fresh=True)
    wait_until(lambda: (folder / "waiting.log").exists(), 100)
    addresses = list_listening_addresses(driver.pid)
    assert addresses
    assert all(address.removeprefix("::ffff:") in ("127.0.0.1", "::1") for address in addresses), addresses
    (folder / "held").unlink()
    assert driver.join() == 0
    assert len(list_trained_epochs(folder)) == 2 * 2, "three runs, two trainings"
    assert read_record_contents(folder) == read_record_contents(run_undisturbed(plan, tmp_path / "calm"))


@pytest.mark.timeout(600)
def test_a_study_that_stops_makes_the_same_decisions_on_ray(tmp_path: Path) -> None:
    plan, folder, calm = write_plan(tmp_path), tmp_path / "results", tmp_path / "calm"
    assert DriverProcess(plan, folder, replace(OPTIONS, pool="ray", workers=2)).join() == 0
    assert run_in_process(plan, calm).is_complete
    assert trace(plan, folder) == trace(plan, calm)
    assert read_record_contents(folder) == read_record_contents(calm)

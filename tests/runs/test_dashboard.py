"""optuna-dashboard, served on loopback, shows the trials of a ledger with their values, epochs and attributes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from wsgiref.util import setup_testing_defaults

import pytest
from optuna.storages import RDBStorage

from tests.runs.harness import build_fake_plan, make_study, run_in_process
from vgg_ablate.config.study import load
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.ledger.storage import build_default_url
from vgg_ablate.runs.plan import Plan

optuna_dashboard = pytest.importorskip("optuna_dashboard", reason="pip install 'vgg_ablate[dashboard]'")

SEARCH = """\
version: 1
name: searched
question: what is best?
seeds: 1
data: {name: digits, limit: 1}
arch: {stages: "8 8 | 8"}
train: {epochs: 3}
design:
  kind: search
  space:
    train.lr: {low: 30, high: 290}
    arch.width: {low: 0.5, high: 2.0}
    arch.depth: [[1, 1], [2, 2]]
    kernels: {three: {arch.kernel: []}, five: {arch.kernel: 5}}
  constraints: [params <= 4000]
  sampler: random
  budget: {variants: 10}
  best: 1
"""
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is reached without a proxy


def build_search_plan(folder: Path, text: str = SEARCH) -> Plan:
    file = folder / "searched.yaml"
    file.write_text(text)
    return build_fake_plan(load(file))


@contextmanager
def serve_dashboard(folder: Path) -> Iterator[str]:
    """Serve the ledger of a results folder; yield the address of the server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vgg_ablate", "dashboard", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0) as serving:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            subprocess.run(["kill", "--", f"-{serving.pid}"], check=True)


def get_json(address: str) -> Any:
    """Return the JSON document at an address, once the server has started."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with OPENER.open(address, timeout=10) as answer:
                return json.load(answer)
        except (URLError, ConnectionError):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def get_json_without_server(folder: Path, path: str) -> Any:
    """Return a JSON document of the application, called without a server."""
    environment: dict[str, Any] = {"QUERY_STRING": "after=0", "PATH_INFO": path}
    setup_testing_defaults(environment)
    storage = RDBStorage(build_default_url(folder))
    try:
        body = b"".join(optuna_dashboard.wsgi(storage)(environment, lambda status, headers, problem=None: None))
    finally:
        storage.remove_session()
        storage.engine.dispose()
    return json.loads(body)


def read_attributes(document: dict[str, Any]) -> dict[str, str]:
    """Return the user attributes of a study or a trial."""
    return {entry["key"]: entry["value"] for entry in document["user_attrs"]}


def test_a_search_is_shown_with_its_values_its_epochs_and_refused_proposals(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_search_plan(tmp_path), folder)
    with serve_dashboard(folder) as address:
        (summary,) = get_json(f"{address}/api/studies")["study_summaries"]
        document = get_json(f"{address}/api/studies/{summary['study_id']}?after=0")
    assert (summary["study_name"], document["directions"], document["objective_names"]) == (
        "searched",
        ["minimize"],
        ["val_error"],
    )
    assert read_attributes(document)["question"] == "what is best?"
    assert {entry["name"] for entry in document["union_search_space"]} == {
        "train.lr",
        "arch.width",
        "arch.depth",
        "kernels",
    }
    kinds = set()
    for trial in document["trials"]:
        trial_attributes = read_attributes(trial)
        assert trial_attributes["variant"] == f"s{trial['number']:04}"
        if "params" not in trial_attributes:
            kinds.add("impossible")
            assert (trial["state"], trial["constraints"]) == ("Pruned", [1.0])
            assert trial_attributes["reason"]
            continue
        if int(trial_attributes["params"]) > 4000:
            kinds.add("refused")
            assert trial["state"] == "Pruned"
            assert trial["constraints"][0] > 0
            assert trial_attributes["reason"] == f"outside the constraints: params {int(trial_attributes['params']):,}"
            continue
        record = RecordStore(folder / "records").get(trial_attributes["keys"])
        kinds.add(str(record.outcome))
        assert (trial["state"], trial["constraints"][0] <= 0) == ("Complete", True)
        steps = [(entry["step"], entry["value"]) for entry in trial["intermediate_values"]]
        assert steps == [(epoch.epoch, 1 - epoch.val_accuracy) for epoch in record.epochs]
        assert trial["values"] == [1.0 if record.tested is None else 1 - record.tested.val_accuracy]
        assert trial_attributes.get("outcome", "finished") == str(record.outcome)
    assert kinds == {"impossible", "refused", "finished", "diverged", "out_of_memory"}


def test_a_plan_is_shown_as_one_trial_per_run(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path, seeds=2, epochs=7, more="  bad: {train.lr: 150}\n")), folder)
    document = get_json_without_server(folder, "/api/studies/1")
    cells = {cell.key: cell for cell in Manifest.read(folder).planned}
    assert {read_attributes(trial)["key"] for trial in document["trials"]} == cells.keys()
    for trial in document["trials"]:
        trial_attributes = read_attributes(trial)
        cell = cells[trial_attributes["key"]]
        record = RecordStore(folder / "records").get(cell.key)
        assert trial_attributes["run"] == f"{cell.variant}/{cell.seed}"
        assert trial["params"][0]["param_external_value"] == str(record.run.train.lr)
        assert trial["state"] == ("Fail" if trial_attributes["run"].startswith("bad/") else "Complete")
        shown = [(entry["step"], entry["value"]) for entry in trial["intermediate_values"]]
        assert shown == [(epoch.epoch, 1 - epoch.val_accuracy) for epoch in record.epochs if epoch.epoch in (2, 4, 7)]
        assert (record.tested is None) == ("values" not in trial)


def test_a_taken_port_is_one_line_and_an_exit_status(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path)), folder)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "vgg_ablate", "dashboard", str(folder), "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 4
    assert ended.stderr == f"port {port} of 127.0.0.1: Address already in use; --port takes another one\n"


def test_sigterm_ends_the_server_too(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path)), folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vgg_ablate", "dashboard", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0) as serving:
        try:
            get_json(f"http://127.0.0.1:{port}/api/studies")
            serving.terminate()
            status = serving.wait(timeout=30)
            with socket.socket() as client:
                assert client.connect_ex(("127.0.0.1", port)) != 0
            assert status == 143
        finally:
            subprocess.run(["kill", "--", f"-{serving.pid}"], stderr=subprocess.DEVNULL, check=False)

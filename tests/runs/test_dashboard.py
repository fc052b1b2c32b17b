"""optuna-dashboard, served on loopback, shows of a ledger what there is to see."""

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
from vgg_ablate.records import Manifest, RecordStore
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
AT_ONCE = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy stands before loopback


def searched(folder: Path, text: str = SEARCH) -> Plan:
    file = folder / "searched.yaml"
    file.write_text(text)
    return build_fake_plan(load(file))


@contextmanager
def dashboard(folder: Path) -> Iterator[str]:
    """Its address, while it serves the ledger of a results folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vgg_ablate", "dashboard", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0) as serving:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            subprocess.run(["kill", "--", f"-{serving.pid}"], check=True)


def asked(address: str) -> Any:
    """What it says; it may have to start first."""
    until = time.monotonic() + 60
    while True:
        try:
            with AT_ONCE.open(address, timeout=10) as answer:
                return json.load(answer)
        except (URLError, ConnectionError):
            assert time.monotonic() < until
            time.sleep(0.1)


def answered(folder: Path, path: str) -> Any:
    """What its application says without a server."""
    environment: dict[str, Any] = {"QUERY_STRING": "after=0", "PATH_INFO": path}
    setup_testing_defaults(environment)
    storage = RDBStorage(build_default_url(folder))
    try:
        said = b"".join(optuna_dashboard.wsgi(storage)(environment, lambda status, headers, problem=None: None))
    finally:
        storage.remove_session()
        storage.engine.dispose()
    return json.loads(said)


def attributes(of: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: one["value"] for one in of["user_attrs"]}


def test_a_search_is_shown_with_its_values_its_epochs_and_what_was_refused(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(searched(tmp_path), folder)
    with dashboard(folder) as address:
        (summary,) = asked(f"{address}/api/studies")["study_summaries"]
        shown = asked(f"{address}/api/studies/{summary['study_id']}?after=0")
    assert (summary["study_name"], shown["directions"], shown["objective_names"]) == (
        "searched",
        ["minimize"],
        ["val_error"],
    )
    assert attributes(shown)["question"] == "what is best?"
    assert {one["name"] for one in shown["union_search_space"]} == {"train.lr", "arch.width", "arch.depth", "kernels"}
    seen = set()
    for trial in shown["trials"]:
        told = attributes(trial)
        assert told["variant"] == f"s{trial['number']:04}"
        if "params" not in told:
            seen.add("impossible")
            assert (trial["state"], trial["constraints"]) == ("Pruned", [1.0])
            assert told["reason"]
            continue
        if int(told["params"]) > 4000:
            seen.add("refused")
            assert trial["state"] == "Pruned"
            assert trial["constraints"][0] > 0
            assert told["reason"] == f"outside the constraints: params {int(told['params']):,}"
            continue
        record = RecordStore(folder / "records").get(told["keys"])
        seen.add(str(record.outcome))
        assert (trial["state"], trial["constraints"][0] <= 0) == ("Complete", True)
        steps = [(one["step"], one["value"]) for one in trial["intermediate_values"]]
        assert steps == [(epoch.epoch, 1 - epoch.val_accuracy) for epoch in record.epochs]
        assert trial["values"] == [1.0 if record.tested is None else 1 - record.tested.val_accuracy]
        assert told.get("outcome", "finished") == str(record.outcome)
    assert seen == {"impossible", "refused", "finished", "diverged", "out_of_memory"}


def test_a_plan_is_shown_as_one_trial_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run_in_process(build_fake_plan(make_study(tmp_path, seeds=2, more="  bad: {train.lr: 150}\n")), folder)
    shown = answered(folder, "/api/studies/1")
    cells = {cell.key: cell for cell in Manifest.read(folder).planned}
    assert {attributes(trial)["key"] for trial in shown["trials"]} == cells.keys()
    for trial in shown["trials"]:
        told, record = attributes(trial), RecordStore(folder / "records").get(attributes(trial)["key"])
        assert told["run"] == f"{cells[told['key']].variant}/{cells[told['key']].seed}"
        assert trial["params"][0]["param_external_value"] == str(record.run.train.lr)
        assert trial["state"] == ("Fail" if told["run"].startswith("bad/") else "Complete")
        assert len(trial["intermediate_values"]) == len(record.epochs)
        assert (record.tested is None) == ("values" not in trial)

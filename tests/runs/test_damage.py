"""What is damaged in a results folder is named, and everything else of it, and every other study, goes on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs.harness import build_fake_plan, make_study, run_in_process
from vgg_ablate.errors import StorageError
from vgg_ablate.records import RecordStore
from vgg_ablate.report import write
from vgg_ablate.runs.estimate import cost
from vgg_ablate.runs.plan import Plan
from vgg_ablate.runs.resources.slots import build_slots


def nest_deeply(record: Path) -> None:
    text = json.dumps(json.loads(record.read_text()) | {"environment": {"a": 0}})
    record.write_text(text.replace('{"a": 0}', '{"a":' * 3000 + "0" + "}" * 3000))


def last_forever(record: Path) -> None:
    """Let the run take 1e308 s, which is no duration of dates."""
    document = json.loads(record.read_text())
    for epoch in document["epochs"]:
        epoch["seconds"] = 5e307
    record.write_text(json.dumps(document | {"train_seconds": 1e308}))


def begin_at_no_time(record: Path) -> None:
    record.write_text(json.dumps(json.loads(record.read_text()) | {"started": "noon"}))


def replace_by_folder(record: Path) -> None:
    record.unlink()
    record.mkdir()


def replace_by_pipe(record: Path) -> None:
    record.unlink()
    os.mkfifo(record)


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda record: record.write_text("{"), "Invalid JSON"),
    (lambda record: record.write_bytes(bytes(range(256))), "Invalid JSON"),
    (nest_deeply, "recursion limit exceeded"),
    (last_forever, "epochs.0.seconds: Input should be less than 1000000000, got 5e+307"),
    (begin_at_no_time, "started: Invalid isoformat string: 'noon', got 'noon'"),
    (replace_by_folder, "Is a directory|not a regular file"),
    (replace_by_pipe, "not a regular file"),
]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan that is recorded in results/asked."""
    plan = build_fake_plan(make_study(tmp_path, variants=1, seeds=2))
    assert run_in_process(plan, tmp_path / "results" / "asked").is_complete
    return plan


@pytest.mark.skipif(sys.platform == "win32", reason="pipes in a folder are POSIX")
@pytest.mark.parametrize(("damage", "rule"), DAMAGES)
def test_a_damaged_record_is_named_by_its_report_and_left_out_by_other_studies(
    tmp_path: Path, plan: Plan, damage: Callable[[Path], object], rule: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, sibling = tmp_path / "results" / "asked", tmp_path / "results" / "other"
    record = folder / "records" / f"{plan.cells[1].key}.json"
    damage(record)
    (problem,) = write.write_report(folder).problems
    assert problem.startswith(f"records/{record.name}: ")
    assert any(part in problem for part in rule.split("|"))
    other = build_fake_plan(make_study(tmp_path, name="other", variants=2, seeds=2))
    records = cost.read_machine_records([folder / "records"], "cpu")
    assert len(records) == 3
    planned = cost.estimate_study_cost(other, RecordStore(sibling / "records"), records, build_slots("cpu", 1))
    assert planned.adopted == 3
    assert run_in_process(other, sibling).trained == 3, "two new runs, and the one whose record is damaged"
    warnings = capfd.readouterr().err.splitlines()
    assert len(warnings) == 2, "one line of each of the two"
    assert all(line.startswith(f"warning: left out: {record}: ") for line in warnings)


@pytest.mark.parametrize("name", ["copy of it.json", "notes.json"])
def test_a_stray_file_beside_the_records_is_named_and_disturbs_nothing(tmp_path: Path, plan: Plan, name: str) -> None:
    folder = tmp_path / "results" / "asked"
    record = folder / "records" / f"{plan.cells[1].key}.json"
    shutil.copy(record, record.with_name(name)) if name.startswith("copy") else record.with_name(name).write_text("{}")
    assert len(cost.read_machine_records([folder / "records"], "cpu")) == 4
    assert run_in_process(plan, folder).trained == 0
    (problem,) = write.write_report(folder).problems
    assert problem.startswith(f"records: {name}: of no run of this study, ignored")


@pytest.mark.parametrize(
    "content", ['{"a":' * 3000 + "0" + "}" * 3000, '{"study": "asked", "planned": [{"variant": "/"']
)
def test_a_damaged_manifest_is_named_with_the_remedy(tmp_path: Path, plan: Plan, content: str) -> None:
    folder = tmp_path / "results" / "asked"
    (folder / "manifest.json").write_text(content)
    with pytest.raises(StorageError, match=r"manifest\.json: .*; delete the file and run the study to write it again"):
        write.write_report(folder)
    (folder / "manifest.json").unlink()
    assert run_in_process(plan, folder).trained == 0
    assert write.write_report(folder).problems == ()


def test_a_folder_in_place_of_the_saved_study_is_one_line(tmp_path: Path, plan: Plan) -> None:
    folder = tmp_path / "results" / "asked"
    (folder / "study.yaml").unlink()
    (folder / "study.yaml").mkdir()
    with pytest.raises(StorageError, match=r"study\.yaml: Is a directory"):
        run_in_process(plan, folder)

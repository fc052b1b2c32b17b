"""What is wrong with a results folder is named, with file and field; nothing is dropped silently; the rest is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report.building import STUDY, made
from vgg_ablate.errors import StorageFailed
from vgg_ablate.records import Manifest, Record
from vgg_ablate.report import model, writing


def edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def key_of(folder: Path, variant: str, seed: int) -> str:
    planned = Manifest.read(folder).planned
    return next(cell.key for cell in planned if (cell.variant, cell.seed) == (variant, seed))


def damaged(report: model.Report) -> list[tuple[str, int]]:
    rows = report.frame[report.frame["outcome"] == "damaged"]
    return [(str(variant), int(seed)) for variant, seed in rows[["variant", "seed"]].itertuples(index=False)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "pretend")


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda record: record.update(outcome="finnished"), "outcome: "),
        (lambda record: record["run"].update(seed=3), "key: the file's name"),
        (lambda record: record.update(key="0" * 16), "key: the file's name"),
        (lambda record: record.update(tested=None), "tested: a finished run has test results"),
        (lambda record: record["audited"].update(macs=1), "audited.macs: fvcore counts 1, the closed form "),
        (lambda record: record.update(audited={}, costs={"params": 7}), "costs.params: the arch has "),
        (lambda record: record.update(extra=1), "extra: "),
    ],
)
def test_a_hand_edited_record_is_named_and_the_rest_is_reported(
    folder: Path, edit: Callable[[dict[str, Any]], None], named: str
) -> None:
    key = key_of(folder, "five", 1)
    edited(folder / "records" / f"{key}.json", edit)
    report = writing.write(folder)
    (problem,) = report.problems
    assert problem.startswith(f"records/{key}.json: {named}")
    assert damaged(report) == [("five", 1)]
    small, same, _ = report.verdicts
    assert (small.verdict, small.reason) == ("inconclusive", "five: seed 1 damaged")
    assert same.verdict == "refuted"
    assert problem.split(": ")[0] in (folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kept", [0, 1, 100])
def test_a_torn_record_is_named(folder: Path, kept: int) -> None:
    path = folder / "records" / f"{key_of(folder, 'wide', 0)}.json"
    path.write_bytes(path.read_bytes()[:kept])
    report = model.of(folder)
    assert len(report.problems) == 1
    assert report.problems[0].startswith(f"records/{path.name}: the file: ")
    assert damaged(report) == [("wide", 0)]


def test_a_record_of_another_recipe_contradicts_its_study(folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY.replace("epochs: 2", "epochs: 3"), encoding="utf-8")
    report = model.of(folder)
    assert len(damaged(report)) == 15
    assert "run.train.epochs: the study's variant base says 3, got 2" in report.problems[0]


def test_a_record_that_nobody_planned_is_named(folder: Path) -> None:
    made(folder.parent / "other", text=STUDY.replace("epochs: 2", "epochs: 3"))
    stranger = next((folder.parent / "other" / "records").iterdir())
    (folder / "records" / stranger.name).write_bytes(stranger.read_bytes())
    report = model.of(folder)
    assert len(report.problems) == 1
    assert report.problems[0].startswith(f"records: {stranger.name}: no run that this study plans; not used")
    assert damaged(report) == []


def test_records_of_two_data_sets_under_one_name_are_named(tmp_path: Path) -> None:
    folder = made(tmp_path / "pretend", fingerprints={"wide": "f" * 16})
    problems = model.of(folder).problems
    assert len(problems) == 5
    assert "run.fingerprint: digits was 0000000000000000" in problems[0]
    assert "records of two different data sets in one folder" in problems[0]


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda m: m.update(base="five"), "manifest.json: base: the study's base is 'base', got 'five'"),
        (lambda m: m.update(study="kernels"), "manifest.json: study: study.yaml beside it is 'pretend'"),
        (lambda m: m["planned"][0].update(variant="six"), "manifest.json: planned: six is not a variant"),
    ],
)
def test_a_manifest_that_contradicts_its_study_is_named(
    folder: Path, edit: Callable[[dict[str, Any]], None], named: str
) -> None:
    edited(folder / "manifest.json", edit)
    assert any(problem.startswith(named) for problem in model.of(folder).problems)


def test_two_keys_for_one_cell_are_named(folder: Path) -> None:
    def doubled(manifest: dict[str, Any]) -> None:
        manifest["planned"].append({**manifest["planned"][0], "key": "f" * 16})

    edited(folder / "manifest.json", doubled)
    report = model.of(folder)
    assert report.problems[0].startswith("manifest.json: planned: base/0 has two keys, got ffffffffffffffff")
    assert len(report.frame) == 15


def test_a_missing_record_is_a_row_that_says_so(tmp_path: Path) -> None:
    folder = made(tmp_path / "pretend", missing=frozenset({("base", 4)}))
    report = writing.write(folder)
    assert report.missing == 1
    assert report.problems == ()
    assert "base,4," in (folder / "runs.csv").read_text(encoding="utf-8")
    assert report.verdicts[0].reason == "base: seed 4 missing"


def test_seeds_that_were_not_applied_are_a_problem(tmp_path: Path) -> None:
    def same(record: Record, variant: str) -> Record:
        epochs = tuple(epoch.model_copy(update={"train_loss": 0.5}) for epoch in record.epochs)
        return record.model_copy(update={"epochs": epochs})

    folder = made(
        tmp_path / "pretend", lambda variant, seed: {"base": 0.9, "five": 0.8, "wide": 0.7}[variant], change=same
    )
    problems = model.of(folder).problems
    assert problems[0] == "seeds not applied: base has the same test error and losses on every seed"


def test_a_folder_without_a_study_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"manifest\.json: No such file"):
        model.of(tmp_path)


def test_a_saved_study_that_no_longer_reads_is_one_line(folder: Path) -> None:
    (folder / "study.yaml").write_text("version: 2\n", encoding="utf-8")
    with pytest.raises(StorageFailed, match="the saved study is not valid"):
        model.of(folder)


def test_seeds_added_by_hand_after_a_look_are_said(tmp_path: Path) -> None:
    history = [{"seeds": [0, 1, 2]}, {"seeds": [0, 1, 2, 3, 4]}]
    folder = made(tmp_path / "pretend", provenance={"history": history})
    writing.write(folder)
    told = (folder / "report.md").read_text(encoding="utf-8")
    assert "Seeds were added by hand: the study was run with 3 seeds before it had 5." in told


def test_planned_looks_are_not_held_against_a_study(tmp_path: Path) -> None:
    history = [{"seeds": [0, 1, 2]}, {"seeds": [0, 1, 2, 3, 4]}]
    text = STUDY.replace("seeds: 5", "seeds: {looks: [3, 5]}")
    folder = made(tmp_path / "pretend", text=text, provenance={"history": history})
    writing.write(folder)
    assert "by hand" not in (folder / "report.md").read_text(encoding="utf-8")

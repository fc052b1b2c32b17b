"""Problems of a results folder are reported with file and field, and everything else is reported as usual."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report.factories import STUDY, make_results_folder
from vgg_ablate.analysis import summary
from vgg_ablate.config.training import Data
from vgg_ablate.errors import StorageError
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import Record, RecordStore
from vgg_ablate.report import markdown, write


def edit_json(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def find_key(folder: Path, variant: str, seed: int) -> str:
    planned = Manifest.read(folder).planned
    return next(cell.key for cell in planned if (cell.variant, cell.seed) == (variant, seed))


def list_damaged(report: summary.Report) -> list[tuple[str, int]]:
    rows = report.frame[report.frame["outcome"] == "damaged"]
    return [(str(variant), int(seed)) for variant, seed in rows[["variant", "seed"]].itertuples(index=False)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_results_folder(tmp_path / "pretend")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda record: record.update(outcome="finnished"), "outcome: "),
        (lambda record: record["run"].update(seed=3), "key: the file name, the key of"),
        (lambda record: record.update(key="0" * 16), "key: the file name, the key of"),
        (lambda record: record.update(tested=None), "tested: a finished run has test results"),
        (lambda record: record["audited"].update(macs=1), "audited.macs: fvcore counts 1, the closed form "),
        (lambda record: record.update(audited={}, costs={"params": 7}), "costs.params: the arch has "),
        (lambda record: record.update(extra=1), "extra: "),
        (lambda record: record["tested"].update(test_accuracy=1.7), "tested.test_accuracy: "),
        (lambda record: record["tested"].update(test_accuracy="0.9"), "tested.test_accuracy: "),
        (lambda record: record["tested"].update(test_accuracy=float("nan")), "tested.test_accuracy: "),
        (
            lambda record: record["tested"].update(val_accuracy=0.5),
            "tested.val_accuracy: must be that of the last epoch, ",
        ),
        (lambda record: record["epochs"][0].update(val_accuracy=-0.1), "epochs.0.val_accuracy: "),
        (
            lambda record: record["epochs"][1].update(val_examples=7),
            "epochs[1].val_accuracy: must be a whole number of 7 examples, got ",
        ),
        (lambda record: record["epochs"][1].update(cpu_seconds=-1.0), "epochs.1.cpu_seconds: "),
        (
            lambda record: record["tested"].update(train_error=0.12345),
            "tested.train_error: must be a whole number of 5000 examples, got 0.12345",
        ),
        (
            lambda record: record["tested"].update(train_examples=None),
            "tested.train_error: must be recorded together with train_examples, got ",
        ),
        (lambda record: record["epochs"].pop(), "epochs: a finished run has epochs 1 to 2, got 1 of them (1)"),
        (
            lambda record: record["environment"].update(threads=1.5),
            "environment: threads must be an integer, got 1.5",
        ),
        (lambda record: record.update(train_seconds=-3), "train_seconds: "),
        (lambda record: record.update(train_seconds=3.1), "train_seconds: its epochs add up to 3.0, got 3.1"),
        (lambda record: record["epochs"][0].update(seconds=1.4), "train_seconds: its epochs add up to 2.9, got 3.0"),
        (lambda record: record.update(images_per_second=9e3), "images_per_second: the median of its epochs is 1001.0"),
        (lambda record: record["tested"].update(test_top5_accuracy=0.1), "tested.test_top5_accuracy: must not be less"),
    ],
)
def test_a_hand_edited_record_is_named_and_the_rest_is_reported(
    folder: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    key = find_key(folder, "five", 1)
    edit_json(folder / "records" / f"{key}.json", edit)
    report = write.write_report(folder)
    (problem,) = report.problems
    assert problem.startswith(f"records/{key}.json: {message}")
    assert list_damaged(report) == [("five", 1)]
    small, same, _ = report.verdicts
    assert (small.verdict, small.reason) == ("inconclusive", "five: seed 1 damaged")
    assert same.verdict == "refuted"
    assert problem.split(": ")[0] in (folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("accuracy", "unfit"), [(0.9, True), (0.4, True), (3 / 5, False), (3 / 7, True), (0.605, True)]
)
def test_a_test_accuracy_that_its_examples_contradict_is_named(tmp_path: Path, accuracy: float, unfit: bool) -> None:
    """Three of five examples are correct, and the record holds their number."""
    folder = make_results_folder(tmp_path / "pretend", lambda variant, seed: 0.6, correct=lambda variant, seed: "b0")

    def set_accuracy(record: dict[str, Any]) -> None:
        record["tested"] |= {"test_accuracy": accuracy, "details": {"test_examples": 5}}

    key = find_key(folder, "five", 1)
    edit_json(folder / "records" / f"{key}.json", set_accuracy)
    problems = [text for text in summary.load_report(folder).problems if text.startswith(f"records/{key}.json: ")]
    expected = f"tested.test_accuracy: must be 3 of 5 examples by the bits of tested.correct, got {accuracy}"
    assert problems == ([f"records/{key}.json: {expected}"] if unfit else [])


@pytest.mark.parametrize("confusion", [[[2, 1], [1, 1]], [[2], [1, 1]], [3], "3", [["2", 1], [0, 1]]])
def test_a_confusion_that_the_examples_contradict_is_named(tmp_path: Path, confusion: Any) -> None:
    folder = make_results_folder(tmp_path / "pretend", lambda variant, seed: 0.6, correct=lambda variant, seed: "b0")

    def set_confusion(matrix: Any) -> Callable[[dict[str, Any]], None]:
        return lambda record: record["tested"].update(details={"test_examples": 5, "confusion": matrix})

    for seed, matrix in ((0, [[2, 1], [1, 1]]), (1, confusion)):
        edit_json(folder / "records" / f"{find_key(folder, 'five', seed)}.json", set_confusion(matrix))
    problems = [problem for problem in summary.load_report(folder).problems if "confusion" in problem]
    assert len(problems) == (0 if confusion == [[2, 1], [1, 1]] else 1)


@pytest.mark.parametrize("kept", [0, 1, 100])
def test_a_torn_record_is_named(folder: Path, kept: int) -> None:
    path = folder / "records" / f"{find_key(folder, 'wide', 0)}.json"
    path.write_bytes(path.read_bytes()[:kept])
    report = summary.load_report(folder)
    assert len(report.problems) == 1
    assert report.problems[0].startswith(f"records/{path.name}: the file: ")
    assert list_damaged(report) == [("wide", 0)]


def test_a_record_of_another_recipe_contradicts_its_study(folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY.replace("epochs: 2", "epochs: 3"), encoding="utf-8")
    report = summary.load_report(folder)
    assert len(list_damaged(report)) == 15
    assert "run.train.epochs: the study's variant base has 3, got 2" in report.problems[0]


def test_a_record_that_nobody_planned_is_named(folder: Path) -> None:
    make_results_folder(folder.parent / "other", text=STUDY.replace("epochs: 2", "epochs: 3"))
    orphan = next((folder.parent / "other" / "records").iterdir())
    (folder / "records" / orphan.name).write_bytes(orphan.read_bytes())
    report = summary.load_report(folder)
    assert len(report.problems) == 1
    assert report.problems[0].startswith(f"records: {orphan.name}: of no run of this study, ignored")
    assert f"({orphan.name}: run.train.epochs: the study's nearest variant " in report.problems[0]
    assert report.problems[0].endswith("has 2, got 3)")
    assert list_damaged(report) == []


def test_a_record_of_a_seed_that_is_no_longer_asked_for_is_named(folder: Path) -> None:
    key = find_key(folder, "five", 4)
    edit_json(
        folder / "manifest.json",
        lambda manifest: manifest["planned"].remove({"variant": "five", "seed": 4, "key": key}),
    )
    (folder / "study.yaml").write_text(STUDY.replace("seeds: 5", "seeds: 4"), encoding="utf-8")
    (problem,) = summary.load_report(folder).problems
    assert problem == f"records: {key}.json: of no run of this study, ignored ({key}.json: run.seed: seed 4 of five)"


def declared_as_images(record: Record, **changes: Any) -> Record:
    data = record.run.data.model_dump() | {"name": "image-folder", "root": "/scans", "channels": 1, "classes": 10}
    return record.model_copy(
        update={"run": record.run.model_copy(update={"data": Data.model_validate(data | changes)})}
    )


def test_records_of_the_same_pixels_under_another_name_are_used(tmp_path: Path) -> None:
    report = summary.load_report(
        make_results_folder(tmp_path / "pretend", change=lambda record, _: declared_as_images(record))
    )
    assert report.problems == ()
    assert not list_damaged(report)


def test_a_stray_record_of_another_shape_of_data_is_told_apart_by_its_shape(folder: Path) -> None:
    stored = RecordStore(folder / "records").get(find_key(folder, "five", 0))
    stray = declared_as_images(stored, image_size=40)
    RecordStore(folder / "records").put(stray.model_copy(update={"key": stray.run.key}))
    (problem,) = summary.load_report(folder).problems
    assert "run.data.image_size: the study's nearest variant five has 32, got 40" in problem


def test_records_of_two_data_sets_under_one_name_are_named(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "pretend", fingerprints={"wide": "f" * 16})
    problems = summary.load_report(folder).problems
    assert len(problems) == 5
    assert "run.fingerprint: digits was 0000000000000000" in problems[0]
    assert "records of two different data sets in one folder" in problems[0]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(base="five"), "manifest.json: base: the study's base is 'base', got 'five'"),
        (lambda m: m.update(study="kernels"), "manifest.json: study: study.yaml beside it is 'pretend'"),
        (lambda m: m["planned"][0].update(variant="six"), "manifest.json: planned: six is not a variant"),
    ],
)
def test_a_manifest_that_contradicts_its_study_is_named(
    folder: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    edit_json(folder / "manifest.json", edit)
    assert any(problem.startswith(message) for problem in summary.load_report(folder).problems)


def test_two_keys_for_one_cell_are_named(folder: Path) -> None:
    def add_second_key(manifest: dict[str, Any]) -> None:
        manifest["planned"].append({**manifest["planned"][0], "key": "f" * 16})

    edit_json(folder / "manifest.json", add_second_key)
    report = summary.load_report(folder)
    assert report.problems[0].startswith("manifest.json: planned: base/0 has two keys, got ffffffffffffffff")
    assert len(report.frame) == 15


def test_a_missing_record_is_a_row_that_says_so(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "pretend", missing=frozenset({("base", 4)}))
    report = write.write_report(folder)
    assert report.missing == 1
    assert report.problems == ()
    assert "base,4," in (folder / "runs.csv").read_text(encoding="utf-8")
    assert report.verdicts[0].reason == "base: seed 4 missing"


def test_seeds_that_were_not_applied_are_a_problem(tmp_path: Path) -> None:
    def same(record: Record, variant: str) -> Record:
        epochs = tuple(epoch.model_copy(update={"train_loss": 0.5}) for epoch in record.epochs)
        return record.model_copy(update={"epochs": epochs})

    folder = make_results_folder(
        tmp_path / "pretend", lambda variant, seed: {"base": 0.9, "five": 0.8, "wide": 0.7}[variant], change=same
    )
    problems = summary.load_report(folder).problems
    assert problems[0] == "seeds not applied: base has the same test error and losses on every seed"


def test_a_folder_without_a_study_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"manifest\.json: No such file"):
        summary.load_report(tmp_path)


def test_a_saved_study_that_no_longer_reads_is_one_line(folder: Path) -> None:
    (folder / "study.yaml").write_text("version: 2\n", encoding="utf-8")
    with pytest.raises(StorageError, match="the saved study is not valid"):
        summary.load_report(folder)


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        (
            "b: five}",
            "b: fife}",
            "claims[0].b: unknown variant; available: base, five, wide, got 'fife'; did you mean 'five'?",
        ),
        (", margin: 1.0}", "}", "claims[1].margin: must be greater than 0 for a claim of kind equivalent"),
        ("kind: equivalent", "kind: equal", "claims[1].kind: "),
        ("id: same", "id: small", "claims[1].id: duplicate claim id, got 'small'"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_named_and_the_rest_is_reported(
    folder: Path, was: str, now: str, message: str
) -> None:
    whole = summary.load_report(folder).verdicts
    (folder / "study.yaml").write_text(STUDY.replace(was, now, 1), encoding="utf-8")
    report = write.write_report(folder)
    (problem,) = report.problems
    left_out = int(message[7])  # the digit in "claims[0]"
    place, _, text = problem.partition(": ")
    assert re.fullmatch(rf"study\.yaml:{12 + left_out}:\d+", place)
    assert text.startswith(message)
    assert text.endswith("; this claim is left out")
    assert [verdict.claim.id for verdict in report.verdicts] == [
        verdict.claim.id for number, verdict in enumerate(whole) if number != left_out
    ]
    assert problem in html.unescape((folder / "report.md").read_text(encoding="utf-8"))


def test_every_bad_claim_is_named_by_its_number_in_the_file(folder: Path) -> None:
    """The second is found only once the first has been dropped."""
    text = STUDY.replace("kind: better", "kind: bettter", 1).replace("metric: params", "metric: params, within: x=1")
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    report = summary.load_report(folder)
    assert [problem.split(": ")[1] for problem in report.problems] == ["claims[0].kind", "claims[2].within"]
    assert [problem.split(":")[1] for problem in report.problems] == ["12", "14"]
    assert [verdict.claim.id for verdict in report.verdicts] == ["same"]


def test_a_study_of_one_seed_is_reported_without_verdicts(tmp_path: Path) -> None:
    report = write.write_report(make_results_folder(tmp_path / "pretend", text=STUDY.replace("seeds: 5", "seeds: 1")))
    assert report.problems == ()
    assert [verdict.verdict for verdict in report.verdicts] == ["inconclusive", "inconclusive", "supported"]
    assert report.verdicts[0].reason == "1 seed; a verdict needs at least 3"
    assert markdown.build_notes(report)[0].startswith("study.yaml: seeds: 1 seed; a verdict needs at least 3")


def test_seeds_added_by_hand_after_a_look_are_said(tmp_path: Path) -> None:
    history = [{"seeds": [0, 1, 2]}, {"seeds": [0, 1, 2, 3, 4]}]
    folder = make_results_folder(tmp_path / "pretend", provenance={"history": history})
    write.write_report(folder)
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "Seeds were added without a planned look: the study was run with 3 seeds before it had 5." in text


def test_planned_looks_are_not_held_against_a_study(tmp_path: Path) -> None:
    history = [{"seeds": [0, 1, 2]}, {"seeds": [0, 1, 2, 3, 4]}]
    text = STUDY.replace("seeds: 5", "seeds: {looks: [3, 5]}")
    folder = make_results_folder(tmp_path / "pretend", text=text, provenance={"history": history})
    write.write_report(folder)
    assert "without a planned look" not in (folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda m: m["planned"][0].update(seed=10**30),
            "planned.0.seed: Input should be less than 9223372036854775808",
        ),
        (lambda m: m["provenance"].update(history=3), "provenance: history must be a list of mappings"),
        (lambda m: m["provenance"].update(history=[{"seeds": 5}]), "provenance: seeds in history must be a list"),
        (lambda m: m["provenance"].update(proposals=[1]), "provenance: proposals must be a list of mappings"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_named_with_its_field(
    folder: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    edit_json(folder / "manifest.json", edit)
    with pytest.raises(StorageError, match="manifest.json: " + re.escape(message)):
        summary.load_report(folder)

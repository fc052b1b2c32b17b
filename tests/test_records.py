"""A run is named by its content; a record is written once, whole, and is never trusted when it contradicts itself."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Data, Train
from vgg_ablate.errors import StorageError
from vgg_ablate.records import Outcome, Record, RecordStore, Run


def a_run(arch: object = "16 | 32", *, data: dict[str, object] | None = None, seed: int = 0, **train: object) -> Run:
    given = arch if isinstance(arch, dict) else {"stages": arch}
    shaped = Arch.model_validate(given).with_shape(Data(name="digits").shape).to_normal_form()
    described = Data.model_validate({"name": "digits", **(data or {})})
    return Run(arch=shaped, data=described, train=Train.model_validate(train), fingerprint="f", seed=seed)


def a_record(run: Run, outcome: Outcome = Outcome.FINISHED) -> Record:
    return Record(key=run.key, run=run, outcome=outcome)


def test_a_key_is_sixteen_hex_digits_and_stays_what_it_was() -> None:
    # A changed key makes every committed record an orphan: change RECIPE_VERSION on purpose, never a key by accident.
    assert a_run().key == "a5d3476566fe9402"
    assert a_run({"preset": "D", "width": 0.25, "norm": "batch"}, lr=0.1, optimizer="adamw").key == "d7886402c37a3c3a"


def test_a_value_that_is_written_out_and_a_default_are_one_run() -> None:
    assert a_run(lr=0.05, epochs=20, label_smoothing=0.0).key == a_run().key
    assert a_run({"stages": "16 | 32", "pool": "max", "norm": "none"}).key == a_run().key


def test_two_spellings_of_one_net_are_one_run() -> None:
    deepened = {"stages": "16 | 32", "depth": 2}
    assert a_run("16 16 | 32 32").key == a_run(deepened).key
    assert a_run({"stages": "32 32 | 64 64", "width": 0.5, "kernel": 5}).key == a_run("16@5 | 32@5").key
    assert a_run({"preset": "D"}).key == a_run({"preset": "B", "stages": Arch.model_validate("D").to_notation()}).key


def test_where_the_data_is_changes_no_key_and_what_it_is_does() -> None:
    assert a_run(data={"root": "/elsewhere", "download": True}).key == a_run().key
    assert a_run(data={"image_size": 16}).key != a_run().key
    assert a_run(data={"validation_fraction": 0.2}).key != a_run().key


def test_how_the_data_are_declared_changes_no_key_where_pixels_and_shape_are_the_same() -> None:
    described = {"image_size": 32, "channels": 3, "classes": 10}
    named = a_run(data={"name": "cifar10"})
    assert a_run(data={"name": "image-folder", "root": "/images", "on_corrupt": "skip", **described}).key == named.key
    assert a_run(data={"name": "cifar10", **described}).key == named.key
    assert a_run(data={"name": "image-folder", **described, "classes": 11}).key != named.key
    assert a_run(data={"name": "image-folder", **described, "channels": 1}).key != named.key


def test_a_changed_copy_has_a_key_of_its_own_though_the_first_was_asked_for_its_key() -> None:
    run = a_run()
    assert run.key != run.model_copy(update={"seed": run.seed + 1}).key
    assert run.model_copy().key == run.key


def test_everything_that_makes_the_result_is_in_the_key() -> None:
    keys = {
        run.key
        for run in (
            a_run(),
            a_run(seed=1),
            a_run(lr=0.1),
            a_run(epochs=3),
            a_run({"stages": "16 | 32", "norm": "batch"}),
            a_run().model_copy(update={"fingerprint": "g"}),
        )
    }
    assert len(keys) == 6


def test_integers_and_floats_that_are_equal_are_one_value() -> None:
    assert a_run(lr=1).key == a_run(lr=1.0).key


def test_the_first_writer_wins(tmp_path: Path) -> None:
    store, run = RecordStore(tmp_path), a_run()
    assert store.put(a_record(run))
    assert not store.put(a_record(run, Outcome.DIVERGED))
    assert store.get(run.key).outcome is Outcome.FINISHED
    assert [path.name for path in tmp_path.iterdir()] == [f"{run.key}.json"]


def _put(folder: Path, train_seconds: float, won: multiprocessing.Queue[bool]) -> None:
    record = a_record(a_run()).model_copy(update={"train_seconds": train_seconds})
    won.put(RecordStore(folder).put(record))


def test_of_many_processes_that_write_one_record_exactly_one_does(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    won: multiprocessing.Queue[bool] = context.Queue()
    writers = [context.Process(target=_put, args=(tmp_path, float(number), won)) for number in range(8)]
    for writer in writers:
        writer.start()
    results = [won.get(timeout=30) for _ in writers]
    for writer in writers:
        writer.join()
    assert sorted(results) == [False] * 7 + [True]
    assert len(list(RecordStore(tmp_path))) == 1


def test_a_record_reads_back_as_it_was_put(tmp_path: Path) -> None:
    store, record = RecordStore(tmp_path), a_record(a_run({"preset": "A-LRN", "width": 0.25}))
    store.put(record)
    assert store.get(record.key) == record
    assert list(store) == [record]
    assert record.key in store
    assert store.keys() == {record.key}


def test_a_torn_record_is_named_with_its_file(tmp_path: Path) -> None:
    store, record = RecordStore(tmp_path), a_record(a_run())
    store.put(record)
    path = store.path(record.key)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(StorageError, match=str(path)):
        store.get(record.key)


def test_a_record_that_contradicts_its_key_is_refused(tmp_path: Path) -> None:
    store, record = RecordStore(tmp_path), a_record(a_run())
    store.put(record)
    path = store.path(record.key)
    edited = json.loads(path.read_text())
    edited["run"]["train"]["lr"] = 0.5
    path.write_text(json.dumps(edited))
    with pytest.raises(StorageError, match="differ"):
        store.get(record.key)


def test_a_folder_that_cannot_be_written_is_one_clear_failure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StorageError, match=r"Not a directory|File exists"):
        RecordStore(blocked / "records").put(a_record(a_run()))


DEFAULTS: dict[str, dict[str, object]] = {
    "train": {
        "epochs": 20,
        "batch_size": 64,
        "optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": False},
        "lr": 0.05,
        "weight_decay": 0.0005,
        "decay_norms": True,
        "schedule": {"kind": "cosine", "min_factor": 0.0},
        "warmup_epochs": 0.0,
        "label_smoothing": 0.0,
        "clip_grad_norm": None,
        "precision": "auto",
    },
    "data": {"name": "digits", "image_size": None, "validation_fraction": 0.1, "test_fraction": 0.2, "limit": None},
    "arch": {
        "head": {"hidden": [], "dropout": 0.0, "pool": "none", "convolutional": False},
        "norm": {"kind": "none"},
        "activation": "relu",
        "pool": "max",
        "bias": True,
        "init": {"kind": "kaiming", "mode": "fan_in", "head_std": None},
    },
}


def test_a_default_that_keys_leave_out_stays_what_it_was() -> None:
    # A key leaves out what stands at its default. A new default would give old records to new runs:
    # whoever changes one here bumps RECIPE_VERSION.
    run = Run(
        arch=Arch.model_validate({"stages": "8"}), data=Data(name="digits"), train=Train(), fingerprint="f", seed=0
    ).model_dump(mode="json")
    for part, defaults in DEFAULTS.items():
        assert {name: run[part][name] for name in defaults} == defaults

"""Keys depend on everything that determines a result; records are written once and checked when they are read."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Data, Train
from vgg_ablate.errors import StorageError
from vgg_ablate.records import Outcome, Record, RecordStore, Run


def make_run(arch: object = "16 | 32", *, data: dict[str, object] | None = None, seed: int = 0, **train: object) -> Run:
    fields = arch if isinstance(arch, dict) else {"stages": arch}
    shaped = Arch.model_validate(fields).with_shape(Data(name="digits").shape).to_normal_form()
    described = Data.model_validate({"name": "digits", **(data or {})})
    return Run(arch=shaped, data=described, train=Train.model_validate(train), fingerprint="f", seed=seed)


def make_record(run: Run, outcome: Outcome = Outcome.FINISHED) -> Record:
    return Record(key=run.key, run=run, outcome=outcome)


def test_a_key_is_sixteen_hex_digits_and_does_not_change() -> None:
    # A changed key orphans all committed records. Change keys only by RECIPE_VERSION.
    assert make_run().key == "a5d3476566fe9402"
    deep = make_run({"preset": "D", "width": 0.25, "norm": "batch"}, lr=0.1, optimizer="adamw")
    assert deep.key == "d7886402c37a3c3a"
    augmented = make_run(data={"augment": {"flip": True, "crop_padding": 4}}, warmup_epochs=1.0, seed=7)
    assert augmented.key == "914199e1741c987a"
    dense = make_run(data={"evaluate": {"view": "dense", "scales": [16]}})
    assert (dense.key, dense.training_key) == ("78b15e3050895e5d", make_run().key)
    assert make_run().model_copy(update={"test": False}).key == "36a2aa7da0d18060"


def test_an_explicit_default_does_not_change_the_key() -> None:
    assert make_run(lr=0.05, epochs=20, label_smoothing=0.0).key == make_run().key
    assert make_run({"stages": "16 | 32", "pool": "max", "norm": "none"}).key == make_run().key


def test_two_spellings_of_one_net_have_one_key() -> None:
    deepened = {"stages": "16 | 32", "depth": 2}
    assert make_run("16 16 | 32 32").key == make_run(deepened).key
    assert make_run({"stages": "32 32 | 64 64", "width": 0.5, "kernel": 5}).key == make_run("16@5 | 32@5").key
    assert (
        make_run({"preset": "D"}).key == make_run({"preset": "B", "stages": Arch.model_validate("D").to_notation()}).key
    )


def test_the_content_of_the_data_is_in_the_key_and_its_location_is_not() -> None:
    assert make_run(data={"root": "/elsewhere", "download": True}).key == make_run().key
    assert make_run(data={"image_size": 16}).key != make_run().key
    assert make_run(data={"validation_fraction": 0.2}).key != make_run().key


def test_the_declaration_of_the_data_does_not_change_the_key_if_pixels_and_shape_are_equal() -> None:
    described = {"image_size": 32, "channels": 3, "classes": 10}
    named = make_run(data={"name": "cifar10"})
    assert (
        make_run(data={"name": "image-folder", "root": "/images", "on_corrupt": "skip", **described}).key == named.key
    )
    assert make_run(data={"name": "cifar10", **described}).key == named.key
    assert make_run(data={"name": "image-folder", **described, "classes": 11}).key != named.key
    assert make_run(data={"name": "image-folder", **described, "channels": 1}).key != named.key


def test_a_changed_copy_does_not_inherit_the_cached_key() -> None:
    run = make_run()
    assert run.key != run.model_copy(update={"seed": run.seed + 1}).key
    assert run.model_copy().key == run.key


def test_everything_that_determines_the_result_is_in_the_key() -> None:
    keys = {
        run.key
        for run in (
            make_run(),
            make_run(seed=1),
            make_run(lr=0.1),
            make_run(epochs=3),
            make_run({"stages": "16 | 32", "norm": "batch"}),
            make_run().model_copy(update={"fingerprint": "g"}),
        )
    }
    assert len(keys) == 6


def test_equal_integers_and_floats_have_one_key() -> None:
    assert make_run(lr=1).key == make_run(lr=1.0).key


def test_the_first_writer_wins(tmp_path: Path) -> None:
    store, run = RecordStore(tmp_path), make_run()
    assert store.put(make_record(run))
    assert not store.put(make_record(run, Outcome.DIVERGED))
    assert store.get(run.key).outcome is Outcome.FINISHED
    assert [path.name for path in tmp_path.iterdir()] == [f"{run.key}.json"]


def _write_record(folder: Path, train_seconds: float, won: multiprocessing.Queue[bool]) -> None:
    record = make_record(make_run()).model_copy(update={"train_seconds": train_seconds})
    won.put(RecordStore(folder).put(record))


def test_exactly_one_of_many_processes_writes_a_record(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    won: multiprocessing.Queue[bool] = context.Queue()
    writers = [context.Process(target=_write_record, args=(tmp_path, float(number), won)) for number in range(8)]
    for writer in writers:
        writer.start()
    results = [won.get(timeout=30) for _ in writers]
    for writer in writers:
        writer.join()
    assert sorted(results) == [False] * 7 + [True]
    assert len(list(RecordStore(tmp_path))) == 1


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    store, record = RecordStore(tmp_path), make_record(make_run({"preset": "A-LRN", "width": 0.25}))
    store.put(record)
    assert store.get(record.key) == record
    assert list(store) == [record]
    assert record.key in store
    assert store.keys() == {record.key}


def test_a_damaged_record_is_an_error_with_its_file(tmp_path: Path) -> None:
    store, record = RecordStore(tmp_path), make_record(make_run())
    store.put(record)
    path = store.get_path(record.key)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(StorageError, match=str(path)):
        store.get(record.key)


def test_a_record_that_does_not_match_its_key_is_refused(tmp_path: Path) -> None:
    store, record = RecordStore(tmp_path), make_record(make_run())
    store.put(record)
    path = store.get_path(record.key)
    edited = json.loads(path.read_text())
    edited["run"]["train"]["lr"] = 0.5
    path.write_text(json.dumps(edited))
    with pytest.raises(StorageError, match="differ"):
        store.get(record.key)


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StorageError, match=r"Not a directory|File exists"):
        RecordStore(blocked / "records").put(make_record(make_run()))


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


def test_the_defaults_that_keys_exclude_do_not_change() -> None:
    # A key excludes defaults, so that a changed default would assign old records to new runs. Increase
    # RECIPE_VERSION with every change here.
    run = Run(
        arch=Arch.model_validate({"stages": "8"}), data=Data(name="digits"), train=Train(), fingerprint="f", seed=0
    ).model_dump(mode="json")
    for part, defaults in DEFAULTS.items():
        assert {name: run[part][name] for name in defaults} == defaults

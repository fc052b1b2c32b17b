"""A training is a function of its run: it repeats bit for bit, resumes from a checkpoint, and reports divergence."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.test_splits import write_folder
from tests.training.small_runs import finish_training, make_arch, make_run
from vgg_ablate.errors import DeviceNotFoundError, StorageError
from vgg_ablate.models import checkpoints
from vgg_ablate.records import Run
from vgg_ablate.training.errors import DivergedError
from vgg_ablate.training.loop import train
from vgg_ablate.training.settings import TrainingSettings

SETTINGS = TrainingSettings()
GOLDEN = [2.48897, 2.27295]  # nats, of two epochs
RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "nesterov": {"optimizer": {"kind": "sgd", "nesterov": True}, "schedule": {"kind": "one_cycle"}},
    "adamw": {"optimizer": "adamw", "lr": 1e-3, "schedule": {"kind": "step", "step_epochs": 1}, "decay_norms": False},
    "bf16": {"precision": "bf16"},
    "ensemble": {
        "ensemble": [make_arch("8 | 16"), make_arch("8 8 | 16")],
        "schedule": {"kind": "plateau", "patience": 1},
    },
    "plateau": {"schedule": {"kind": "plateau", "patience": 1}, "label_smoothing": 0.1, "clip_grad_norm": 1.0},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_same_run_trains_to_the_same_bits(recipe: str) -> None:
    run = make_run(data={"augment": {"crop_padding": 1, "flip": True}}, **RECIPES[recipe])
    assert finish_training(train(run, SETTINGS)) == finish_training(train(run, SETTINGS))


def test_digits_are_learned() -> None:
    run = make_run(data={"limit": None}, arch={"stages": "16 16 | 32", "head": {"hidden": []}}, epochs=4)
    epochs, metrics = finish_training(train(run, SETTINGS))
    assert metrics.test_accuracy > 0.9
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert metrics.val_accuracy == epochs[-1].val_accuracy


def test_another_seed_is_another_training() -> None:
    assert finish_training(train(make_run(seed=0), SETTINGS)) != finish_training(train(make_run(seed=1), SETTINGS))


def test_the_state_of_torchs_global_generator_changes_nothing() -> None:
    first = finish_training(train(make_run(), SETTINGS))
    torch.manual_seed(99)
    assert finish_training(train(make_run(), SETTINGS)) == first


def test_training_restores_generator_and_threads_of_the_process() -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    finish_training(train(make_run(), SETTINGS))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_that_resumes_from_its_checkpoint_equals_an_uninterrupted_one(recipe: str, tmp_path: Path) -> None:
    run = make_run(epochs=4, data={"augment": {"crop_padding": 1}}, **RECIPES[recipe])
    settings = TrainingSettings(checkpoint=tmp_path / "run", checkpoint_every=2)
    uninterrupted = finish_training(train(run, SETTINGS))
    killed = train(run, settings)
    for _ in range(3):  # killed in the fourth epoch, one epoch after the checkpoint
        next(killed)
    killed.close()
    assert finish_training(train(run, settings)) == uninterrupted


def test_another_runs_checkpoint_is_not_used(tmp_path: Path) -> None:
    settings = TrainingSettings(checkpoint=tmp_path / "run", checkpoint_every=1)
    next(train(make_run(seed=1), settings))
    assert finish_training(train(make_run(seed=0), settings)) == finish_training(train(make_run(seed=0), SETTINGS))


def test_a_damaged_checkpoint_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"half")
    with pytest.raises(StorageError, match="run: not a checkpoint"):
        next(train(make_run(), TrainingSettings(checkpoint=tmp_path / "run")))


def test_a_checkpoint_can_be_read_without_running_code(tmp_path: Path) -> None:
    settings = TrainingSettings(checkpoint=tmp_path / "run", checkpoint_every=1)
    next(train(make_run(), settings))
    content = torch.load(tmp_path / "run", weights_only=True)
    assert {"features.0.weight", "classifier.0.weight"} <= content["nets"][0]["net"].keys()


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_epoch() -> None:
    with pytest.raises(DivergedError, match="in epoch 1") as caught:
        finish_training(train(make_run(lr=1e30, arch={"norm": "none"}), SETTINGS))
    assert caught.value.epoch == 1


def test_a_net_spoiled_by_the_last_step_ends_the_run_in_the_same_epoch() -> None:
    one_step = make_run(lr=1e30, batch_size=10_000, arch={"norm": "none"})
    with pytest.raises(DivergedError, match="in epoch 1"):
        finish_training(train(one_step, SETTINGS))


def test_a_missing_device_is_an_error_that_names_it() -> None:
    with pytest.raises(DeviceNotFoundError, match="no device 'gpu'"):
        next(train(make_run(), TrainingSettings(device="gpu")))
    if not torch.cuda.is_available():
        with pytest.raises(DeviceNotFoundError, match="cuda:3 not found: this machine has 0 GPUs"):
            next(train(make_run(), TrainingSettings(device="cuda:3")))


def test_correctness_is_kept_for_every_test_example() -> None:
    _, metrics = finish_training(train(make_run(), SETTINGS))
    count = metrics.details["test_examples"]
    assert metrics.correct is not None
    bits = f"{int(metrics.correct, 16):0{len(metrics.correct) * 4}b}"[:count]
    assert bits.count("1") / count == pytest.approx(metrics.test_accuracy)
    assert sum(map(sum, metrics.details["confusion"])) == count


def test_images_are_enlarged_for_a_net_of_a_larger_image_size() -> None:
    _, metrics = finish_training(train(make_run(arch={"image_size": 12}), SETTINGS))
    assert 0 <= metrics.test_accuracy <= 1


VIEWS: dict[str, dict[str, Any]] = {
    "jitter": {"image_size": 8, "augment": {"scale_jitter": {"low": 8, "high": 12}, "flip": True}},
    "dense": {"image_size": 8, "evaluate": {"view": ["dense", "crops"], "scales": [8, 12], "flip": True, "grid": 2}},
    "resized": {"augment": {"resized_crop": {"area": [0.5, 1.0]}, "pca_color_std": 0.1, "cutout": 2}},
    "mean": {"normalize": "mean"},
}


@pytest.mark.parametrize("kind", VIEWS)
def test_training_with_every_kind_of_view_repeats(kind: str) -> None:
    run = make_run(data=VIEWS[kind], epochs=1, lr=0.001)
    assert finish_training(train(run, SETTINGS)) == finish_training(train(run, SETTINGS))


JITTER = {"augment": {"scale_jitter": {"low": 8, "high": 11}}}


@pytest.mark.parametrize("data", [{"image_size": 8}, {"image_size": 8, **JITTER}], ids=["plain", "jitter"])
@pytest.mark.parametrize(
    "evaluate",
    [
        {"view": "dense", "scales": [8, 16], "flip": True},
        {"view": "crops", "scales": 14, "grid": 2},
        {"scales": [20, 9]},
    ],
    ids=str,
)
def test_the_evaluation_of_the_test_set_changes_nothing_in_training(
    data: dict[str, Any], evaluate: dict[str, Any], tmp_path: Path
) -> None:
    epochs, weights = [], []
    for name, options in (("default", {}), ("other", evaluate)):
        path = tmp_path / f"{name}.safetensors"
        run = make_run(data={**data, "evaluate": options})
        epochs.append(finish_training(train(run, TrainingSettings(weights=path)))[0])
        weights.append(checkpoints.load_safetensors(path)[1].state_dict())
    assert epochs[0] == epochs[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


STREAMS: dict[str, dict[str, Any]] = {
    "crop": {"augment": {"crop_padding": 1, "flip": True, "pca_color_std": 0.1}},
    "boxes": {"augment": {"resized_crop": {}, "cutout": 2}},
    "plain": {"evaluate": {"view": "dense", "scales": 12}},
}


@pytest.mark.parametrize("kind", STREAMS)
def test_streamed_images_train_to_the_same_bits(kind: str) -> None:
    run = make_run(data=STREAMS[kind], micro_batch=16)
    assert finish_training(train(run, TrainingSettings(resident=False))) == finish_training(
        train(run, TrainingSettings(resident=True))
    )


def test_the_losses_are_those_of_earlier_versions() -> None:
    """A golden value. Another processor may round the last digits differently; a changed training differs by more."""
    epochs, _ = finish_training(train(make_run(data={"augment": {"crop_padding": 1, "flip": True}}), SETTINGS))
    assert [epoch.train_loss for epoch in epochs] == pytest.approx(GOLDEN, rel=2e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "arch",
    [
        *({"norm": norm} for norm in ("none", "batch", {"kind": "group", "groups": 4}, "lrn")),
        *({"pool": pool} for pool in ("average", "conv")),
        *({"activation": activation} for activation in ("leaky_relu", "elu", "gelu", "silu", "tanh")),
        {"head": {"hidden": [], "pool": "global"}},
    ],
    ids=str,
)
def test_every_kind_of_layer_trains_in_every_precision(arch: dict[str, Any], precision: str) -> None:
    run = make_run(arch=arch, data={"limit": 96}, epochs=1, precision=precision)
    (epoch,), metrics = finish_training(train(run, SETTINGS))
    assert math.isfinite(epoch.train_loss)
    assert metrics.test_accuracy >= 0


def test_a_checkpoint_follows_every_slow_epoch(tmp_path: Path) -> None:
    slow = train(
        make_run(epochs=3), TrainingSettings(checkpoint=tmp_path / "run", checkpoint_every=5, checkpoint_seconds=0.0)
    )
    next(slow)
    assert (tmp_path / "run").exists()
    quick = train(make_run(epochs=3), TrainingSettings(checkpoint=tmp_path / "other", checkpoint_every=5))
    next(quick)
    assert not (tmp_path / "other").exists()


def test_the_class_folders_of_an_image_folder_are_recorded(tmp_path: Path) -> None:
    data = write_folder(tmp_path, images=8).model_dump(exclude_unset=True)
    run = make_run(data=data, arch={"stages": "4"}, epochs=1, batch_size=4)
    assert train_details(run)["class_names"] == ["c0", "c1"]
    (tmp_path / "train/c1/torn.png").write_bytes(b"no image")
    skipping = train_details(make_run(data={**data, "on_corrupt": "skip"}, arch={"stages": "4"}, epochs=1))
    assert (skipping["skipped_files"], skipping["skipped_names"]) == (1, ["train/c1/torn.png"])
    # The cache has the examples still: a run goes on without the names.
    shutil.rmtree(tmp_path / "train")
    assert "class_names" not in train_details(run)


def test_the_class_names_of_a_known_data_set_are_not_recorded() -> None:
    assert "class_names" not in train_details(make_run(epochs=1))


def train_details(run: Run) -> dict[str, Any]:
    return finish_training(train(run, SETTINGS))[1].details

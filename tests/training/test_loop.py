"""A training is a function of its run: it repeats bit for bit, goes on from a checkpoint, and says when it diverged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.small_runs import asked, ended, net
from vgg_ablate.errors import DeviceNotFoundError, StorageError
from vgg_ablate.models import checkpoints
from vgg_ablate.training.errors import DivergedError
from vgg_ablate.training.loop import train
from vgg_ablate.training.settings import TrainingSettings

HERE = TrainingSettings()
GOLDEN = [2.48897, 2.27295]  # nats, of two epochs
RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "nesterov": {"optimizer": {"kind": "sgd", "nesterov": True}, "schedule": {"kind": "one_cycle"}},
    "adamw": {"optimizer": "adamw", "lr": 1e-3, "schedule": {"kind": "step", "step_epochs": 1}, "decay_norms": False},
    "bf16": {"precision": "bf16"},
    "ensemble": {"ensemble": [net("8 | 16"), net("8 8 | 16")], "schedule": {"kind": "plateau", "patience": 1}},
    "plateau": {"schedule": {"kind": "plateau", "patience": 1}, "label_smoothing": 0.1, "clip_grad_norm": 1.0},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_same_run_trains_to_the_same_bits(recipe: str) -> None:
    run = asked(data={"augment": {"crop_padding": 1, "flip": True}}, **RECIPES[recipe])
    assert ended(train(run, HERE)) == ended(train(run, HERE))


def test_digits_are_learned() -> None:
    run = asked(data={"limit": None}, arch={"stages": "16 16 | 32", "head": {"hidden": []}}, epochs=4)
    epochs, tested = ended(train(run, HERE))
    assert tested.test_accuracy > 0.9
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert tested.val_accuracy == epochs[-1].val_accuracy


def test_another_seed_trains_to_something_else() -> None:
    assert ended(train(asked(seed=0), HERE)) != ended(train(asked(seed=1), HERE))


def test_what_was_drawn_before_in_the_process_changes_nothing() -> None:
    first = ended(train(asked(), HERE))
    torch.manual_seed(99)
    assert ended(train(asked(), HERE)) == first


def test_training_leaves_the_process_as_it_was() -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    ended(train(asked(), HERE))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_goes_on_from_its_checkpoint_as_if_it_had_never_stopped(recipe: str, tmp_path: Path) -> None:
    run = asked(epochs=4, data={"augment": {"crop_padding": 1}}, **RECIPES[recipe])
    settings = TrainingSettings(checkpoint=tmp_path / "run", checkpoint_every=2)
    whole = ended(train(run, HERE))
    killed = train(run, settings)
    for _ in range(3):  # killed in the fourth epoch, one epoch after the checkpoint
        next(killed)
    killed.close()
    assert ended(train(run, settings)) == whole


def test_another_runs_checkpoint_is_not_gone_on_from(tmp_path: Path) -> None:
    settings = TrainingSettings(checkpoint=tmp_path / "run", checkpoint_every=1)
    next(train(asked(seed=1), settings))
    assert ended(train(asked(seed=0), settings)) == ended(train(asked(seed=0), HERE))


def test_a_torn_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"half")
    with pytest.raises(StorageError, match="run: not a checkpoint"):
        next(train(asked(), TrainingSettings(checkpoint=tmp_path / "run")))


def test_a_checkpoint_holds_nothing_that_runs(tmp_path: Path) -> None:
    settings = TrainingSettings(checkpoint=tmp_path / "run", checkpoint_every=1)
    next(train(asked(), settings))
    content = torch.load(tmp_path / "run", weights_only=True)
    assert {"features.0.weight", "classifier.0.weight"} <= content["nets"][0]["net"].keys()


def test_a_loss_that_is_no_number_ends_the_run_with_its_epoch() -> None:
    with pytest.raises(DivergedError, match="in epoch 1") as caught:
        ended(train(asked(lr=1e30, arch={"norm": "none"}), HERE))
    assert caught.value.epoch == 1


def test_a_last_step_that_spoils_the_net_ends_the_run_in_the_same_epoch() -> None:
    one_step = asked(lr=1e30, batch_size=10_000, arch={"norm": "none"})
    with pytest.raises(DivergedError, match="in epoch 1"):
        ended(train(one_step, HERE))


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(DeviceNotFoundError, match="no device 'gpu'"):
        next(train(asked(), TrainingSettings(device="gpu")))
    if not torch.cuda.is_available():
        with pytest.raises(DeviceNotFoundError, match="cuda:3 is not on this machine"):
            next(train(asked(), TrainingSettings(device="cuda:3")))


def test_correctness_is_kept_for_every_test_example() -> None:
    _, tested = ended(train(asked(), HERE))
    count = tested.details["test_examples"]
    assert tested.correct is not None
    bits = f"{int(tested.correct, 16):0{len(tested.correct) * 4}b}"[:count]
    assert bits.count("1") / count == pytest.approx(tested.test_accuracy)
    assert sum(map(sum, tested.details["confusion"])) == count


def test_a_net_larger_than_the_images_is_shown_them_enlarged() -> None:
    _, tested = ended(train(asked(arch={"image_size": 12}), HERE))
    assert 0 <= tested.test_accuracy <= 1


VIEWS: dict[str, dict[str, Any]] = {
    "jitter": {"image_size": 8, "augment": {"scale_jitter": {"low": 8, "high": 12}, "flip": True}},
    "dense": {"image_size": 8, "evaluate": {"view": ["dense", "crops"], "scales": [8, 12], "flip": True, "grid": 2}},
    "resized": {"augment": {"resized_crop": {"area": [0.5, 1.0]}, "pca_color_std": 0.1, "cutout": 2}},
    "mean": {"normalize": "mean"},
}


@pytest.mark.parametrize("kind", VIEWS)
def test_every_way_to_show_images_trains_and_repeats(kind: str) -> None:
    run = asked(data=VIEWS[kind], epochs=1, lr=0.001)
    assert ended(train(run, HERE)) == ended(train(run, HERE))


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
def test_how_the_test_set_is_shown_changes_nothing_in_training(
    data: dict[str, Any], evaluate: dict[str, Any], tmp_path: Path
) -> None:
    epochs, weights = [], []
    for name, how in (("default", {}), ("other", evaluate)):
        path = tmp_path / f"{name}.safetensors"
        run = asked(data={**data, "evaluate": how})
        epochs.append(ended(train(run, TrainingSettings(weights=path)))[0])
        weights.append(checkpoints.load_safetensors(path)[1].state_dict())
    assert epochs[0] == epochs[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


STREAMS: dict[str, dict[str, Any]] = {
    "crop": {"augment": {"crop_padding": 1, "flip": True, "pca_color_std": 0.1}},
    "boxes": {"augment": {"resized_crop": {}, "cutout": 2}},
    "plain": {"evaluate": {"view": "dense", "scales": 12}},
}


@pytest.mark.parametrize("kind", STREAMS)
def test_images_that_are_streamed_train_to_the_same_bits(kind: str) -> None:
    run = asked(data=STREAMS[kind], micro_batch=16)
    assert ended(train(run, TrainingSettings(resident=False))) == ended(train(run, TrainingSettings(resident=True)))


def test_the_loop_trains_to_what_it_trained_to_before() -> None:
    """A golden value: another processor may round the last digits differently, another loop ends elsewhere."""
    epochs, _ = ended(train(asked(data={"augment": {"crop_padding": 1, "flip": True}}), HERE))
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
    run = asked(arch=arch, data={"limit": 96}, epochs=1, precision=precision)
    (epoch,), tested = ended(train(run, HERE))
    assert math.isfinite(epoch.train_loss)
    assert tested.test_accuracy >= 0


def test_slow_epochs_are_kept_one_by_one(tmp_path: Path) -> None:
    slow = train(
        asked(epochs=3), TrainingSettings(checkpoint=tmp_path / "run", checkpoint_every=5, checkpoint_seconds=0.0)
    )
    next(slow)
    assert (tmp_path / "run").exists()
    quick = train(asked(epochs=3), TrainingSettings(checkpoint=tmp_path / "other", checkpoint_every=5))
    next(quick)
    assert not (tmp_path / "other").exists()
